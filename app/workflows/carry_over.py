"""Work that an earlier release began. Its recorded steps do not fit this one, so none of it is replayed.

A run goes on as another one, on the same branch and pull request, with what is complete; other work is done again from
its beginning, which is harmless.
"""

import asyncio
import logging

from dbos import DBOS, WorkflowStatus

from app.db import run_rows
from app.domain.commands import CommandName
from app.domain.states import RunState
from app.domain.steer_request import SteerAnswer, SteerRequest
from app.runs import transitions
from app.workflows.finish_run import finish_run
from app.workflows.run import enqueue_run
from app.workflows.run_context import RunEnded
from app.workflows.services import call_db, services
from app.workflows.steer import steer
from app.workflows.steps import utcnow
from app.workflows.workflow_names import DELIVERY, RUN, STARTED_DIRECTLY

UPDATED = "the service was updated"

log = logging.getLogger(__name__)


async def carry_over(version: str) -> None:
    """Take up what no living process of its own version can go on with; `version` is this process's."""
    living = {version, *await asyncio.to_thread(services().db.worker.list_versions)}
    for one in await DBOS.list_workflows_async(status=["PENDING", "ENQUEUED"], load_input=False, load_output=False):
        if one.app_version in living or one.app_version is None:
            continue
        log.warning("%s %s, of version %s, is carried over", one.name, one.workflow_id, one.app_version)
        await DBOS.cancel_workflow_async(one.workflow_id)
        if one.name == RUN:
            await _carry_over_run(one.workflow_id)
        elif one.name in {DELIVERY, *STARTED_DIRECTLY}:
            await _do_again(one, version)


async def _do_again(one: WorkflowStatus, version: str) -> None:
    await DBOS.fork_workflow_async(one.workflow_id, 1, application_version=version, queue_name=one.queue_name)


async def _carry_over_run(run_id: str) -> None:
    """Begin again what is not planned yet; end a planned run, and have another one go on with it."""
    run = await call_db(run_rows.get, run_id)
    if run.completed_at is None and run.strategy is None:
        await DBOS.delete_workflows_async([run_id], delete_children=True)
        await enqueue_run(run_id)
        return
    await call_db(transitions.end_run, run_id, RunState.DONE_CANCELLED, UPDATED, utcnow())
    answer = await _go_on(run_id, run.requester) if run.completed_at is None else None
    if answer is not None and answer.starts:
        await enqueue_run(answer.starts)
    else:
        await DBOS.start_workflow_async(end_carried_run, run_id, answer.message if answer else "")


async def _go_on(run_id: str, requester: str) -> SteerAnswer:
    return await steer(run_id, SteerRequest(command=CommandName.RETRY, by=requester, source_id=0))


@DBOS.workflow(name="end_carried")
async def end_carried_run(run_id: str, why_not: str) -> None:
    """Show the end of a run with which none goes on."""
    reason = f"{UPDATED}, and no other run goes on: {why_not}" if why_not else UPDATED
    await finish_run(run_id, None, RunEnded(RunState.DONE_CANCELLED, reason))
