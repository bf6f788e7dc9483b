"""How runs, tiers and phases move and end: only by the machines of `app.domain.states`, each step recorded."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog, finding_rows, run_rows
from app.db.engine import LOCK, Database
from app.db.run_rows import RunRow, record_transition
from app.db.tables import ModelCallRow, Phase, Run, Tier
from app.domain import states
from app.domain.budget import Exhausted
from app.domain.plan import Plan
from app.domain.run_end import final_headline, next_action_without_repository, next_part
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import Strategy
from app.runs.kept_phases import keep_complete

_RESUMED_PREFIX = "Resumed after a crash or restart"


def store_strategy(
    db: Database, run_id: str, plan: Plan, strategy: Strategy, at: datetime, rest: Sequence[Plan] = ()
) -> None:
    """Store plan and frozen strategy with the run's tiers and phases: RUN_CREATED; a repeat changes nothing.

    `rest` are parts of the plan that are too much for this run: they come before those that were left already.
    All or nothing, since clients may move the run as soon as it has phases.
    """
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.strategy is not None:
            return
        run.rest = [*rest, *run.rest]
        run.parts = run.part + len(run.rest)
        store_plan_and_strategy(session, run, plan, strategy, at)


def store_plan_and_strategy(session: Session, run: Run, plan: Plan, strategy: Strategy, at: datetime) -> None:
    """Give the run plan and strategy, and so its state RUN_CREATED, in the caller's transaction."""
    run_rows.store_plan(session, run, plan, strategy)
    keep_complete(session, run, at)
    stop_clock_in(run, at)
    step_run(session, run, RunState.RUN_CREATED, "plan and strategy stored", at)


def begin_planning(db: Database, run_id: str, max_minutes: float, now: datetime) -> None:
    """The Planner starts: active time runs, and is bounded by `max_minutes` until the run's strategy says otherwise."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        run.active_since = run.active_since or now
        run.max_minutes = run.max_minutes or max_minutes


def stop_clock(db: Database, run_id: str, at: datetime) -> None:
    """Add the time since `active_since` to the active time; a stopped clock stays stopped."""
    with db.writing() as session:
        stop_clock_in(session.get_one(Run, run_id, with_for_update=LOCK), at)


def mark_runs_resumed(db: Database, at: datetime, run_ids: Collection[str] | None = None) -> None:
    """After a crash: open runs (these, or all) say that they were resumed; time since then is not counted."""
    chosen = sa.select(Run).where(Run.completed_at.is_(None))
    with db.writing() as session:
        for run in session.scalars(chosen if run_ids is None else chosen.where(Run.run_id.in_(run_ids))):
            earlier = [one for one in run.notices if not one.startswith(_RESUMED_PREFIX)]
            run.notices = [*earlier, f"{_RESUMED_PREFIX} at {at:%Y-%m-%d %H:%M} UTC; nothing was done twice."]
            if run.active_since is not None:
                run.active_since = at


def update_clock(db: Database, run_id: str, at: datetime) -> RunRow:
    """Add the active time so far, so that a crash loses only what comes after; return the run."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.active_since is not None:
            stop_clock_in(run, at)
            run.active_since = at
        return RunRow.model_validate(run)


def end_run(
    db: Database, run_id: str, state: RunState, reason: str, at: datetime, exhausted: Exhausted | None = None
) -> tuple[RunState, str]:
    """End the run and everything of it that is still open; return the state it ended in, and why.

    A stop request recorded before success wins. Ended already: nothing changes. A request that was cut
    off may have been answered and billed, so its whole reservation counts as used.
    """
    with db.writing() as session:
        return end_run_in(session, session.get_one(Run, run_id, with_for_update=LOCK), state, reason, at, exhausted)


