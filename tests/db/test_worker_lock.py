"""Who serves a database: SQLite has one process; PostgreSQL any number, and a dead one is known by its lock."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from app.db.engine import Database, DatabaseUnusable
from app.db.worker_lock import WorkerReplaced

ROOT = Path(__file__).parents[2]
CLAIM_AND_STAY = """
import sys
from app.db.engine import Database
database = Database(sys.argv[1])
database.claim(0)
database.migrate()
print(database.worker.enlist("1"), flush=True)
sys.stdin.read()
"""
EARLIER_RELEASE = """
import sys
import sqlalchemy as sa
from app.db.engine import Database
connection = Database(sys.argv[1]).engine.connect()
print(connection.scalar(sa.text("SELECT pg_try_advisory_lock(727002)")), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pair(postgres_url: str) -> Iterator[tuple[Database, Database]]:
    """Two processes' views of one migrated database, which both may serve."""
    both = Database(postgres_url), Database(postgres_url)
    for db in both:
        db.claim(0)
        db.migrate()
    yield both
    for db in both:
        db.close()


@contextmanager
def _process(url: str, program: str = CLAIM_AND_STAY) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """Another process that serves the database, and what it said first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        try:
            assert other.stdout is not None
            yield other, other.stdout.readline().decode().strip()
        finally:
            other.send_signal(signal.SIGKILL)


def _cut_sessions(url: str) -> None:
    """As a failing network or a restarted server does."""
    db = Database(url)
    with db.engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
                " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        )
    db.close()


def test_sqlite_has_one_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'autopack.db'}"
    mine = Database(url)
    with _process(url) as (_, name):
        assert name == "local"
        with pytest.raises(DatabaseUnusable, match="another Autopack process serves this database: stop it"):
            mine.claim(0.2)
    mine.claim(10)
    mine.claim(0)
    mine.close()


def test_postgresql_has_many_processes(pair: tuple[Database, Database]) -> None:
    mine, other = pair
    for db in pair:
        db.claim(0)
    names = [mine.worker.enlist("1"), other.worker.enlist("1")]
    assert len({*names}) == 2
    assert [one.executor_id for one in mine.worker.list_dead()] == ["local"], "what an earlier release left"
    assert mine.worker.leads()
    assert not other.worker.leads()
    assert mine.worker.leads()
    other.worker.confirm()
    mine.close()
    assert other.worker.leads(), "who leads has ended"


def test_earlier_release_serves_alone(postgres_url: str) -> None:
    mine = Database(postgres_url)
    with _process(postgres_url, EARLIER_RELEASE) as (_, said):
        assert said == "True"
        with pytest.raises(DatabaseUnusable, match="another Autopack process"):
            mine.claim(0.2)
    mine.claim(10)
    mine.close()


def test_dead_process_is_buried_once(postgres_url: str) -> None:
    mine, other = Database(postgres_url), Database(postgres_url)
    with _process(postgres_url) as (process, name):
        for db in (mine, other):
            db.claim(0)
            db.worker.enlist("1")
        (dead,) = mine.worker.list_dead()
        assert dead.executor_id == "local"
        assert mine.worker.bury(dead)
        mine.worker.end_burial(dead, done=True)
        assert mine.worker.list_dead() == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        while not (found := mine.worker.list_dead()):
            pass
        assert [one.executor_id for one in found] == [name]
    (dead,) = found
    assert mine.worker.bury(dead)
    assert not other.worker.bury(dead)
    mine.worker.end_burial(dead, done=False)
    assert other.worker.bury(dead), "who could not take up all leaves it to another"
    other.worker.end_burial(dead, done=True)
    assert other.worker.list_dead() == mine.worker.list_dead() == []
    for db in (mine, other):
        db.close()


def test_lost_session_is_begun_again(pair: tuple[Database, Database], postgres_url: str) -> None:
    mine, _ = pair
    for db in pair:
        db.worker.enlist("1")
    _cut_sessions(postgres_url)
    with pytest.raises(OperationalError):
        mine.worker.confirm()
    mine.worker.confirm()


def test_new_session_holds_the_lock(pair: tuple[Database, Database], postgres_url: str) -> None:
    """Not only `confirm`: whichever comes first after the old session was cut."""
    mine, other = pair
    name = mine.worker.enlist("1")
    _cut_sessions(postgres_url)
    with pytest.raises(OperationalError):
        mine.worker.leads()
    mine.worker.leads()
    with pytest.raises(OperationalError):
        other.worker.list_dead()
    assert name not in [one.executor_id for one in other.worker.list_dead()]


def test_who_was_replaced_never_comes_back(pair: tuple[Database, Database], postgres_url: str) -> None:
    mine, other = pair
    name = mine.worker.enlist("1")
    other.worker.enlist("1")
    _cut_sessions(postgres_url)
    with pytest.raises(OperationalError):
        other.worker.list_dead()
    dead = next(one for one in other.worker.list_dead() if one.executor_id == name)
    assert other.worker.bury(dead)
    with pytest.raises(OperationalError):
        mine.worker.confirm()
    with pytest.raises(WorkerReplaced):
        mine.worker.confirm()
    other.worker.end_burial(dead, done=True)
    with pytest.raises(WorkerReplaced):
        mine.worker.confirm()


def test_write_locks_hold_among_processes(pair: tuple[Database, Database]) -> None:
    mine, other = pair
    with mine.shared_lock("status of run 1", 1):
        with other.shared_lock("status of run 2", 1):
            pass
        with pytest.raises(OperationalError), other.shared_lock("status of run 1", 0.2):
            pass
    with other.shared_lock("status of run 1", 1):
        pass
