"""The queue of runs: how many work at once, in all and in one repository. A run that waits for its turn says so."""

from datetime import datetime, timedelta

from dbos import DBOS, SetWorkflowID

from app.db import run_rows
from app.db.run_rows import RunRow
from app.domain.status_view import Headline
from app.queries import run_turn
from app.queries.run_turn import Ahead
from app.workflows import github_status
from app.workflows.finish_run import end_orphaned_run
from app.workflows.run_telling import Telling
from app.workflows.services import RunLimits, call_db, services
from app.workflows.start_run import acknowledge
from app.workflows.steps import db_step, effect, utcnow

RUNS_QUEUE = "runs"
WAITS_AT_MOST = timedelta(days=3)
"""How long a run waits for its turn. It ends then, and says so."""

NO_TURN = f"its turn did not come within {WAITS_AT_MOST.days} days: start it again"

read_project = db_step(run_turn.get_project)


def register(polling_seconds: float) -> None:
    """Have the queue with the service's limits. The workflow engine must be launched."""
    limits = services().limits
    DBOS.register_queue(
        RUNS_QUEUE,
        polling_interval_sec=polling_seconds,
        global_concurrency=limits.overall,
        partition_concurrency=min(limits.per_repository, limits.overall),
        on_conflict="always_update",
    )


@Telling
async def show_waiting(run_id: str) -> list[object]:
    """Say what a run waits for that cannot begin at once, and acknowledge it; one that can begin says so itself."""
    why = why_waiting(await call_db(run_turn.count_ahead, run_id), services().limits)
    if not why or not await _waits(await call_db(run_rows.get, run_id)):
        return []
    await acknowledge.at_once(run_id)
    await call_db(run_rows.update, run_id, _as_waiting(why, utcnow()))
    await github_status.show_run.at_once(run_id)
    return []


def why_waiting(ahead: Ahead, limits: RunLimits) -> str:
    """What a run waits for; empty where it need not wait."""
    if ahead.in_repository >= limits.per_repository:
        return f"it waits for its turn: {ahead.in_repository} ahead in this repository, {limits.per_repository} at once"
    if ahead.overall >= limits.overall:
        return f"it waits for its turn: {ahead.overall} ahead in this service, {limits.overall} at once"
    return ""


def _as_waiting(why: str, now: datetime) -> dict[str, object]:
    return {
        "headline": Headline.PLANNING,
        "reason": why,
        "next_action": "The run begins when its turn has come.",
        "headline_since": now,
        "deadline": now + WAITS_AT_MOST,
    }


async def end_if_waiting(run_id: str) -> None:
    """End a run at once that is asked to stop, or has waited too long, before its turn has come."""
    if await _has_to_end(run_id):
        await DBOS.cancel_workflow_async(run_id)
        with SetWorkflowID(f"{run_id}:waiting"):
            await DBOS.start_workflow_async(end_orphaned_run, run_id, NO_TURN)


@effect
async def _has_to_end(run_id: str) -> bool:
    """Whether it waits for other runs; one that can begin at once ends by itself."""
    run = await call_db(run_rows.get, run_id)
    overdue = run.created_at + WAITS_AT_MOST < utcnow()
    if run.stop_state is None and not overdue:
        return False
    ahead = await call_db(run_turn.count_ahead, run_id)
    return bool(why_waiting(ahead, services().limits)) and await _waits(run)


async def _waits(run: RunRow) -> bool:
    """Whether its workflow is still in the queue."""
    if run.base_sha is not None or run.completed_at is not None:
        return False
    workflow = await DBOS.get_workflow_status_async(run.run_id)
    return workflow is not None and workflow.status == "ENQUEUED"
