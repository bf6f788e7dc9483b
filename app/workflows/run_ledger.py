"""The durable ledger of a run's model calls."""

from dataclasses import dataclass
from datetime import datetime

from dbos import DBOS

from app.agents.guard import PendingRequest
from app.db import model_calls
from app.db.budget_usage import EarlyCaps
from app.db.run_rows import RunRow
from app.domain.budget import (
    Cap,
    Kind,
    ModelFailed,
    ModelFailure,
    PhaseSkipped,
    Purpose,
    Role,
    RunStopped,
    Scope,
    Usage,
    exhausted,
)
from app.runs import run_requests, transitions
from app.workflows import db_steps
from app.workflows.services import services
from app.workflows.steps import blocking_step, db_step, utcnow


@dataclass(frozen=True)
class RunLedger:
    """The durable ledger of one conversation: each reservation and settlement is a step of its workflow."""

    run_id: str
    phase_id: str | None
    early: EarlyCaps | None = None
    """Holds before the run's strategy says what may be used."""

    async def reserve(self, call: PendingRequest) -> str:
        return await _reserve(self.run_id, self.phase_id, call, self.early)

    async def settle(self, reservation: str, usage: Usage) -> None:
        await _settle(reservation, usage)

    async def record_failure(self, role: Role, failed: ModelFailed) -> None:
        """Have the status comment say why a model gave way."""
        await db_steps.add_notice(self.run_id, f"{role.capitalize()}: {failed.reason}")

    async def read_tokens_left(self) -> int | None:
        """Tokens left under the tightest of the caps that bound the conversation."""
        return await _read_tokens_left(self.run_id, self.phase_id)


_settle = db_step(model_calls.settle)
_read_tokens_left = db_step(model_calls.read_tokens_left)


@blocking_step
def _reserve(run_id: str, phase_id: str | None, call: PendingRequest, early: EarlyCaps | None) -> str:
    """Reserve for one request; repeated after a crash, this step has the same number, and so the same reservation."""
    db, call_id = services().db, f"{DBOS.workflow_id}:{DBOS.step_id}"
    run = transitions.update_clock(db, run_id, utcnow())
    if run.stop_state is not None:
        raise RunStopped(run.stop_reason)
    if phase_id is not None and run_requests.get_skip(db, run_id, phase_id):
        raise PhaseSkipped(phase_id)
    if run.paused_since is not None:
        raise ModelFailed(ModelFailure.PAUSED, f"paused by {run.paused_by}")
    request = model_calls.Reservation(call_id, run_id, phase_id, call.role, call.model, call.tokens, call.cost_usd)
    _check_clock(run, request, utcnow())
    model_calls.reserve(db, request, utcnow(), early=early)
    return call_id


def _check_clock(run: RunRow, request: model_calls.Reservation, at: datetime) -> None:
    """Raise `BudgetExhausted` when the run's active time is used up."""
    if run.max_minutes is None:
        return
    minutes = Cap(
        scope=Scope.RUN, name=run.run_id, kind=Kind.MINUTES, limit=run.max_minutes, used=run.active_minutes(at)
    )
    if minutes.used >= minutes.limit:
        raise exhausted(minutes, 0, Purpose(role=request.role, phase_id=request.phase_id))
