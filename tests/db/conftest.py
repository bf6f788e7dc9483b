"""Every test has a database of its own, on SQLite and on a real PostgreSQL server."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from app.db.engine import Database
from tests.support.databases import BACKENDS, Server, new_database, postgresql

PLAIN = {"test_backlog", "test_picture"}
"""What is computed from plain rows is proven on SQLite."""
PARALLEL = {
    "test_reports_at_the_same_moment_are_all_kept",
    "test_a_run_that_ends_while_others_report_loses_nothing",
}
"""Of these modules' tests those with parallel writers, which both databases have to stand."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the modules in `PLAIN` only the tests of `PARALLEL` run on PostgreSQL, or all when asked."""
    if config.getoption("--all-databases"):
        return
    left_out = [
        item
        for item in items
        if item.path.parent == Path(__file__).parent
        and (item.path.stem in PLAIN and "[postgresql" in item.name and item.name.partition("[")[0] not in PARALLEL)
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


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

    def copy(folder: Path) -> str:
        if running is None:
            shutil.copy(original.removeprefix("sqlite:///"), folder / "autopack.db")
            return f"sqlite:///{folder / 'autopack.db'}"
        name, template = f"copy_{uuid4().hex}", database.url.database  # the server outlives this fixture
        running.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return running.get_uri(name)

    return copy


@pytest.fixture
def db(copy_of_migrated: Callable[[Path], str], tmp_path: Path) -> Iterator[Database]:
    """A database with its tables."""
    database = Database(copy_of_migrated(tmp_path))
    yield database
    database.close()
