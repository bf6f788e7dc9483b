"""The record of every step of every machine, with its time and cause."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.db.tables import Transition


def record_transition(
    session: Session, run_id: str, machine: str, subject: str, old: str, new: str, cause: str, now: datetime
) -> None:
    session.add(Transition(run_id=run_id, machine=machine, subject=subject, old=old, new=new, cause=cause, at=now))