def end_run_in(
    session: Session, run: Run, state: RunState, reason: str, at: datetime, exhausted: Exhausted | None = None
) -> tuple[RunState, str]:
    """`end` within a transaction that holds the run."""
    run_id = run.run_id
    if run.state.terminal:
        return run.state, run.reason
    if state is RunState.DONE_SUCCESS and run.stop_state is not None:
        state, reason = run.stop_state, run.stop_reason
    stop_clock_in(run, at)
    for phase in session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index)):
        old = phase.state
        if not old.ended:
            failing = state.failed and old is not PhaseState.QUEUED
            step_phase(session, phase, PhaseState.FAILED if failing else PhaseState.SKIPPED, reason, at)
            phase.note = phase.note or reason[:200]
    for tier in session.scalars(sa.select(Tier).where(Tier.run_id == run_id).order_by(Tier.tier_index)):
        if tier.state in {TierState.PENDING, TierState.RUNNING}:
            step_tier(session, tier, TierState.BLOCKED, reason, at)
    step_run(session, run, state, reason, at)
    cut_off = sa.update(ModelCallRow).where(ModelCallRow.run_id == run_id, ModelCallRow.settled.is_(False))
    session.execute(cut_off.values(settled=True, input=ModelCallRow.reserved))
    run.exhausted = exhausted
    run.completed_at = at
    run.reason = reason
    run.failure_reason = reason if state.failed else None
    run.headline, run.headline_since, run.deadline = final_headline(state, plan_only=run.intent == "plan"), at, None
    if run.repository is None:  # nothing else shows its end
        follows = next_part(run.part, run.parts) if run.rest and state is RunState.DONE_SUCCESS else ""
        run.next_action = next_action_without_repository(state, exhausted, follows)
        run.told_at = at
    session.flush()
    backlog.close_run_in_backlog(session, run)
    return state, reason


def request_stop(db: Database, run_id: str, state: RunState, reason: str) -> bool:
    """Ask an open run to end in `state`; the first request wins. False when it has ended or was asked before."""
    with db.writing() as session:
        asked = session.scalar(
            sa.update(Run)
            .where(Run.run_id == run_id, Run.completed_at.is_(None), Run.stop_state.is_(None))
            .values(stop_state=state, stop_reason=reason)
            .returning(Run.run_id)
        )
        return asked is not None


def move_run(db: Database, run_id: str, target: RunState, cause: str, now: datetime, **values: Any) -> None:
    """Move the run; being there already is not an error, so that a step can be repeated.

    Raises `IllegalTransition` when the machine has no such step.
    """
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        for name, value in values.items():
            setattr(run, name, value)
        bring_run(session, run, target, cause, now)


def move_tier(db: Database, run_id: str, tier_id: str, target: TierState, cause: str, now: datetime) -> None:
    """Move a tier, as `move_run` does a run."""
    with db.writing() as session:
        tier = session.get_one(Tier, (run_id, tier_id), with_for_update=LOCK)
        if tier.state != target:
            step_tier(session, tier, target, cause, now)


def move_phase(
    db: Database, run_id: str, phase_id: str, target: PhaseState, cause: str, now: datetime, **values: Any
) -> None:
    """Move a phase, as `move_run` does a run, and set further columns in the same transaction."""
    with db.writing() as session:
        phase = session.get_one(Phase, (run_id, phase_id), with_for_update=LOCK)
        for name, value in values.items():
            setattr(phase, name, value)
        bring_phase(session, phase, target, cause, now)


def bring_run(session: Session, run: Run, target: RunState, cause: str, at: datetime) -> None:
    """`move_run` within a transaction that holds the run."""
    if run.state == target:
        return
    step_run(session, run, target, cause, at)
    if run.started_at is None and target is not RunState.RUN_CREATED:
        run.started_at = at
    if target.terminal:
        run.completed_at = at


def bring_phase(session: Session, phase: Phase, target: PhaseState, cause: str, at: datetime) -> None:
    """`move_phase` within a transaction that holds the run."""
    if phase.state != target:
        step_phase(session, phase, target, cause, at)


def step_run(session: Session, run: Run, target: RunState, cause: str, at: datetime) -> None:
    old = run.state
    run.state = states.advance_run(old, target)
    record_transition(session, run.run_id, "run", run.run_id, old, target, cause, at)


def step_tier(session: Session, tier: Tier, target: TierState, cause: str, at: datetime) -> None:
    old = tier.state
    tier.state = states.advance_tier(old, target)
    record_transition(session, tier.run_id, "tier", tier.tier_id, old, target, cause, at)


def step_phase(session: Session, phase: Phase, target: PhaseState, cause: str, at: datetime) -> None:
    old = phase.state
    phase.state = states.advance_phase(old, target)
    if target is PhaseState.COMPLETE:
        finding_rows.resolve_cleaned_up(session, phase)
    record_transition(session, phase.run_id, "phase", phase.phase_id, old, target, cause, at)


def stop_clock_in(run: Run, at: datetime) -> None:
    """`stop_clock` within a transaction that holds the run."""
    if run.active_since is not None:
        run.active_seconds += (at - run.active_since).total_seconds()
        run.active_since = None
