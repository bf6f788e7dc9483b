"""Which runs take their turn before another one."""

from typing import NamedTuple

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import Run


class Ahead(NamedTuple):
    """Open runs that were requested before a run: in its repository, and of the whole service."""

    in_repository: int
    overall: int


def count_ahead(db: Database, run_id: str) -> Ahead:
    """Count the runs that take their turn before this one. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        before = (Run.completed_at.is_(None), Run.repository.is_not(None), Run.created_at < run.created_at)
        counted = sa.select(sa.func.count()).where(*before)
        here = session.scalar(counted.where(Run.project_id == run.project_id))
        return Ahead(here or 0, session.scalar(counted) or 0)


def get_project(db: Database, run_id: str) -> str:
    """The run's project. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        return session.get_one(Run, run_id).project_id
