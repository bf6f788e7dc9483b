"""Every test has a database of its own, on SQLite and on a real PostgreSQL server."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from app.db.engine import Database
from tests.support.databases import BACKENDS, Server, new_database, postgresql


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL server per worker process, started when the first test needs it."""
    with postgresql() as running:
        yield running


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> tuple[str, Server | None]:
    """The kind of database, and the server where it has one."""
    kind: str = request.param
    return kind, request.getfixturevalue("server") if kind == "postgresql" else None


@pytest.fixture
def url(backend: tuple[str, Server | None], tmp_path: Path) -> str:
    """The address of an empty database."""
    kind, running = backend
    return new_database(kind, tmp_path, running)


@pytest.fixture(scope="session")
def copy_of_migrated(
    backend: tuple[str, Server | None], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], str]:
    """Makes databases that have their tables already: migrated once, copied for every test."""
    kind, running = backend
    original = new_database(kind, tmp_path_factory.mktemp("migrated"), running)
    database = Database(original)
    database.migrate()
    database.close()
    numbers = count(1)

    def copy(folder: Path) -> str:
        if running is None:
            shutil.copy(original.removeprefix("sqlite:///"), folder / "autopack.db")
            return f"sqlite:///{folder / 'autopack.db'}"
        name, template = f"copy_{next(numbers)}", database.url.database
        running.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return running.get_uri(name)

    return copy


@pytest.fixture
def db(copy_of_migrated: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    """A database with its tables."""
    database = Database(copy_of_migrated(tmp_path))
    yield database
    database.close()
