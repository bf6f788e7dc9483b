"""What a run that goes on with an ended one keeps: phases that are complete, and those that a person skipped."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.run_rows import record_transition
from app.db.tables import Phase, Run
from app.domain.states import PhaseState


def keep_complete(session: Session, run: Run, at: datetime) -> None:
    """In a run that goes on with another, mark what is complete there, or was skipped by a person."""
    if run.continues is None:
        return
    earlier = {one.phase_id: one for one in session.scalars(sa.select(Phase).where(Phase.run_id == run.continues))}
    session.flush()
    for phase in session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id)):
        kept = earlier.get(phase.phase_id)
        if kept is None or not (kept.state is PhaseState.COMPLETE or (kept.skip_by and kept.state.ended)):
            continue
        phase.state, phase.head_sha, phase.snapshot = kept.state, kept.head_sha, kept.snapshot
        phase.auditor_attempts, phase.changed_paths = kept.auditor_attempts, kept.changed_paths
        phase.skip_by, phase.note = kept.skip_by, kept.note or f"kept from {run.continues}"
        phase.account = kept.account
        cause = f"kept from {run.continues}"
        record_transition(session, run.run_id, "phase", phase.phase_id, "", kept.state, cause, at)


def last_kept_sha(db: Database, run_id: str) -> str | None:
    """The commit of the last phase that the run keeps from the one before; None where it keeps none."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        complete = sa.select(Phase.head_sha).where(
            Phase.run_id == run.continues, Phase.state == PhaseState.COMPLETE, Phase.head_sha.is_not(None)
        )
        return session.scalar(complete.order_by(Phase.phase_index.desc()).limit(1))
