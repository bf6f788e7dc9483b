"""Steps on the database: transitions, findings, the ledger of model calls. Nothing here touches GitHub."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dbos import DBOS

from app.agents.guard import PendingRequest
from app.db import finding_rows, model_calls, run_rows
from app.db.tables import Run
from app.domain.budget import Cap, Exhausted, Kind, Purpose, RunStopped, Scope, Usage, exhausted
from app.domain.findings import Finding
from app.domain.plan import Plan
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import FindingView, RunView
from app.domain.strategy import Strategy
from app.queries import run_view
from app.runs import continuation, transitions
from app.runs import tier_outcome as cleanliness
from app.workflows.services import services
from app.workflows.steps import blocking_step, utcnow


@blocking_step
def move_run(run_id: str, target: RunState, cause: str) -> None:
    transitions.move_run(services().db, run_id, target, cause, utcnow())


@blocking_step
def move_tier(run_id: str, tier_id: str, target: TierState, cause: str) -> None:
    transitions.move_tier(services().db, run_id, tier_id, target, cause, utcnow())


@blocking_step
def tier_outcome(run_id: str, tier_id: str) -> TierState:
    """Whether the tier is clean, by the issues that are still open in it and what it spent."""
    with services().db.reading() as session:
        return cleanliness.tier_outcome(session, session.get_one(Run, run_id), tier_id)


@blocking_step
def start_attempt(run_id: str, phase_id: str, attempt: int) -> None:
    """The Builder sets to work: phase EXECUTING, run PHASE_EXECUTION, active time runs."""
    cause = f"{phase_id} attempt {attempt}"
    db, at = services().db, utcnow()
    transitions.move_run(db, run_id, RunState.PHASE_EXECUTION, cause, at, active_since=at)
    transitions.move_phase(db, run_id, phase_id, PhaseState.EXECUTING, cause, at, builder_attempts=attempt)


@blocking_step
def move_to_gate(run_id: str, phase_id: str, cause: str) -> None:
    transitions.move_phase(services().db, run_id, phase_id, PhaseState.GATE, cause, utcnow())
    transitions.move_run(services().db, run_id, RunState.GATE, cause, utcnow())


@blocking_step
def start_audit(run_id: str, phase_id: str, audits: int) -> None:
    run_rows.update_phase(services().db, run_id, phase_id, {"auditor_attempts": audits})


async def claim_ci_run(run_id: str, phase_id: str | None) -> None:
    """Count one more CI run for the phase, or for a merge with the base.

    Raises `BudgetExhausted` when a cap has no room for it; then nothing may be pushed.
    """
    await _claim_ci_run(run_id, phase_id, await _ci_runs(run_id, phase_id) + 1)


@blocking_step
def check_ci_budget(run_id: str, phase_id: str) -> None:
    """Raise `BudgetExhausted` when no CI run is left for the phase: what it built could not be pushed."""
    model_calls.check_ci_budget(services().db, run_id, phase_id)


@blocking_step
def _ci_runs(run_id: str, phase_id: str | None) -> int:
    return model_calls.ci_runs(services().db, run_id, phase_id)


@blocking_step
def _claim_ci_run(run_id: str, phase_id: str | None, number: int) -> None:
    model_calls.claim_ci_run(services().db, run_id, phase_id, number)


@blocking_step
def move_to_ci(run_id: str, phase_id: str) -> None:
    """A commit is pushed and judged by CI: the time until it is judged is not active work."""
    db, at = services().db, utcnow()
    transitions.stop_clock(db, run_id, at)
    transitions.move_run(db, run_id, RunState.CI_RUNNING, f"{phase_id} pushed", at)


@blocking_step
def send_back(run_id: str, phase_id: str, note: str) -> None:
    transitions.move_phase(services().db, run_id, phase_id, PhaseState.RETRY, note, utcnow(), note=note)


@blocking_step
def fail_phase(run_id: str, phase_id: str, note: str) -> None:
    transitions.move_phase(services().db, run_id, phase_id, PhaseState.FAILED, note, utcnow(), note=note)


@blocking_step
def complete_phase(run_id: str, phase_id: str, cause: str, *, snapshot: bool) -> None:
    db, at = services().db, utcnow()
    transitions.move_run(db, run_id, RunState.SNAPSHOT_CREATED, cause, at)
    transitions.move_phase(db, run_id, phase_id, PhaseState.COMPLETE, cause, at, snapshot=snapshot, note="")


@blocking_step
def record_push(run_id: str, phase_id: str | None, head_sha: str, paths: Sequence[str] = ()) -> None:
    """The branch has a new commit, the phase's or a merge; the phase's changed the files `paths`."""
    run_rows.update(services().db, run_id, {"head_sha": head_sha})
    if phase_id is not None:
        run_rows.record_push(services().db, run_id, phase_id, head_sha, paths)


@blocking_step
def record_pull(run_id: str, pull_number: int) -> None:
    run_rows.update(services().db, run_id, {"pull_number": pull_number})


@blocking_step
def store_strategy(run_id: str, plan: Plan, strategy: Strategy, rest: Sequence[Plan]) -> None:
    transitions.store_strategy(services().db, run_id, plan, strategy, utcnow(), rest)


@blocking_step
def append_phase(run_id: str, plan: Plan, strategy: Strategy, phase_id: str) -> None:
    run_rows.append_phase(services().db, run_id, plan, strategy, phase_id)


@blocking_step
def add_notice(run_id: str, text: str, *, ci_absent: bool = False) -> None:
    run_rows.add_notice(services().db, run_id, text, ci_absent=ci_absent)


@blocking_step
def record_findings(run_id: str, phase_id: str, found: Sequence[Finding], seen_in: str) -> None:
    finding_rows.record(services().db, run_id, phase_id, found, seen_in, utcnow())


@blocking_step
def resolve_findings(run_id: str, phase_id: str, fingerprints: Sequence[str], resolution: str) -> None:
    finding_rows.resolve(services().db, run_id, phase_id, fingerprints, resolution)


@blocking_step
def list_open_findings(run_id: str, phase_id: str) -> tuple[FindingView, ...]:
    return tuple(f for f in finding_rows.list_findings(services().db, run_id) if f.phase_id == phase_id and f.open)


@blocking_step
def read_view(run_id: str) -> RunView:
    """The picture of the run as it stands now."""
    return run_view.read_run_view(services().db, run_id, services().server_url)


@blocking_step
def get_stop_request(run_id: str) -> tuple[RunState, str] | None:
    """The state in which somebody wants the run to end, and why."""
    run = run_rows.get(services().db, run_id)
    return (run.stop_state, run.stop_reason) if run.stop_state else None


@blocking_step
def end_run(run_id: str, state: RunState, reason: str, spent: Exhausted | None = None) -> tuple[RunState, str]:
    """End what is still open: the phase at work, its tier, and the run; the state it ended in, and why."""
    return transitions.end_run(services().db, run_id, state, reason, utcnow(), spent)


@blocking_step
def create_next(run_id: str) -> str | None:
    """Create the run that does the next part of the plan; None when there is none, or it cannot be."""
    db = services().db
    following = continuation.create_next(db, run_id, utcnow())
    if following is None and (why := continuation.why_not_continued(db, run_id)):
        run_rows.add_notice(db, run_id, why)
    return following


@blocking_step
def mark_announced(run_id: str) -> None:
    """GitHub shows the end of the run."""
    run_rows.update(services().db, run_id, {"told_at": utcnow()})


@blocking_step
def _reserve(run_id: str, phase_id: str | None, call: PendingRequest, issue_token_cap: int | None) -> str:
    """Reserve for one request; repeated after a crash, this step has the same number, and so the same reservation."""
    db, call_id = services().db, f"{DBOS.workflow_id}:{DBOS.step_id}"
    run = transitions.update_clock(db, run_id, utcnow())
    if run.stop_state is not None:
        raise RunStopped(run.stop_reason)
    request = model_calls.Reservation(call_id, run_id, phase_id, call.role, call.model, call.tokens)
    _check_clock(run, request, utcnow())
    model_calls.reserve(db, request, utcnow(), issue_token_cap=issue_token_cap)
    return call_id


@blocking_step
def _settle(call_id: str, usage: Usage) -> None:
    model_calls.settle(services().db, call_id, usage)


def _check_clock(run: run_rows.RunRow, request: model_calls.Reservation, at: datetime) -> None:
    """Raise `BudgetExhausted` when the run's active time is used up."""
    if run.max_minutes is None:
        return
    minutes = Cap(
        scope=Scope.RUN, name=run.run_id, kind=Kind.MINUTES, limit=run.max_minutes, used=run.active_minutes(at)
    )
    if minutes.used >= minutes.limit:
        raise exhausted(minutes, 0, Purpose(role=request.role, phase_id=request.phase_id))


@dataclass(frozen=True)
class RunLedger:
    """The durable ledger of one conversation: each reservation and settlement is a step of its workflow."""

    run_id: str
    phase_id: str | None
    issue_token_cap: int | None = None
    """Holds before the run's strategy says what its issue may use."""

    async def reserve(self, call: PendingRequest) -> str:
        return await _reserve(self.run_id, self.phase_id, call, self.issue_token_cap)

    async def settle(self, reservation: str, usage: Usage) -> None:
        await _settle(reservation, usage)
