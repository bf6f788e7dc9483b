"""Runs, tiers and phases: created all or nothing, moved only by the machines of `app.domain.states`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import LOCK, Database
from app.db.tables import ModelCall, Phase, Run, Tier, Transition
from app.domain import states
from app.domain.plan import Plan
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import RunOptions, Strategy
from app.domain.view import Headline

_RESUMED = "Resumed after a crash or restart"


class NewRun(BaseModel):
    """What is known when a run is asked for."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    repository: str
    installation_id: int
    issue_number: int
    issue_title: str
    intent: str
    requester: str
    requester_id: int
    trigger_comment_id: int | None = None
    options: RunOptions = RunOptions()
    base_branch: str
    token_cap: int


class RunRow(BaseModel):
    """A run as stored, detached from the database."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    run_id: str
    repository: str
    installation_id: int
    issue_number: int
    issue_title: str
    intent: str
    requester: str
    requester_id: int
    trigger_comment_id: int | None
    options: RunOptions
    state: RunState
    base_branch: str
    base_sha: str | None
    head_sha: str | None
    pull_number: int | None
    token_cap: int
    stop_state: RunState | None
    stop_reason: str
    last_log: str
    promotion_eligible: bool
    promoted_at: datetime | None
    active_seconds: float
    active_since: datetime | None
    max_minutes: float | None
    created_at: datetime
    completed_at: datetime | None
    told_at: datetime | None
    """When everything about the run's end had been said on GitHub."""

    def active_minutes(self, at: datetime) -> float:
        """Minutes of active work up to `at`; waiting for CI or a person is not counted."""
        running = (at - self.active_since).total_seconds() if self.active_since else 0.0
        return (self.active_seconds + running) / 60

    @property
    def branch(self) -> str:
        return f"autonomous/{self.run_id}"


def create(db: Database, new: NewRun, now: datetime) -> str:
    """Create the run, or return the id of the open run that the same repository, issue and intent already have."""
    row = Run(
        **new.model_dump(mode="json", exclude={"options"}),
        options=new.options.model_dump(mode="json"),
        state=RunState.PLAN_BOOTSTRAP,
        headline=Headline.PLANNING,
        headline_since=now,
        created_at=now,
    )
    try:
        with db.writing() as session:
            session.add(row)
            session.flush()
            _record(
                session,
                new.run_id,
                "run",
                new.run_id,
                "",
                RunState.PLAN_BOOTSTRAP,
                f"asked for by {new.requester}",
                now,
            )
    except IntegrityError:
        existing = open_run(db, new.repository, new.issue_number, new.intent) or _first(db, Run.run_id == new.run_id)
        # None: the run that was in the way has ended since.
        return existing.run_id if existing else create(db, new, now)
    return new.run_id


