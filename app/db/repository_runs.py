"""Runs by the repository or installation they are in, as owners rename, transfer and suspend those."""

import sqlalchemy as sa

from app.db.engine import Database
from app.db.run_rows import RunRow
from app.db.tables import Run

NEWEST = 20
"""Runs that have ended are shown again after a suspension, so many at most."""


def list_runs_of(db: Database, repository_id: int, name: str) -> list[RunRow]:
    """The open runs of a repository, by its id; those without one by its name."""
    by_name = sa.and_(Run.repository_id.is_(None), Run.repository == name)
    query = sa.select(Run).where(sa.or_(Run.repository_id == repository_id, by_name), Run.completed_at.is_(None))
    with db.reading() as session:
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def list_ended_runs_of(db: Database, repository_id: int) -> list[RunRow]:
    """The newest runs of a repository that have ended."""
    return _newest_ended(db, Run.repository_id == repository_id)


def list_runs_of_installation(db: Database, installation_id: int) -> list[RunRow]:
    """The open runs that are reached through an installation."""
    query = sa.select(Run).where(Run.installation_id == installation_id, Run.completed_at.is_(None))
    with db.reading() as session:
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def list_ended_runs_of_installation(db: Database, installation_id: int) -> list[RunRow]:
    """The newest runs of an installation that have ended."""
    return _newest_ended(db, Run.installation_id == installation_id)


def _newest_ended(db: Database, which: sa.ColumnElement[bool]) -> list[RunRow]:
    query = sa.select(Run).where(which, Run.completed_at.is_not(None)).order_by(Run.completed_at.desc()).limit(NEWEST)
    with db.reading() as session:
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def knows_otherwise(db: Database, repository_id: int, name: str, installation_id: int) -> bool:
    """Whether runs hold another name, or another installation, of this repository."""
    other = sa.or_(Run.repository != name, Run.installation_id != installation_id)
    with db.reading() as session:
        return (
            session.scalar(sa.select(Run.run_id).where(Run.repository_id == repository_id, other).limit(1)) is not None
        )


def rename_repository(db: Database, repository_id: int, name: str, installation_id: int) -> None:
    """The repository has this name now, and is reached through this installation."""
    values = {"repository": name, "installation_id": installation_id}
    with db.writing() as session:
        session.execute(sa.update(Run).where(Run.repository_id == repository_id).values(**values))
