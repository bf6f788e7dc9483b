"""`check_run`, `check_suite`, `workflow_run`, `status`: they only wake the run whose head commit they are about."""

from app.db import run_rows
from app.github.events import CheckRunEvent, CheckSuiteEvent, StatusEvent, WorkflowRunEvent
from app.workflows.services import call_db, services
from handlers.outcomes import Action, WakeRun


def is_relevant(event: CheckRunEvent) -> bool:
    """Whether it is not our own check run."""
    github, app = services().github, event.check_run.app
    return github is None or app is None or app.id != github.settings.app_id


async def check_run(event: CheckRunEvent) -> list[Action]:
    return await _wake(event.repository.full_name, event.check_run.head_sha)


async def check_suite(event: CheckSuiteEvent) -> list[Action]:
    return await _wake(event.repository.full_name, event.check_suite.head_sha)


async def workflow_run(event: WorkflowRunEvent) -> list[Action]:
    return await _wake(event.repository.full_name, event.workflow_run.head_sha)


async def status(event: StatusEvent) -> list[Action]:
    return await _wake(event.repository.full_name, event.sha)


async def _wake(repository: str, head_sha: str) -> list[Action]:
    run = await call_db(run_rows.find_run_by_head, repository, head_sha)
    return [] if run is None else [WakeRun(run.run_id)]
