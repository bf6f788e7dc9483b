"""The reconciler, a background task: finds what was lost.

GitHub does not send a failed delivery again by itself, so those are requested: at the start, after an outage perhaps,
and every few minutes; labels and comments of which there is no delivery at all are read. It never hears of a delivery
that came in and was then failed by a defect of ours: its workflow is started again. Open runs need no events: each
reads its CI again within minutes, with or without a delivery. Only a run whose workflow was cut off is ended here.
"""

import asyncio
import logging
from collections import Counter
from datetime import timedelta

from dbos import DBOS, SetWorkflowID, error
from sqlalchemy.exc import SQLAlchemyError

from app.db import deliveries, run_rows
from app.domain.states import RunState
from app.github import redelivery
from app.github.client import GitHubApp
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.runs import pending_work, steering, transitions
from app.workflows.carry_over import carry_over
from app.workflows.finish_run import end_orphaned_run
from app.workflows.missed_events import MissedEvents
from app.workflows.run import enqueue_run
from app.workflows.run_queue import end_if_waiting
from app.workflows.run_telling import tell_owed
from app.workflows.services import call_db, services
from app.workflows.steps import utcnow
from app.workflows.workflow_names import DELIVERY

START_GRACE = timedelta(minutes=1)
"""A run that has no workflow after that long never gets one by itself."""
EVERY_SECONDS = 120.0
STAND_BY_SECONDS = 5.0
"""How soon another process takes the place of the one that reconciled, and has ended."""
LOOK_BACK = timedelta(days=3)
"""GitHub keeps deliveries for about that long."""
MAX_RETRIES = 5
"""Of one delivery in the life of one process: the next start may bring what it lacked, such as a setting or a fix."""

_OVER = ("ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

log = logging.getLogger(__name__)


async def run_reconcile_loop() -> None:
    """Reconcile at once and then every few minutes, until cancelled."""
    retried, requested = Counter[str](), dict[str, int]()
    missed = await MissedEvents.since_last_delivery()
    while True:
        try:
            if not await asyncio.to_thread(services().db.worker.leads):
                await asyncio.sleep(STAND_BY_SECONDS)
                continue  # another process does it
            await carry_over(DBOS.application_version)
            await retry_failed_workflows(retried)
            await end_orphaned_runs()
            await start_lost_runs()
            await end_overdue_runs()
            for waiting in await call_db(run_rows.list_open_runs):
                if waiting.base_sha is None:
                    await end_if_waiting(waiting.run_id)
            if (github := services().github) is not None:
                await _ask_github(github, requested)
                if found := await missed.store(github):
                    log.warning("%s events whose deliveries never came are acted on now", found)
        except (GitHubUnavailable, GitHubRefused, SQLAlchemyError, error.DBOSException, OSError) as trouble:
            log.warning("not reconciled, the next try is in %s seconds: %s", EVERY_SECONDS, trouble)
        await asyncio.sleep(EVERY_SECONDS)


async def _ask_github(github: GitHubApp, requested: dict[str, int]) -> None:
    """Ask who the App is until GitHub has said it once, for what it could not deliver, and tell what is owed."""
    if github.trouble != "" and await github.check():
        log.error("GitHub does not take the App: %s", github.trouble)
    elif asked := await request_redeliveries(github, requested):
        log.warning("%s failed deliveries were requested again", asked)
    github.silence.end()
    if told := await tell_owed():
        log.warning("%s texts that were owed are on GitHub now", told)


async def request_redeliveries(app: GitHubApp, requested: dict[str, int]) -> int:
    """Ask GitHub to send again what no attempt delivered; how many. The inbox acts on each only once.

    `requested` holds by guid the attempt that was repeated last: the list does not show that one which came next
    succeeded, and what needs nothing is not in the inbox.
    """
    failed = await redelivery.list_failed_since(app, utcnow() - LOOK_BACK)
    known = await call_db(deliveries.list_known, [one.guid for one in failed])
    due = [one for one in failed if one.guid not in known and requested.get(one.guid) != one.id]
    requested.clear() if not failed else requested.update({one.guid: one.id for one in due})
    return sum([await redelivery.redeliver(app, one.id) for one in due])


async def retry_failed_workflows(retried: Counter[str]) -> None:
    """Begin again where deliveries of the last days failed; `retried` counts how often each was."""
    since = (utcnow() - LOOK_BACK).isoformat()
    failed = await DBOS.list_workflows_async(
        name=DELIVERY, status="ERROR", start_time=since, load_input=False, load_output=False
    )
    for delivery_id in (one.workflow_id for one in failed if retried[one.workflow_id] < MAX_RETRIES):
        retried[delivery_id] += 1
        log.warning("delivery %s failed and is tried again (%s of %s)", delivery_id, retried[delivery_id], MAX_RETRIES)
        await DBOS.rewind_workflow_async(delivery_id, start_step=await _first_to_repeat(delivery_id))


async def end_orphaned_runs() -> None:
    """End open runs whose workflow has ended by a defect: a run always reaches a terminal state."""
    for left in await call_db(run_rows.list_open_runs):
        workflow = await DBOS.get_workflow_status_async(left.run_id)
        if workflow is not None and workflow.status in _OVER:
            log.error("the workflow of run %s is over (%s), the run is ended", left.run_id, workflow.status)
            with SetWorkflowID(f"{left.run_id}:stranded"):
                await DBOS.start_workflow_async(end_orphaned_run, left.run_id)


async def start_lost_runs() -> None:
    """Start the workflow of runs that were stored, or ended, just before the process ended."""
    for lost in await call_db(run_rows.list_unannounced_runs):
        if not lost.repository or lost.created_at + START_GRACE >= utcnow():
            continue
        if await DBOS.get_workflow_status_async(lost.run_id) is None:
            log.warning("run %s had no workflow, which starts now", lost.run_id)
            await enqueue_run(lost.run_id)


async def end_overdue_runs() -> None:
    """End runs without a repository for which nothing was posted in time: no workflow waits for them."""
    for overdue in await call_db(run_rows.list_open_runs):
        if overdue.repository or await call_db(steering.cancel_overdue, overdue.run_id, utcnow()):
            continue
        if overdue.paused_since is not None or await call_db(pending_work.get_deadline, overdue.run_id) >= utcnow():
            continue
        log.warning("run %s ends: %s", overdue.run_id, pending_work.NOTHING_POSTED)
        state, reason = RunState.DONE_FAILED_ENVIRONMENT, pending_work.NOTHING_POSTED
        await call_db(transitions.end_run, overdue.run_id, state, reason, utcnow())


async def _first_to_repeat(workflow_id: str) -> int:
    """The step that failed, else the one after the last: what was done stays done."""
    steps = await DBOS.list_workflow_steps_async(workflow_id)
    return steps[-1]["function_id"] + (steps[-1]["error"] is None) if steps else 1
