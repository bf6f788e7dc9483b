"""How a run moves whose phases are built elsewhere: a phase's step takes its tier and its run along.

Every function works in the caller's transaction, which holds the run: what a client posts is done whole or not at all.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import budget_usage, linked_runs
from app.db.tables import ModelCallRow, Phase, Run, Tier
from app.domain import budget, states
from app.domain.api_errors import Conflict, NotFound, Unprocessable
from app.domain.budget import Kind, Purpose, Role, Scope
from app.domain.findings import Recommendation
from app.domain.gate import GateRules, Move, NextStep, PhaseStatus
from app.domain.plan import is_identifier
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import Strategy
from app.queries import phase_status, run_details
from app.runs import continuation, submissions, tier_outcome, transitions

EXTERNAL_MODEL = "external"
"""The model's name in the ledger: Autopack does not know which one an external agent uses."""

_RUN_STATE_AFTER = {
    PhaseState.EXECUTING: RunState.PHASE_EXECUTION,
    PhaseState.GATE: RunState.GATE,
    PhaseState.RETRY: RunState.PHASE_QUEUEING,
    PhaseState.COMPLETE: RunState.SNAPSHOT_CREATED,
}
"""Where a phase's step takes its run."""


def lock_run(session: Session, run_id: str) -> Run:
    """The run, held until the transaction ends. Raises `Unknown`."""
    return run_details.get_run(session, run_id, held=True)


def get_phase(session: Session, run: Run, phase_id: str) -> Phase:
    """A phase of the run. Raises `Unknown`."""
    phase = session.get(Phase, (run.run_id, phase_id)) if is_identifier(phase_id) else None
    if phase is None:
        known = session.scalars(sa.select(Phase.phase_id).where(Phase.run_id == run.run_id).order_by(Phase.phase_index))
        later = linked_runs.following_run_with_phase(run, phase_id)
        elsewhere = f"; it comes with the run {later}, once the one before has succeeded" if later else ""
        has = f"; it has {', '.join(known) or 'none yet'}"
        raise NotFound(f"The run {run.run_id} has no phase {phase_id[:100]!r}{elsewhere}{has}")
    return phase


def lock_run_and_phase(
    session: Session, run_id: str, phase_id: str, said_run: str, said_phase: str
) -> tuple[Run, Phase]:
    """Run and phase of the address, held. Raises `Unknown`, and `Unusable` when the body names others."""
    if (said_run, said_phase) != (run_id, phase_id):
        raise Unprocessable(
            f"The body speaks of {said_run}/{said_phase}, the address of {run_id}/{phase_id}: let them agree"
        )
    run = lock_run(session, run_id)
    phase = get_phase(session, run, phase_id)
    require_not_paused(run)
    return run, phase


def require_not_paused(run: Run) -> None:
    """Raise `Conflict` while a person has the run paused."""
    if run.paused_since is not None and not run.state.terminal:
        since = f"{run.paused_since:%Y-%m-%d %H:%M} UTC"
        raise Conflict(f"The run {run.run_id} is paused by {run.paused_by} since {since}: resume it, then post again")


def strategy_of(run: Run) -> Strategy:
    return run.frozen_strategy


def move_phase(session: Session, run: Run, phase: Phase, target: PhaseState, cause: str, at: datetime) -> None:
    """Move a phase, and its tier and run with it; the last phase's end ends them too.

    Raises `IllegalTransition`, and then nothing has moved.
    """
    transitions.step_phase(session, phase, target, cause, at)
    if target is PhaseState.RETRY:
        submissions.withdraw(session, phase)
    tier = session.get_one(Tier, (run.run_id, phase.tier_id))
    if tier.state == TierState.PENDING:
        transitions.step_tier(session, tier, TierState.RUNNING, cause, at)
    if target in _RUN_STATE_AFTER:
        advance_run_to(session, run, _RUN_STATE_AFTER[target], cause, at)
    session.flush()
    if target is PhaseState.FAILED:
        phase.note = phase.note or cause[:200]
        reason = f"{phase.phase_id} did not pass: {cause}"
        transitions.end_run_in(session, run, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason, at)
    elif target.ended:
        _close_tier(session, run, tier, cause, at)


def advance_run_to(session: Session, run: Run, target: RunState, cause: str, at: datetime) -> None:
    """Take the run to `target` by steps that its machine has."""
    current = run.state
    through = (RunState.GATE,) if current is RunState.PHASE_EXECUTION and target is RunState.SNAPSHOT_CREATED else ()
    for stop in (*through, target):
        for state in states.route_run(run.state, stop):
            transitions.step_run(session, run, state, cause, at)
    run.started_at = run.started_at or at


def move_to_gate(session: Session, run: Run, phase: Phase, cause: str, at: datetime) -> None:
    """Bring a phase to its gate from any state that an attempt or an audit finds it in."""
    if phase.state in {PhaseState.QUEUED, PhaseState.RETRY}:
        move_phase(session, run, phase, PhaseState.EXECUTING, cause, at)
    if phase.state != PhaseState.GATE:
        move_phase(session, run, phase, PhaseState.GATE, cause, at)


