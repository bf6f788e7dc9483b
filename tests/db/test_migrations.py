"""Databases of earlier versions keep their rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import app.db
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Phase
from tests.db.sample_rows import NOW

RUN = {"run_id": "r1", "repository": "acme/widgets", "engine": "external", "state": "GATE", "token_cap": 1}

BODIES: dict[str, dict[str, str]] = {
    "builder": {"status": "success"},
    "auditor": {"review_notes": "Fine.", "recommendation": "approve"},
}


@pytest.fixture
def old(url: str) -> Iterator[Database]:
    """A database with the tables of revision 0001."""
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(app.db.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    yield database
    database.close()


def _empty(kind: sa.types.TypeEngine[Any]) -> object:
    if isinstance(kind, sa.DateTime):
        return NOW
    return {} if isinstance(kind, sa.JSON) else kind.python_type()


def insert(db: Database, table: str, **values: Any) -> None:
    """Insert a row; columns without a value get an empty one of their type."""
    with db.engine.begin() as connection:
        reflected = sa.Table(table, sa.MetaData(), autoload_with=connection)
        empty = {
            column.name: _empty(column.type)
            for column in reflected.columns
            if not column.nullable and not column.primary_key
        }
        connection.execute(reflected.insert().values(empty | values))


def test_submissions_keep_what_was_judged(old: Database) -> None:
    insert(old, "runs", **RUN)
    for phase_id, awaiting in (("P1", "work"), ("P2", "audit")):
        phase = {"run_id": "r1", "phase_id": phase_id, "tier_id": "T1", "state": "GATE", "awaiting": awaiting}
        insert(old, "phases", **phase)
    for number, (phase_id, role) in enumerate((("P1", "builder"), ("P1", "auditor"), ("P2", "builder")), 1):
        body = BODIES[role] | {"run_id": "r1", "phase_id": phase_id}
        insert(old, "submissions", id=number, run_id="r1", phase_id=phase_id, role=role, attempt=1, body=body, at=NOW)
    old.migrate()
    with old.reading() as session:
        rows = {row.id: row for row in session.scalars(sa.select(Submission))}
        assert [rows[number].judged for number in (1, 3)] == [False, True]
        assert [rows[number].judged_submission_id for number in (1, 2, 3)] == [None, 1, None]
        assert set(session.scalars(sa.select(Phase.state))) == {"GATE"}
