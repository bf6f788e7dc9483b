"""A request that waits for the answer to a posted result."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from app.config.loader import default_ruleset
from app.db.engine import Database
from app.db.submission_table import Submission
from app.domain.api_requests import BuilderResult
from app.workflows.answers import announce_answers, wait_for_answer
from app.workflows.services import Services, configure
from tests.db.sample_rows import NOW, planned_run

ANSWER = {"message": "pushed"}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database with a run r1 and one submission, 1, that is not answered."""
    made = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    made.migrate()
    planned_run(made, "r1", issue=1)
    with made.writing() as session:
        session.add(
            Submission(
                run_id="r1",
                phase_id="P1",
                role="builder",
                attempt=1,
                body=BuilderResult(run_id="r1", phase_id="P1", status="success"),
                at=NOW,
            )
        )
    configure(
        Services(db=made, github=None, server_url="", data_dir=tmp_path, ruleset=default_ruleset(), vendors=frozenset())
    )
    yield made
    configure(None)
    made.close()


def answer(db: Database) -> None:
    with db.writing() as session:
        session.get_one(Submission, 1).answer = ANSWER
    announce_answers("r1")


async def test_waiting_request_gets_answer_at_once(db: Database) -> None:
    read = threading.Event()

    @event.listens_for(db.engine, "after_cursor_execute")
    def on_query(*_: object) -> None:
        read.set()

    waiting = asyncio.create_task(wait_for_answer("r1", 1, seconds=20))
    await asyncio.to_thread(read.wait)  # there was no answer yet
    await asyncio.to_thread(answer, db)
    async with asyncio.timeout(10):
        assert await waiting == ANSWER


async def test_stored_answer_needs_no_announcement(db: Database) -> None:
    answer(db)
    assert await wait_for_answer("r1", 1, seconds=20) == ANSWER


@pytest.mark.usefixtures("db")
async def test_request_without_answer_ends_in_time() -> None:
    assert await wait_for_answer("r1", 1, seconds=0.01) is None
