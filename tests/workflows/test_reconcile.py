"""Deliveries that a defect ended are tried again, and the workflow engine's records do not grow for ever."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos import DBOS, SetWorkflowID
from sqlalchemy.exc import NoResultFound

from app.config.loader import default_ruleset
from app.db import deliveries, run_rows
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Run, Transition
from app.domain.api_errors import NotFound
from app.domain.api_requests import AuditRequest, BuilderResult, RunStart
from app.main import engine_config
from app.queries.run_view import read_run_view
from app.runs import builder_results
from app.workflows import api
from app.workflows.cleanup import delete_workflows
from app.workflows.finish_run import end_orphaned_run, recheck_promotion
from app.workflows.on_demand_audit import audit_posted_patch
from app.workflows.reconcile import MAX_RETRIES, end_overdue_runs, retry_failed_workflows, start_lost_runs
from app.workflows.run import run
from app.workflows.services import NotConfigured, Services, configure
from app.workflows.steps import utcnow
from handlers.dispatch import handle_delivery

IGNORED = StoredDelivery("d-1", "issues", '{"action": "pinned"}')


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """The surroundings of a launched workflow engine, not yet given to it. One delivery is in the inbox."""
    db = Database(f"sqlite:///{tmp_path / 'autopack.db'}")
    db.migrate()
    deliveries.store(db, [IGNORED], utcnow())
    DBOS(config=engine_config(db))
    await asyncio.to_thread(DBOS.launch)
    yield Services(db=db, github=None, server_url="", data_dir=tmp_path, ruleset=default_ruleset(), vendors=frozenset())
    configure(None)
    await asyncio.to_thread(DBOS.destroy)
    db.close()


async def statuses() -> list[str]:
    return [one.status for one in await DBOS.list_workflows_async(name="delivery")]


async def act_on_it() -> None:
    with SetWorkflowID(IGNORED.id):
        await handle_delivery(IGNORED.id)


async def test_failed_delivery_is_retried_later(services: Services) -> None:
    with pytest.raises(NotConfigured):
        await act_on_it()
    assert await statuses() == ["ERROR"]
    configure(services)
    await retry_failed_workflows(Counter())
    async with asyncio.timeout(20):
        await (await DBOS.retrieve_workflow_async(IGNORED.id)).get_result()
    assert await statuses() == ["SUCCESS"]


async def test_repeatedly_failing_delivery_is_abandoned(services: Services) -> None:
    assert services.github is None
    with pytest.raises(NotConfigured):
        await act_on_it()
    await retry_failed_workflows(Counter({IGNORED.id: MAX_RETRIES}))
    assert await statuses() == ["ERROR"]


async def test_what_ended_long_ago_is_forgotten(services: Services) -> None:
    configure(services)
    await act_on_it()
    await delete_workflows(utcnow() - timedelta(minutes=5))
    assert await statuses() == ["SUCCESS"]
    await delete_workflows(utcnow() + timedelta(seconds=1))
    assert await statuses() == []


async def test_no_kind_of_workflow_is_kept_for_ever(services: Services) -> None:
    configure(services)
    await act_on_it()
    for begun in (run("nobody"), end_orphaned_run("nobody"), recheck_promotion("nobody")):
        with pytest.raises(NoResultFound):
            await begun
    with pytest.raises(NotFound):
        await audit_posted_patch("nobody", "P1", 1, AuditRequest())
    assert len(await DBOS.list_workflows_async(has_parent=False)) == 5
    await delete_workflows(utcnow() + timedelta(seconds=1))
    assert await DBOS.list_workflows_async() == []


ASKED = RunStart.model_validate(
    {
        "run": {"run_id": "r1"},
        "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "All"}],
        "phases": [{"phase_id": "P1", "phase_index": 0, "tier_id": "T1", "name": "One", "task_category": "docs"}],
    }
)


async def test_overdue_run_without_repository_ends(services: Services) -> None:
    configure(services)
    await api.start_run(ASKED)
    await end_overdue_runs()
    assert run_rows.get(services.db, "r1").completed_at is None, "its deadline is a day away"
    long_ago = utcnow() - timedelta(days=2)
    with services.db.writing() as session:
        session.execute(sa.update(Run).values(created_at=long_ago))
        session.execute(sa.update(Transition).values(at=long_ago))
    await end_overdue_runs()
    ended = run_rows.get(services.db, "r1")
    assert (ended.state, ended.stop_state) == ("DONE_FAILED_ENVIRONMENT", None)
    assert ended.told_at is not None, "nothing else shows its end"
    await start_lost_runs()
    assert await DBOS.get_workflow_status_async("r1") is None, "no workflow waits for it at any time"


async def test_last_result_ends_run_whole(services: Services) -> None:
    configure(services)
    await api.start_run(ASKED)
    result = BuilderResult(run_id="r1", phase_id="P1", status="success")
    builder_results.post_result(services.db, "r1", "P1", result, utcnow())  # and then the process is killed
    view = read_run_view(services.db, "r1", "")
    assert (view.state, view.headline) == ("DONE_SUCCESS", "done")
    assert view.next_action == "Nothing to merge: the run has no repository."
    assert run_rows.get(services.db, "r1").told_at is not None
    await start_lost_runs()
    assert await DBOS.get_workflow_status_async("r1") is None


async def test_ended_run_is_never_overdue(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    configure(services)
    await api.start_run(ASKED)
    result = BuilderResult(run_id="r1", phase_id="P1", status="success")
    builder_results.post_result(services.db, "r1", "P1", result, utcnow())
    long_ago = utcnow() - timedelta(days=2)
    with services.db.writing() as session:  # as a release left it whose workflow had not shown the end yet
        session.execute(sa.update(Run).values(created_at=long_ago, told_at=None))
        session.execute(sa.update(Transition).values(at=long_ago))
        session.execute(sa.update(Submission).values(at=long_ago))
    await end_overdue_runs()
    assert run_rows.get(services.db, "r1").state == "DONE_SUCCESS"
    assert "r1 ends" not in caplog.text
