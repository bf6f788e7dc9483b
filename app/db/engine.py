"""The database: one engine per process, sessions for reading and for writing, and migrations at start.

SQLite runs in WAL mode with one writer: a writing session takes the write lock when it begins, so that a transaction
never fails half-way for lack of it. A killed process loses nothing. Against power loss, only deliveries are forced to
the disk at once: they are acknowledged, while everything else is done again from the last state that is there.
PostgreSQL needs none of this.
"""

import functools
import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.db.change_tracking import ChangeLog, TrackingSession
from app.db.worker_lock import FileWorkerLock, PostgresWorkerLock, WorkerLock, shared_lock_sql

BUSY_SECONDS = 30
PROCESS_LOCK_SECONDS = 30.0
"""How long a predecessor that is just ending is waited for."""
_WRITES = "autopack_writes"
LOCK: dict[str, Any] = {"key_share": True}
"""For `with_for_update`: PostgreSQL keeps other writers from the row until the commit, but not from rows that refer to
it. On SQLite a writing session is alone anyway."""


log = logging.getLogger(__name__)


class DatabaseUnusable(RuntimeError):
    """The database cannot serve: wrong address, too old a SQLite, or no permission. Says what to do."""


class Database:
    """An engine and the two ways to use it."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            _require_supported_sqlite()
            _prepare_sqlite_file(self.url)
        elif self.url.get_backend_name() == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        else:
            raise DatabaseUnusable(f"DATABASE_URL names {self.url.get_backend_name()}: use sqlite or postgresql")
        self.engine = self._engine("NORMAL")
        self._durable = self._engine("FULL") if self.sqlite else self.engine
        self._locks: sa.Engine | None = None
        self.changes = ChangeLog()
        self.worker: WorkerLock = (
            FileWorkerLock(Path(f"{self.url.database}.lock")) if self.sqlite else PostgresWorkerLock(self.engine)
        )

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session that sees one consistent state and stores nothing."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Generator[Session]:
        """A session in one transaction, committed at the end, rolled back when an exception leaves it."""
        bind = self.engine.execution_options(**{_WRITES: True})
        with TrackingSession(bind) as session:
            with session.begin():
                yield session
            self.changes.add(session.touched)

    @contextmanager
    def storing(self) -> Generator[sa.Connection]:
        """One transaction that is on the disk when it ends, for what is acknowledged then."""
        with self._durable.execution_options(**{_WRITES: True}).begin() as connection:
            yield connection

    def workflow_engine(self) -> sa.Engine | None:
        """The workflow engine's own connections to SQLite, on its terms; None lets it make them (PostgreSQL)."""
        if not self.sqlite:
            return None
        engine = sa.create_engine(self.url)
        event.listen(engine, "connect", _on_workflow_connect)
        return engine

    def _engine(self, synchronous: str) -> sa.Engine:
        if not self.sqlite:
            return sa.create_engine(self.url, pool_pre_ping=True)
        engine = sa.create_engine(self.url)
        event.listen(engine, "connect", functools.partial(_on_connect, synchronous))
        event.listen(engine, "begin", _on_begin)
        return engine

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision, by default the newest. Safe to call from several processes at once."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.storing() as connection:
            if not self.sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(727001)"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def claim(self, seconds: float = PROCESS_LOCK_SECONDS) -> None:
        """Be one of the processes that serve this database, until `close` or the process's end.

        SQLite has one. Raises `DatabaseUnusable` when another one keeps it.
        """
        deadline = time.monotonic() + seconds
        told = False
        while not self.worker.take():
            if time.monotonic() >= deadline:
                raise DatabaseUnusable(
                    "another Autopack process serves this database: stop it, give this one a DATABASE_URL of its own, "
                    "or name a PostgreSQL, which any number of processes of this release may serve"
                )
            if not told:
                log.warning("another process serves this database; waiting %g seconds at most for its end", seconds)
                told = True
            time.sleep(0.1)

    @contextmanager
    def shared_lock(self, name: str, seconds: float) -> Generator[None]:
        """Hold a lock of this name among all processes for the body; on SQLite there is one process.

        Raises `sqlalchemy.exc.OperationalError` when it is not free within `seconds`.
        """
        if self.sqlite:
            yield
            return
        if self._locks is None:  # connections of their own: who waits for a lock keeps none from who holds it
            self._locks = sa.create_engine(self.url, poolclass=sa.NullPool)
        with self._locks.begin() as connection:
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{int(seconds * 1000)}ms'"))
            connection.execute(*shared_lock_sql(name))
            yield

    def ping(self) -> None:
        """Raise a SQLAlchemyError when the database does not answer."""
        with self.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        self.worker.release()
        if self._locks is not None:
            self._locks.dispose()
        self.engine.dispose()
        self._durable.dispose()


def _require_supported_sqlite() -> None:
    import sqlite3

    python = tuple(sys.version_info[:2])
    if python >= (3, 12) and sqlite3.sqlite_version_info < (3, 42):
        raise DatabaseUnusable(
            f"SQLite {sqlite3.sqlite_version} is too old for the workflow engine on Python {python[0]}.{python[1]}: "
            "it needs SQLite 3.42, or use Python 3.11, or name a PostgreSQL in DATABASE_URL"
        )


def _prepare_sqlite_file(url: sa.URL) -> None:
    """Make the folder and switch the file to WAL, a mode that the file keeps, also for the workflow engine."""
    import sqlite3

    if url.database is None or url.database in {"", ":memory:"}:
        raise DatabaseUnusable("DATABASE_URL names an in-memory SQLite: runs must survive a restart, so name a file")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(url.database, timeout=BUSY_SECONDS)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def _on_connect(synchronous: str, connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_on_begin` says
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA synchronous={synchronous}")


def _on_workflow_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = "IMMEDIATE"  # as the workflow engine sets it on connections that it makes itself
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")


def _on_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")
