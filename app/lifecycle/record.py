"""Steps on the database: transitions, findings, the ledger of model calls. Nothing here touches GitHub."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dbos import DBOS

from app.agents.guard import ModelCall
from app.db import issues, ledger, picture, progress, runs
from app.domain.budget import BudgetExhausted, RunStopped, Usage
from app.domain.findings import Finding
from app.domain.plan import Plan
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import Strategy
from app.domain.view import FindingView, RunView
from app.lifecycle.services import services
from app.lifecycle.steps import step, utcnow


@step
def move_run(run_id: str, target: RunState, cause: str) -> None:
    progress.move_run(services().db, run_id, target, cause, utcnow())


@step
def move_tier(run_id: str, tier_id: str, target: TierState, cause: str) -> None:
    progress.move_tier(services().db, run_id, tier_id, target, cause, utcnow())


@step
def start_attempt(run_id: str, phase_id: str, attempt: int) -> None:
    """The Builder sets to work: phase EXECUTING, run PHASE_EXECUTION, active time runs."""
    cause = f"{phase_id} attempt {attempt}"
    db, at = services().db, utcnow()
    progress.move_run(db, run_id, RunState.PHASE_EXECUTION, cause, at, active_since=at)
    progress.move_phase(db, run_id, phase_id, PhaseState.EXECUTING, cause, at, builder_attempts=attempt)


@step
def to_gate(run_id: str, phase_id: str, cause: str) -> None:
    progress.move_phase(services().db, run_id, phase_id, PhaseState.GATE, cause, utcnow())
    progress.move_run(services().db, run_id, RunState.GATE, cause, utcnow())


@step
def start_audit(run_id: str, phase_id: str, audits: int) -> None:
    runs.update_phase(services().db, run_id, phase_id, {"auditor_attempts": audits})


@step
def await_ci(run_id: str, phase_id: str, ci_runs: int) -> None:
    """A commit is pushed and judged by CI: the time until it is judged is not active work."""
    db, at = services().db, utcnow()
    progress.stop_clock(db, run_id, at)
    progress.move_run(db, run_id, RunState.CI_RUNNING, f"{phase_id} pushed", at)
    runs.update_phase(db, run_id, phase_id, {"ci_runs": ci_runs})


@step
def send_back(run_id: str, phase_id: str, note: str) -> None:
    progress.move_phase(services().db, run_id, phase_id, PhaseState.RETRY, note, utcnow(), note=note)


@step
def fail_phase(run_id: str, phase_id: str, note: str) -> None:
    progress.move_phase(services().db, run_id, phase_id, PhaseState.FAILED, note, utcnow(), note=note)


@step
def complete_phase(run_id: str, phase_id: str, cause: str, *, snapshot: bool) -> None:
    db, at = services().db, utcnow()
    progress.move_run(db, run_id, RunState.SNAPSHOT_CREATED, cause, at)
    progress.move_phase(db, run_id, phase_id, PhaseState.COMPLETE, cause, at, snapshot=snapshot, note="")


@step
def pushed(run_id: str, phase_id: str | None, head_sha: str) -> None:
    runs.update(services().db, run_id, {"head_sha": head_sha})
    if phase_id is not None:
        runs.update_phase(services().db, run_id, phase_id, {"head_sha": head_sha})


@step
def pull_opened(run_id: str, pull_number: int) -> None:
    runs.update(services().db, run_id, {"pull_number": pull_number})


@step
def store_strategy(run_id: str, plan: Plan, strategy: Strategy) -> None:
    runs.store_strategy(services().db, run_id, plan, strategy)
    progress.move_run(services().db, run_id, RunState.RUN_CREATED, "plan and strategy stored", utcnow())


@step
def append_phase(run_id: str, plan: Plan, strategy: Strategy, phase_id: str) -> None:
    runs.append_phase(services().db, run_id, plan, strategy, phase_id)


@step
def notice(run_id: str, text: str, *, ci_absent: bool = False) -> None:
    runs.add_notice(services().db, run_id, text, ci_absent=ci_absent)


@step
def findings(run_id: str, phase_id: str, found: Sequence[Finding], seen_in: str) -> None:
    issues.record(services().db, run_id, phase_id, found, seen_in, utcnow())


@step
def resolve(run_id: str, phase_id: str, fingerprints: Sequence[str], resolution: str) -> None:
    issues.resolve(services().db, run_id, phase_id, fingerprints, resolution)


@step
def open_findings(run_id: str, phase_id: str) -> tuple[FindingView, ...]:
    return tuple(f for f in issues.of_run(services().db, run_id) if f.phase_id == phase_id and f.open)


@step
def view(run_id: str) -> RunView:
    """The picture of the run as it stands now."""
    return picture.take(services().db, run_id, services().server_url)


@step
def stop_asked(run_id: str) -> tuple[RunState, str] | None:
    """The state in which somebody wants the run to end, and why."""
    run = runs.get(services().db, run_id)
    return (run.stop_state, run.stop_reason) if run.stop_state else None


@step
def end_run(run_id: str, state: RunState, reason: str) -> tuple[RunState, str]:
    """End what is still open: the phase at work, its tier, and the run; the state it ended in, and why."""
    return progress.end(services().db, run_id, state, reason, utcnow())


@step
def told(run_id: str) -> None:
    """GitHub shows the end of the run."""
    runs.update(services().db, run_id, {"told_at": utcnow()})


@step
def _reserve(run_id: str, phase_id: str | None, call: ModelCall) -> str:
    """Reserve for one request; repeated after a crash, this step has the same number, and so the same reservation."""
    db, call_id = services().db, f"{DBOS.workflow_id}:{DBOS.step_id}"
    run = progress.tick(db, run_id, utcnow())
    if run.stop_state is not None:
        raise RunStopped(run.stop_reason)
    _check_clock(run, utcnow())
    ledger.reserve(db, call_id, run_id, phase_id, call.role, call.model, call.tokens, utcnow())
    return call_id


@step
def _settle(call_id: str, usage: Usage) -> None:
    ledger.settle(services().db, call_id, usage)


def _check_clock(run: runs.RunRow, at: datetime) -> None:
    """Raise `BudgetExhausted` when the run's active time is used up."""
    if run.max_minutes is None:
        return
    minutes = run.active_minutes(at)
    if minutes >= run.max_minutes:
        raise BudgetExhausted(f"run {run.run_id}: {minutes:.1f} of {run.max_minutes:g} active minutes used")


@dataclass(frozen=True)
class RunLedger:
    """The durable ledger of one conversation: each reservation and settlement is a step of its workflow."""

    run_id: str
    phase_id: str | None

    async def reserve(self, call: ModelCall) -> str:
        return await _reserve(self.run_id, self.phase_id, call)

    async def settle(self, reservation: str, usage: Usage) -> None:
        await _settle(reservation, usage)