def send_back(session: Session, run: Run, phase: Phase, note: str, at: datetime) -> None:
    """The gate, an audit or CI sends the work back to its builder."""
    phase.note = note[:300]
    move_phase(session, run, phase, PhaseState.RETRY, note, at)


def fail_phase(session: Session, run: Run, phase: Phase, note: str, at: datetime, state: RunState) -> None:
    """No try is left: the phase fails, and the run ends in `state`."""
    if phase.state == PhaseState.QUEUED:  # an audit may come before any result
        move_phase(session, run, phase, PhaseState.EXECUTING, note, at)
    phase.note = note[:300]
    transitions.step_phase(session, phase, PhaseState.FAILED, note, at)
    session.flush()
    transitions.end_run_in(session, run, state, f"{phase.phase_id} did not pass: {note}", at)


def take_step(session: Session, run: Run, phase: Phase, step: NextStep, at: datetime) -> None:
    """Do what the gate decided."""
    match step.move:
        case Move.STAY:
            pass
        case Move.COMPLETE:
            move_phase(session, run, phase, PhaseState.COMPLETE, step.note, at)
        case Move.SEND_BACK:
            send_back(session, run, phase, step.note, at)
        case Move.BUILD:
            if phase.state == PhaseState.GATE:
                send_back(session, run, phase, step.note, at)
            if phase.state != PhaseState.EXECUTING:
                move_phase(session, run, phase, PhaseState.EXECUTING, step.note, at)
        case Move.FAIL:
            fail_phase(session, run, phase, step.note, at, step.run_state)


def gate_rules_of(run: Run, phase: Phase) -> GateRules:
    """What governs the phase at its gate."""
    return phase_status.gate_rules(run, strategy_of(run).of_phase(phase.phase_id))


def status_of(session: Session, run: Run, phase: Phase) -> PhaseStatus:
    """What an externally built phase waits for; ENDED where Autopack's own agents build."""
    session.flush()
    return phase_status.read_status(session, run, phase, strategy_of(run)) or PhaseStatus.ENDED


def book_tokens(session: Session, run: Run, phase: Phase, role: Role, tokens: int, call: str, at: datetime) -> None:
    """Book what an external agent used. The same `call` again replaces its amount."""
    call_id = f"external:{run.run_id}:{phase.phase_id}:{call}"
    booked = session.get(ModelCallRow, call_id)
    if booked is None:
        booked = ModelCallRow(
            id=call_id,
            run_id=run.run_id,
            phase_id=phase.phase_id,
            role=role,
            model=EXTERNAL_MODEL,
            reserved=0,
            settled=True,
            at=at,
        )
        session.add(booked)
    booked.input = tokens
    session.flush()


def end_if_exhausted(session: Session, run: Run, phase: Phase, role: Role, at: datetime) -> bool:
    """End the run when what was booked is over a cap of tokens or minutes, naming it; whether it was."""
    for cap in budget_usage.read_caps(session, run):
        here = {Scope.TIER: phase.tier_id, Scope.PHASE: phase.phase_id}.get(cap.scope, cap.name) == cap.name
        if here and cap.kind in {Kind.TOKENS, Kind.MINUTES} and cap.used > cap.limit:
            over = budget.exhausted(cap, 0, Purpose(role=role, phase_id=phase.phase_id)).exhausted
            state = RunState.DONE_FAILED_BUDGET_EXHAUSTED
            transitions.end_run_in(session, run, state, over.reason, at, over)
            return True
    return False


def record_late_audit(run: Run, phase: Phase, recommendation: Recommendation) -> None:
    """A late audit that does not approve takes the run's promotion away; a later one of the phase can give it back."""
    objection = f"a late audit of {phase.phase_id} says: "
    if recommendation is not Recommendation.APPROVE:
        run.late_objection = objection + recommendation
    elif run.late_objection.startswith(objection):
        run.late_objection = ""


def _close_tier(session: Session, run: Run, tier: Tier, cause: str, at: datetime) -> None:
    """End the tier with its last phase, and with the last of all the run, unless it has a branch to be promoted."""
    phases = session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id)).all()
    of_tier = [phase.state for phase in phases if phase.tier_id == tier.tier_id]
    if not all(state.ended for state in of_tier):
        return
    outcome = tier_outcome.tier_outcome(session, run, tier.tier_id)
    transitions.step_tier(session, tier, outcome, cause, at)
    session.flush()
    if outcome is TierState.NOT_CLEAN and strategy_of(run).not_clean_fails_run:
        reason = f"tier {tier.tier_id} is not clean, which the safety profile {run.safety_profile} does not allow"
        transitions.end_run_in(session, run, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason, at)
    elif all(phase.state.ended for phase in phases):
        if run.state in {RunState.PHASE_EXECUTION, RunState.GATE}:
            advance_run_to(session, run, RunState.PHASE_QUEUEING, cause, at)
        if run.repository is None:
            transitions.end_run_in(session, run, RunState.DONE_SUCCESS, "every phase has ended", at)
            continuation.create_after(session, run, at)  # at once, so that its client need not wait for it
