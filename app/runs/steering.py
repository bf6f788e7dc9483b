"""How people steer an open run: pause, resume, cancel, skip, fix. Each is one transaction, and safe to repeat."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run
from app.domain.findings import Source
from app.domain.frozen import Frozen
from app.domain.requested_change import RequestedChange, RequestKind
from app.domain.states import PhaseState, RunState
from app.domain.steer_request import PAUSED_AT_MOST, SteerAnswer, SteerRequest, done, refused
from app.domain.strategy import Engine
from app.runs import phase_moves, transitions

_ACTIVE = frozenset({RunState.PLAN_BOOTSTRAP, RunState.PHASE_EXECUTION, RunState.GATE})
"""States in which active time runs."""


def pause(db: Database, run_id: str, asked: SteerRequest, now: datetime) -> SteerAnswer:
    """No further model request is sent for the run, and its active time stops."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.state.terminal:
            return _has_ended(run)
        if run.paused_since is not None:
            return refused(f"The run {run_id} is paused already, by {run.paused_by}.")
        transitions.stop_clock_in(run, now)
        run.paused_since, run.paused_by = now, asked.by
        return done(f"The run {run_id} is paused: no further model request is sent until `resume`.")


def resume(db: Database, run_id: str, asked: SteerRequest, now: datetime) -> SteerAnswer:
    """The run goes on where it was paused."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.state.terminal:
            return _has_ended(run)
        if run.paused_since is None:
            return refused(f"The run {run_id} is not paused.")
        since, by = run.paused_since, run.paused_by
        run.notices = [*run.notices, f"Paused by {by} at {since:%Y-%m-%d %H:%M} UTC, resumed by {asked.by}."]
        run.paused_since, run.paused_by, run.resumed_at, run.headline_since = None, "", now, now
        if run.state in _ACTIVE:
            run.active_since = now
        return done(f"The run {run_id} goes on.")


def cancel(db: Database, run_id: str, asked: SteerRequest, now: datetime) -> SteerAnswer:
    """The run is asked to end; one that no workflow leads ends at once."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.state.terminal:
            return _has_ended(run)
        _end(session, run, f"cancelled by {asked.by}", now)
        return done(f"The run {run_id} is cancelled; what it pushed stays on its branch.")


def skip(db: Database, run_id: str, asked: SteerRequest, now: datetime) -> SteerAnswer:
    """A phase that has not begun is skipped at once; one at work is left out by the run's workflow."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.state.terminal:
            return _has_ended(run)
        phase = find_phase(session, run, asked.phase_id)
        if phase is None:
            return _no_phase(session, run, asked.phase_id)
        if phase.state.ended:
            return refused(f"{phase.phase_id} has ended: it is {phase.state.lower()}.")
        phase.skip_by = asked.by
        cause = f"skipped by {asked.by}"
        if run.engine is Engine.EXTERNAL:
            phase_moves.move_phase(session, run, phase, PhaseState.SKIPPED, cause, now)
        elif phase.state is PhaseState.QUEUED:
            transitions.step_phase(session, phase, PhaseState.SKIPPED, cause, now)
        phase.note = cause
        return done(f"{phase.phase_id} is left out.")


def leave_out(db: Database, run_id: str, phase_id: str, by: str, now: datetime) -> None:
    """The phase at work is skipped: its open findings are of no account any more."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        phase = session.get_one(Phase, (run_id, phase_id))
        phase.skip_by = phase.skip_by or by
        cause = f"skipped by {phase.skip_by}"
        transitions.bring_phase(session, phase, PhaseState.SKIPPED, cause, now)
        transitions.bring_run(session, run, RunState.PHASE_QUEUEING, cause, now)
        transitions.stop_clock_in(run, now)
        phase.note, phase.head_sha, phase.snapshot = cause, None, False
        finding_rows.resolve_sources(session, run, phase, tuple(Source), cause)


def fix(db: Database, run_id: str, asked: SteerRequest) -> SteerAnswer:
    """The change is made as a phase of its own, once the phases of the plan are complete."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.state.terminal:
            return _has_ended(run)
        if run.engine is Engine.EXTERNAL:
            return refused("The run is built by an external agent: ask that one for the change.")
        add_fix(run, asked)
        return done("The change is made as a phase of its own, once the phases of the plan are complete.")


def add_fix(run: Run, asked: SteerRequest) -> None:
    """Store what `fix` asks for, once."""
    change = RequestedChange(
        kind=RequestKind.FIX, id=asked.source_id, login=asked.by, url=asked.url, text=asked.text[:20_000]
    )
    known = run.objections or ()
    if all(one.key != change.key for one in known):
        run.objections = (*known, change)


def find_phase(session: Session, run: Run, phase_id: str) -> Phase | None:
    """The run's phase of this name, in upper or lower case."""
    named = sa.select(Phase).where(Phase.run_id == run.run_id)
    return next((one for one in session.scalars(named) if one.phase_id.casefold() == phase_id.casefold()), None)


def _no_phase(session: Session, run: Run, phase_id: str) -> SteerAnswer:
    known = session.scalars(sa.select(Phase.phase_id).where(Phase.run_id == run.run_id).order_by(Phase.phase_index))
    return refused(f"The run has no phase {phase_id}; it has {', '.join(known) or 'none yet'}.")


def _has_ended(run: Run) -> SteerAnswer:
    return refused(f"The run {run.run_id} has ended ({run.state}): {run.reason or 'no reason is stored'}.")


class Standing(Frozen):
    """Whether the run goes on, waits for a person, or is to end."""

    stop_reason: str | None = None
    paused_until: datetime | None = None


def read_standing(db: Database, run_id: str) -> Standing:
    """Read whether the run is asked to end, or paused, and until when at most."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        stop = run.stop_reason if run.stop_state is not None else None
        return Standing(stop_reason=stop, paused_until=run.paused_since and run.paused_since + PAUSED_AT_MOST)


def cancel_overdue(db: Database, run_id: str, now: datetime) -> bool:
    """Whether the run was paused for so long that it is cancelled, which it then is asked to be."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if run.paused_since is None or run.paused_since + PAUSED_AT_MOST > now or run.state.terminal:
            return False
        _end(session, run, f"paused by {run.paused_by} for {PAUSED_AT_MOST.days} days, and not resumed", now)
        return True


def _end(session: Session, run: Run, reason: str, at: datetime) -> None:
    """Cancel the run at once where no workflow leads it; else ask its workflow to, and the first request wins."""
    if run.repository is None:
        transitions.end_run_in(session, run, RunState.DONE_CANCELLED, reason, at)
    elif run.stop_state is None:
        run.stop_state, run.stop_reason = RunState.DONE_CANCELLED, reason
