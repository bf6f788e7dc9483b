"""Findings that people called wrong: remembered for their repository, so that no audit reports them again."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.column_types import Base, PlainText
from app.domain.frozen import Frozen

MAX_LISTED = 1_000


class Dismissal(Base):
    """A finding that a person called wrong."""

    __tablename__ = "dismissals"
    project_id: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    problem: Mapped[str] = mapped_column(PlainText)
    """Its place and what it says."""
    reason: Mapped[str] = mapped_column(PlainText)
    login: Mapped[str] = mapped_column(sa.String(100))
    url: Mapped[str] = mapped_column(PlainText)
    """The person's reply."""
    run_id: Mapped[str] = mapped_column(sa.String(100))
    at: Mapped[datetime]


class DismissedFinding(Frozen):
    """A finding that a person called wrong, and why."""

    fingerprint: str
    problem: str
    reason: str
    login: str
    url: str

    @property
    def words(self) -> str:
        because = f", because {self.reason}" if self.reason else ""
        return f"{self.problem}\nWrong, says {self.login}{because}."


def list_in(session: Session, project_id: str) -> tuple[DismissedFinding, ...]:
    """What people of the project called wrong, the newest first."""
    newest = sa.select(Dismissal).where(Dismissal.project_id == project_id).order_by(Dismissal.at.desc())
    return tuple(DismissedFinding.model_validate(row) for row in session.scalars(newest.limit(MAX_LISTED)))
