"""Locks by which one process at a time serves a database. They end with the process that holds them."""

from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.exc import DBAPIError

_KEY = 727002
_KEEPALIVE_SQL = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)
"""A server otherwise keeps the session of a host that vanished for hours."""


class ProcessLock(Protocol):
    """A lock on a database."""

    def take(self) -> bool:
        """Whether this process holds it now. Safe to repeat."""
        ...

    def release(self) -> None: ...


class FileProcessLock:
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
        """Let others have it."""
        self._lock.release()


class PostgresProcessLock:
    """PostgreSQL: an advisory lock of a session kept open. Where the server ends the session, `take` begins another."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None

    def take(self) -> bool:
        """Whether this process holds it now. Raises `SQLAlchemyError` while the server does not answer."""
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.execute(sa.text(_KEEPALIVE_SQL))
        try:
            return bool(self._connection.scalar(sa.text(f"SELECT pg_try_advisory_lock({_KEY})")))
        except DBAPIError:
            self.release()
            raise

    def release(self) -> None:
        """Let others have it."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
