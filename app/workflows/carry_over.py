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
from app.domain.steer_request import SteerRequest
from app.runs import transitions
from app.workflows.finish_run import end_orphaned_run
from app.workflows.run import enqueue_run
from app.workflows.services import call_db, services
from app.workflows.steer import steer
from app.workflows.steps import utcnow
from app.workflows.workflow_names import DELIVERY, RUN, STARTED_DIRECTLY

UPDATED = "the service was updated"
_WHOLE = frozenset({DELIVERY, *STARTED_DIRECTLY})
"""Workflows that are no part of another one."""

log = logging.getLogger(__name__)


async def carry_over(version: str) -> None:
    """Take up what no living process of its own version can go on with; `version` is this process's."""
    living = {version, *await asyncio.to_thread(services().db.worker.list_versions)}
    unfinished = await DBOS.list_workflows_async(status=["PENDING", "ENQUEUED"], load_input=False, load_output=False)
    left = [one for one in unfinished if one.app_version is not None and one.app_version not in living]
    for one in sorted(left, key=lambda one: one.name in _WHOLE):  # parts of others first
        log.warning("%s %s, of version %s, is carried over", one.name, one.workflow_id, one.app_version)
        try:
            await _carry_over(one, version)
        except Exception:  # the others go on; this one is tried again at the next round
            log.exception("%s %s could not be carried over", one.name, one.workflow_id)


async def _carry_over(one: WorkflowStatus, version: str) -> None:
    """Begin what takes its place, and then cancel it: cut off in between, the next round finds it again."""
    if one.name == RUN:
        if await _begin_again(one.workflow_id):
            return
        await _go_on_with(one.workflow_id)
    elif one.name in _WHOLE:
        await DBOS.fork_workflow_async(one.workflow_id, 1, application_version=version, queue_name=one.queue_name)
    await DBOS.cancel_workflow_async(one.workflow_id)


async def _begin_again(run_id: str) -> bool:
    """Begin a run again that is not planned yet, under the same id; False for another one."""
    run = await call_db(run_rows.get, run_id)
    if run.completed_at is not None or run.strategy is not None:
        return False
    await DBOS.delete_workflows_async([run_id], delete_children=True)
    await enqueue_run(run_id)
    return True


async def _go_on_with(run_id: str) -> None:
    """End a planned run, and have another one go on with it."""
    run = await call_db(run_rows.get, run_id)
    if run.continued_by is not None:
        await enqueue_run(run.continued_by)
        return
    following = ""
    if run.completed_at is None:
        await call_db(transitions.end_run, run_id, RunState.DONE_CANCELLED, UPDATED, utcnow())
        asked = SteerRequest(command=CommandName.RETRY, by=run.requester, source_id=0)
        following = (await steer(run_id, asked)).starts
    if following:
        await enqueue_run(following)
    else:
        await DBOS.start_workflow_async(end_orphaned_run, run_id)
