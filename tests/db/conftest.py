"""Every test has a database of its own, on SQLite and on a real PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db.column_types import Base
from app.db.engine import Database
from tests.support.databases import BACKENDS, Server, new_database, postgresql

PLAIN = {"test_backlog", "test_picture"}
"""What is computed from plain rows is proven on SQLite."""
PARALLEL = {
    "test_reports_at_the_same_moment_are_all_kept",
    "test_end_during_reports_loses_nothing",
}
"""Of these modules' tests those with parallel writers, which run on both databases."""


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


@pytest.fixture
def postgres_url(server: Server, tmp_path: Path) -> str:
    """The address of an empty PostgreSQL database."""
    return new_database("postgresql", tmp_path, server)


@pytest.fixture(scope="session")
def kept(backend: tuple[str, Server | None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that is migrated once for the tests of this process, which use it one after the other."""
    kind, running = backend
    database = Database(new_database(kind, tmp_path_factory.mktemp("migrated"), running))
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def db(kept: Database) -> Iterator[Database]:
    """A database with its tables, which are empty."""
    yield kept
    with kept.storing() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    kept.changes.take()
