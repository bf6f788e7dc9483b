"""Locks that say which processes serve a database. They end with the process that holds them, however it ends.

SQLite has one process. PostgreSQL has any number: each is a row of `workers`, and holds the lock of that row's number.
Who gets another's lock knows that it is dead, and may take up its work; the dead one never gets it back.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

LOCAL = "local"
"""The name of the one process of SQLite, which takes up its own work when it starts again."""
_ALONE_KEY = 727002
"""Releases before 0.2 hold it alone: they serve a PostgreSQL with one process."""
_ALONE = sa.text(f"SELECT pg_try_advisory_lock_shared({_ALONE_KEY})")
_WORKER_KEY = 727003
_LEADER_KEY = 727004
_KEEPALIVE_SQL = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '2', false)"
)
"""The server ends the session of a host that vanished after 20 seconds; else it keeps it for hours."""
_LOCKED = sa.text(
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :key AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_ROWS = sa.text("SELECT number, executor_id, version FROM workers WHERE ended_at IS NULL ORDER BY number")
_ENTER = sa.text(
    "INSERT INTO workers (number, executor_id, version, begun_at) VALUES (:number, :name, :version, now())"
)
_LEADS = sa.text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :key AND objsubid = 1"
    " AND pid = pg_backend_pid()"
)


class WorkerReplaced(RuntimeError):
    """Another process does the work of this process now: this process ends."""


@dataclass(frozen=True, slots=True)
class DeadWorker:
    """A process that ended, or lost its database, without handing over its work."""

    number: int
    executor_id: str


class WorkerLock:
    """What one process holds of a database. Without other processes, all is as these methods say."""

    def take(self) -> bool:
        """Whether this process may serve the database now. Safe to repeat."""
        return True

    def release(self) -> None:
        """Let others have what this process held."""

    def enlist(self, version: str) -> str:  # noqa: ARG002
        """Enter this process as a worker, once the tables are there; the name by which its work is known."""
        return LOCAL

    def confirm(self) -> None:
        """Raise `WorkerReplaced` where its work was taken up, `SQLAlchemyError` where that cannot be known now."""

    def leads(self) -> bool:
        """Whether this process does what one does for all."""
        return True

    def list_dead(self) -> list[DeadWorker]:
        """Processes that left work behind."""
        return []

    def list_versions(self) -> list[str]:
        """The workflow versions of the living processes."""
        return []

    def bury(self, dead: DeadWorker) -> bool:  # noqa: ARG002
        """Take the lock of a dead process; False when it lives, or another one buries it."""
        return False

    def end_burial(self, dead: DeadWorker, *, done: bool) -> None:
        """Let go of it; `done` when all its work was taken up."""


class FileWorkerLock(WorkerLock):
    """SQLite: a lock on a file next to the database. The file stays; only the lock on it counts."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False)

    def take(self) -> bool:
        """Whether this process holds it now. Raises `OSError` when the file cannot be made."""
        if not self._lock.is_locked:
            try:
                self._lock.acquire()
            except Timeout:
                return False
        return True

    def release(self) -> None:
        self._lock.release()


class PostgresWorkerLock(WorkerLock):
    """PostgreSQL: advisory locks of one session kept open. Where the server ends it, the next use opens another.

    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self._number: int | None = None
        self._guard = threading.RLock()

    def take(self) -> bool:
        """False while a process of an earlier release serves alone. Raises `SQLAlchemyError` without an answer."""
        with self._session() as session:
            return bool(session.scalar(_ALONE))

    def enlist(self, version: str) -> str:
        """Enter a row after its lock is held, so that no one ever sees the row of a living process without it."""
        with self._session() as session:
            number = int(session.scalar(sa.text("SELECT nextval('workers_number_seq')")) or 0)
            session.execute(sa.text(f"SELECT pg_advisory_lock({_WORKER_KEY}, {number})"))
            name = f"worker-{number}"
            session.execute(_ENTER, {"number": number, "name": name, "version": version})
            self._number = number
            return name

    def confirm(self) -> None:
        """The lock lives as long as the session that answers here."""
        if self._number is None:
            return
        with self._session() as session:
            alive = sa.text("SELECT count(*) FROM workers WHERE number = :number AND ended_at IS NULL")
            if not session.scalar(alive, {"number": self._number}):
                raise WorkerReplaced(f"another process has taken up the work of worker {self._number}")

    def leads(self) -> bool:
        """Taken once in a session: PostgreSQL counts how often a lock is taken."""
        with self._session() as session:
            return bool(
                session.scalar(_LEADS, {"key": _LEADER_KEY})
                or session.scalar(sa.text(f"SELECT pg_try_advisory_lock({_LEADER_KEY})"))
            )

    def list_dead(self) -> list[DeadWorker]:
        """Processes whose row has not ended though no session holds its lock."""
        return [DeadWorker(row.number, row.executor_id) for row, held in self._rows() if not held]

    def list_versions(self) -> list[str]:
        """The workflow versions of all processes whose lock is held."""
        return [row.version for row, held in self._rows() if held]

    def _rows(self) -> list[tuple[sa.Row[Any], bool]]:
        """The rows that have not ended, and whether a session holds the lock of each."""
        with self._session() as session:
            rows = session.execute(_ROWS).all()  # before the locks: each of these was held when its row was entered
            held = set(session.scalars(_LOCKED, {"key": _WORKER_KEY}))
        return [(row, row.number in held) for row in rows]

    def bury(self, dead: DeadWorker) -> bool:
        """Take the lock of a dead process; False when it lives, or another one buries it."""
        with self._session() as session:
            return bool(session.scalar(_try(dead.number)))

    def end_burial(self, dead: DeadWorker, *, done: bool) -> None:
        """Let go of it; `done` when all its work was taken up."""
        with self._session() as session:
            if done:
                ended = sa.text("UPDATE workers SET ended_at = now() WHERE number = :number AND ended_at IS NULL")
                session.execute(ended, {"number": dead.number})
            session.execute(sa.text(f"SELECT pg_advisory_unlock({_WORKER_KEY}, {dead.number})"))

    def release(self) -> None:
        with self._guard:
            self._close()

    @contextmanager
    def _session(self) -> Generator[sa.Connection]:
        """The session of the locks, for one thread at a time. One that the server has ended is closed.

        Raises `WorkerReplaced` where a new session cannot hold the locks of the one before.
        """
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                    self._connection.execute(sa.text(_KEEPALIVE_SQL))
                    self._take_again(self._connection)
                yield self._connection
            except DBAPIError:
                self._close()
                raise

    def _take_again(self, session: sa.Connection) -> None:
        """Have the locks of the session before; every use of a new session depends on them."""
        if self._number is not None and not (session.scalar(_ALONE) and session.scalar(_try(self._number))):
            self._close()
            raise WorkerReplaced(f"another process has the lock of worker {self._number}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _try(number: int) -> sa.Executable:
    return sa.text(f"SELECT pg_try_advisory_lock({_WORKER_KEY}, {number})")


def shared_lock_sql(name: str) -> tuple[Any, dict[str, str]]:
    """The statement that waits for a lock of this name until the transaction's end, and its parameters."""
    return sa.text("SELECT pg_advisory_xact_lock(727005, hashtext(:name))"), {"name": name}
