"""What runs have to tell on GitHub, which did not take it when it was due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import OwedText
from app.domain.frozen import Frozen


class Owed(Frozen):
    """A text that is owed: the name of the function that tells it, and its arguments after the run's id."""

    id: int
    run_id: str
    name: str
    arguments: list[Any]
    since: datetime


def add(db: Database, run_id: str, name: str, arguments: Sequence[Any], reason: str, now: datetime) -> None:
    """Owe a text; one that is owed already stays as it is."""
    with db.writing() as session:
        rows = session.scalars(sa.select(OwedText).where(OwedText.run_id == run_id, OwedText.name == name))
        if all(row.arguments != list(arguments) for row in rows):
            session.add(OwedText(run_id=run_id, name=name, arguments=list(arguments), reason=reason, since=now))


def list_owed(db: Database, limit: int) -> list[Owed]:
    """The oldest texts that are owed."""
    with db.reading() as session:
        rows = session.scalars(sa.select(OwedText).order_by(OwedText.id).limit(limit))
        return [Owed.model_validate(row) for row in rows]


def delete(db: Database, owed_id: int) -> None:
    """The text is told, or given up."""
    with db.writing() as session:
        session.execute(sa.delete(OwedText).where(OwedText.id == owed_id))
