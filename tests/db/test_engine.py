"""One database, two kinds: migrations say what the models say, and what is stored comes back as it was."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

from app.db import run_rows
from app.db.column_types import Base
from app.db.engine import Database, DatabaseUnusable
from app.db.tables import DeliveryRow, Phase
from tests.db.sample_rows import NOW, at_once, new_run


def differences(db: Database) -> list[object]:
    with db.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": "autopack_version"}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


def tables(db: Database) -> set[str]:
    return set(sa.inspect(db.engine).get_table_names())


def test_migrations_make_exactly_the_tables_of_the_models(db: Database) -> None:
    assert differences(db) == []
    assert tables(db) == {*Base.metadata.tables, "autopack_version"}


def test_second_migration_changes_nothing(db: Database) -> None:
    run_rows.create(db, new_run(), NOW)
    db.migrate()
    assert differences(db) == []
    assert run_rows.get(db, "r1").issue_title == "Greet people"


def test_several_processes_may_migrate_at_once(url: str) -> None:
    databases = [Database(url) for _ in range(4)]
    try:
        at_once(4, lambda number: databases[number].migrate())
        assert differences(databases[0]) == []
        with databases[0].engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM autopack_version")) == 1
    finally:
        for database in databases:
            database.close()


def test_an_exception_leaves_nothing_behind(db: Database) -> None:
    row = DeliveryRow(id="d1", event="push", payload="{}", received_at=NOW)

    def store_and_fail() -> None:
        with db.writing() as session:
            session.add(row)
            session.flush()
            raise KeyError("afterwards")

    with pytest.raises(KeyError):
        store_and_fail()
    with db.reading() as session:
        assert session.get(DeliveryRow, "d1") is None


def test_a_phase_belongs_to_a_run_that_exists(db: Database) -> None:
    orphan = Phase(run_id="nobody", phase_id="P1", tier_id="T1", phase_index=0, state="QUEUED")
    with pytest.raises(IntegrityError), db.writing() as session:
        session.add(orphan)


def test_times_come_back_in_utc_whatever_their_zone(db: Database) -> None:
    elsewhere = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=-7)))
    with db.writing() as session:
        session.add(DeliveryRow(id="d1", event="push", payload="{}", received_at=elsewhere))
    with db.reading() as session:
        back = session.get_one(DeliveryRow, "d1").received_at
    assert back == elsewhere
    assert back.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_not_stored(db: Database) -> None:
    naive = datetime.now(UTC).replace(tzinfo=None)
    with pytest.raises(StatementError, match="without zone"), db.writing() as session:
        session.add(DeliveryRow(id="d1", event="push", payload="{}", received_at=naive))


def test_a_database_that_answers_can_be_pinged(db: Database) -> None:
    db.ping()


# SQLite alone


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_no_place_for_runs(url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="name a file"):
        Database(url)


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(DatabaseUnusable, match="mysql"):
        Database("mysql://u@h/db")


def test_sqlite_file_is_created_in_wal_mode(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "autopack.db"
    Database(f"sqlite:///{file}").close()
    connection = sqlite3.connect(file)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


def test_writer_does_not_block_reader(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    db.migrate()
    try:
        with db.writing() as writer, db.reading() as reader:
            writer.add(DeliveryRow(id="d1", event="push", payload="{}", received_at=NOW))
            writer.flush()
            assert reader.get(DeliveryRow, "d1") is None
    finally:
        db.close()


def test_a_sqlite_that_was_deleted_does_not_answer(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    db = Database(f"sqlite:///{folder / 'autopack.db'}")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(OperationalError):
        db.ping()
    db.close()