def get(db: Database, run_id: str) -> RunRow:
    """The run. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        return RunRow.model_validate(session.get_one(Run, run_id))


def _first(db: Database, *conditions: sa.ColumnElement[bool]) -> RunRow | None:
    query = sa.select(Run).where(*conditions).order_by(Run.completed_at.is_not(None), Run.created_at.desc()).limit(1)
    with db.reading() as session:
        row = session.scalar(query)
        return RunRow.model_validate(row) if row else None


def open_run(db: Database, repository: str, issue_number: int, intent: str = "build") -> RunRow | None:
    """The run on this issue that has not ended."""
    return _first(
        db,
        Run.repository == repository,
        Run.issue_number == issue_number,
        Run.intent == intent,
        Run.completed_at.is_(None),
    )


def latest_run(db: Database, repository: str, number: int) -> RunRow | None:
    """The run whose issue or pull request has this number: the one that is on, else the newest."""
    return _first(db, Run.repository == repository, sa.or_(Run.issue_number == number, Run.pull_number == number))


def run_of_branch(db: Database, repository: str, branch: str) -> RunRow | None:
    """The run that owns an `autonomous/…` branch."""
    return _first(db, Run.repository == repository, Run.run_id == branch.removeprefix("autonomous/"))


def run_of_head(db: Database, repository: str, head_sha: str) -> RunRow | None:
    """The open run whose newest commit this is."""
    return _first(db, Run.repository == repository, Run.head_sha == head_sha, Run.completed_at.is_(None))


def open_runs(db: Database) -> list[RunRow]:
    """All runs that have not ended, oldest first."""
    with db.reading() as session:
        query = sa.select(Run).where(Run.completed_at.is_(None), Run.repository.is_not(None)).order_by(Run.created_at)
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def store_strategy(db: Database, run_id: str, plan: Plan, strategy: Strategy) -> None:
    """Store plan and frozen strategy with the run's tiers and phases, all or nothing; a repeat changes nothing."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.plan is not None:
            return
        run.plan = plan.model_dump(mode="json")
        run.strategy = strategy.model_dump(mode="json")
        run.token_cap = strategy.token_cap
        run.safety_profile = strategy.safety_profile
        run.run_scope = strategy.run_scope
        run.max_minutes = strategy.max_minutes
        for tier in plan.tiers:
            session.add(
                Tier(
                    run_id=run_id,
                    tier_id=tier.tier_id,
                    tier_index=tier.tier_index,
                    name=tier.name,
                    state=TierState.PENDING,
                )
            )
        for phase in plan.phases:
            session.add(_phase_row(run_id, phase.phase_id, phase.tier_id, phase.phase_index))


def append_phase(db: Database, run_id: str, plan: Plan, strategy: Strategy, phase_id: str) -> None:
    """Store a phase that came up during the run, with the plan and strategy that hold it; a repeat changes nothing."""
    with db.writing() as session:
        if session.get(Phase, (run_id, phase_id)) is not None:
            return
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        run.plan = plan.model_dump(mode="json")
        run.strategy = strategy.model_dump(mode="json")
        phase = next(phase for phase in plan.phases if phase.phase_id == phase_id)
        tier = next(tier for tier in plan.tiers if tier.tier_id == phase.tier_id)
        if session.get(Tier, (run_id, tier.tier_id)) is None:
            session.add(
                Tier(
                    run_id=run_id,
                    tier_id=tier.tier_id,
                    tier_index=tier.tier_index,
                    name=tier.name,
                    state=TierState.PENDING,
                )
            )
        session.add(_phase_row(run_id, phase.phase_id, phase.tier_id, phase.phase_index))


def _phase_row(run_id: str, phase_id: str, tier_id: str, index: int) -> Phase:
    return Phase(run_id=run_id, phase_id=phase_id, tier_id=tier_id, phase_index=index, state=PhaseState.QUEUED)


