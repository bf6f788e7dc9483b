"""How Autopack's own runs move through a phase: each step moves phase and run together; a repeat changes nothing."""

from collections.abc import Sequence
from datetime import datetime

from app.db import run_rows
from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run
from app.domain.phase_account import PhaseAccount, ShownDiff
from app.domain.states import PhaseState, RunState
from app.runs import transitions


def start_attempt(db: Database, run_id: str, phase_id: str, attempt: int, now: datetime) -> None:
    """The Builder starts: phase EXECUTING, run PHASE_EXECUTION, active time runs."""
    cause = f"{phase_id} attempt {attempt}"
    with db.writing() as session:
        run, phase = session.get_one(Run, run_id, with_for_update=LOCK), session.get_one(Phase, (run_id, phase_id))
        run.active_since, phase.builder_attempts = now, attempt
        transitions.bring_run(session, run, RunState.PHASE_EXECUTION, cause, now)
        transitions.bring_phase(session, phase, PhaseState.EXECUTING, cause, now)


def move_to_gate(db: Database, run_id: str, phase_id: str, cause: str, now: datetime) -> None:
    """An attempt is built: phase and run are at the gate."""
    with db.writing() as session:
        run, phase = session.get_one(Run, run_id, with_for_update=LOCK), session.get_one(Phase, (run_id, phase_id))
        transitions.bring_phase(session, phase, PhaseState.GATE, cause, now)
        transitions.bring_run(session, run, RunState.GATE, cause, now)


def start_audit(db: Database, run_id: str, phase_id: str, audits: int) -> None:
    """The Auditor starts with the phase's audit of this number."""
    run_rows.update_phase(db, run_id, phase_id, {"auditor_attempts": audits})


def record_push(
    db: Database, run_id: str, phase_id: str | None, head_sha: str, paths: Sequence[str] = (), summary: str = ""
) -> None:
    """The branch has a new commit, the phase's or a merge; the phase's changed the files `paths`, says its builder."""
    run_rows.update(db, run_id, {"head_sha": head_sha})
    if phase_id is not None:
        run_rows.record_push(db, run_id, phase_id, head_sha, paths, summary)


def record_audit(db: Database, run_id: str, phase_id: str, summary: str) -> None:
    """What the newest audit of the phase says."""
    with db.writing() as session:
        phase = session.get_one(Phase, (run_id, phase_id), with_for_update=LOCK)
        phase.account = (phase.account or PhaseAccount()).model_copy(update={"audit": summary[:2_000]})


def record_pull(db: Database, run_id: str, pull_number: int) -> None:
    """The run's branch has this pull request."""
    run_rows.update(db, run_id, {"pull_number": pull_number})


def move_to_ci(db: Database, run_id: str, phase_id: str, now: datetime) -> None:
    """CI judges a pushed commit: until it has, no active time runs."""
    transitions.stop_clock(db, run_id, now)
    transitions.move_run(db, run_id, RunState.CI_RUNNING, f"{phase_id} pushed", now)


def send_back(db: Database, run_id: str, phase_id: str, note: str, now: datetime) -> None:
    """The attempt did not pass, for the reason `note`; another one follows."""
    transitions.move_phase(db, run_id, phase_id, PhaseState.RETRY, note, now, note=note)


def fail_phase(db: Database, run_id: str, phase_id: str, note: str, now: datetime) -> None:
    """The last attempt did not pass, for the reason `note`."""
    transitions.move_phase(db, run_id, phase_id, PhaseState.FAILED, note, now, note=note)


def complete_phase(
    db: Database, run_id: str, phase_id: str, cause: str, shown: ShownDiff | None, now: datetime
) -> None:
    """The phase's commit is audited, as far as `shown` says, and not red."""
    with db.writing() as session:
        run, phase = session.get_one(Run, run_id, with_for_update=LOCK), session.get_one(Phase, (run_id, phase_id))
        phase.note = ""
        phase.account = (phase.account or PhaseAccount()).model_copy(update={"shown": shown})
        transitions.bring_run(session, run, RunState.SNAPSHOT_CREATED, cause, now)
        transitions.bring_phase(session, phase, PhaseState.COMPLETE, cause, now)


def mark_snapshot(db: Database, run_id: str, phase_id: str) -> None:
    """Record that the phase's commit is green and audited."""
    with db.writing() as session:
        session.get_one(Phase, (run_id, phase_id)).snapshot = True