def update(db: Database, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run that no machine governs."""
    with db.writing() as session:
        session.execute(sa.update(Run).where(Run.run_id == run_id).values(**values))


def update_phase(db: Database, run_id: str, phase_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a phase that no machine governs."""
    with db.writing() as session:
        session.execute(sa.update(Phase).where(Phase.run_id == run_id, Phase.phase_id == phase_id).values(**values))


def add_notice(db: Database, run_id: str, text: str, *, ci_absent: bool = False) -> None:
    """Say something once in the status comment; the same text again changes nothing."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if text not in run.notices:
            run.notices = [*run.notices, text]
        run.ci_absent = run.ci_absent or ci_absent


def stop_clock(db: Database, run_id: str, at: datetime) -> None:
    """Add the time since `active_since` to the active time; a stopped clock stays stopped."""
    with db.writing() as session:
        _stop_clock(session.get_one(Run, run_id, with_for_update=LOCK), at)


def note_restart(db: Database, at: datetime) -> None:
    """After a crash: open runs say that they were resumed; time since their last model request is not counted."""
    with db.writing() as session:
        for run in session.scalars(sa.select(Run).where(Run.completed_at.is_(None))):
            earlier = [one for one in run.notices if not one.startswith(_RESUMED)]
            run.notices = [*earlier, f"{_RESUMED} at {at:%Y-%m-%d %H:%M} UTC; nothing was done twice."]
            if run.active_since is not None:
                run.active_since = at


def tick(db: Database, run_id: str, at: datetime) -> RunRow:
    """Add the active time so far, so that a crash loses only what comes after; return the run."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.active_since is not None:
            _stop_clock(run, at)
            run.active_since = at
        return RunRow.model_validate(run)


def end(db: Database, run_id: str, state: RunState, reason: str, at: datetime) -> tuple[RunState, str]:
    """End the run and everything of it that is still open; return the state it ended in, and why.

    Somebody who asked it to stop before it succeeded is heard. Ended already: nothing changes.
    """
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if RunState(run.state).terminal:
            return RunState(run.state), run.reason
        if state is RunState.DONE_SUCCESS and run.stop_state is not None:
            state, reason = RunState(run.stop_state), run.stop_reason
        _stop_clock(run, at)
        for phase in session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index)):
            old = PhaseState(phase.state)
            if not old.ended:
                failing = state.failed and old is not PhaseState.QUEUED
                phase.state = states.advance_phase(old, PhaseState.FAILED if failing else PhaseState.SKIPPED)
                phase.note = phase.note or reason[:200]
                _record(session, run_id, "phase", phase.phase_id, old, phase.state, reason, at)
        for tier in session.scalars(sa.select(Tier).where(Tier.run_id == run_id).order_by(Tier.tier_index)):
            if tier.state in {TierState.PENDING, TierState.RUNNING}:
                before = TierState(tier.state)
                tier.state = states.advance_tier(before, TierState.BLOCKED)
                _record(session, run_id, "tier", tier.tier_id, before, tier.state, reason, at)
        _record(session, run_id, "run", run_id, run.state, states.advance_run(RunState(run.state), state), reason, at)
        session.execute(sa.update(ModelCall).where(ModelCall.run_id == run_id).values(settled=True))
        run.state = state
        run.completed_at = at
        run.reason = reason
        run.failure_reason = reason if state.failed else None
        return state, reason


def ask_to_stop(db: Database, run_id: str, state: RunState, reason: str) -> bool:
    """Ask an open run to end in `state`; who asks first is heard. False when it has ended or was asked before."""
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
        if run.state == target:
            return
        old = RunState(run.state)
        run.state = states.advance_run(old, target)
        if run.started_at is None and target is not RunState.RUN_CREATED:
            run.started_at = now
        if target.terminal:
            run.completed_at = now
        _record(session, run_id, "run", run_id, old, target, cause, now)


def move_tier(db: Database, run_id: str, tier_id: str, target: TierState, cause: str, now: datetime) -> None:
    """Move a tier, as `move_run` does a run."""
    with db.writing() as session:
        tier = session.get_one(Tier, (run_id, tier_id), with_for_update=LOCK)
        if tier.state == target:
            return
        old = TierState(tier.state)
        tier.state = states.advance_tier(old, target)
        _record(session, run_id, "tier", tier_id, old, target, cause, now)


def move_phase(
    db: Database, run_id: str, phase_id: str, target: PhaseState, cause: str, now: datetime, **values: Any
) -> None:
    """Move a phase, as `move_run` does a run, and set further columns in the same transaction."""
    with db.writing() as session:
        phase = session.get_one(Phase, (run_id, phase_id), with_for_update=LOCK)
        for name, value in values.items():
            setattr(phase, name, value)
        if phase.state == target:
            return
        old = PhaseState(phase.state)
        phase.state = states.advance_phase(old, target)
        _record(session, run_id, "phase", phase_id, old, target, cause, now)


def _stop_clock(run: Run, at: datetime) -> None:
    if run.active_since is not None:
        run.active_seconds += (at - run.active_since).total_seconds()
        run.active_since = None


def _record(
    session: Session, run_id: str, machine: str, subject: str, old: str, new: str, cause: str, now: datetime
) -> None:
    session.add(Transition(run_id=run_id, machine=machine, subject=subject, old=old, new=new, cause=cause, at=now))
