"""`check_run`, `check_suite`, `workflow_run`, `status`: they only wake the run whose head commit they are about.

"Re-run" on a check of our own has the run read everything again too, and show it; only the check's App is sent that.

What no run can need is recognized by the payload alone: an organization sends these for each branch of each repository.
"""

from app.db import run_rows
from app.domain.ci import PASSING
from app.github.commits import PREFIX
from app.github.events import CheckRunEvent, CheckSuiteEvent, Event, StatusEvent, WorkflowRunEvent
from app.queries.run_heads import Head, find_runs_by_heads
from app.workflows import github_status
from app.workflows.services import call_db, services
from handlers.outcomes import Action, WakeRun

CiEvent = CheckRunEvent | CheckSuiteEvent | WorkflowRunEvent | StatusEvent
ACTIONS = "github-actions"
"""The App of GitHub Actions, whose workflow runs have events of their own."""
MAX_BRANCHES = 10
"""A status names no more than so many branches: https://docs.github.com/en/webhooks/webhook-events-and-payloads#status"""


def is_relevant_check(event: CheckRunEvent) -> bool:
    """Whether another App's check has ended on a run's branch; of GitHub Actions' jobs, whether one has failed.

    Of our own, whether a person asks for another run.
    """
    check = event.check_run
    if is_rerun(event):
        return True
    if check.status != "completed" or not _may_be_ours(check.check_suite.head_branch if check.check_suite else None):
        return False
    if check.app is None:
        return True
    if check.app.slug == ACTIONS:
        return check.conclusion not in PASSING
    github = services().github
    return github is None or check.app.id != github.settings.app_id


def is_relevant_suite(event: CheckSuiteEvent) -> bool:
    """Whether another App's suite has ended on a run's branch."""
    suite = event.check_suite
    of_actions = suite.app is not None and suite.app.slug == ACTIONS
    return is_rerun(event) or (event.action == "completed" and not of_actions and _may_be_ours(suite.head_branch))


def is_relevant_workflow(event: WorkflowRunEvent) -> bool:
    """Whether it is on a run's branch."""
    return _may_be_ours(event.workflow_run.head_branch)


def is_relevant_status(event: StatusEvent) -> bool:
    """Whether its commit may be the head of a run's branch."""
    names = [branch.name for branch in event.branches]
    return not 0 < len(names) < MAX_BRANCHES or any(map(_may_be_ours, names))


def is_rerun(event: Event) -> bool:
    """Whether someone has pressed "Re-run" on a check of ours, or on all of them."""
    return event.action == "rerequested"


def head_of(event: CiEvent) -> Head:
    """The commit that the event is about."""
    match event:
        case CheckRunEvent():
            sha = event.check_run.head_sha
        case CheckSuiteEvent():
            sha = event.check_suite.head_sha
        case WorkflowRunEvent():
            sha = event.workflow_run.head_sha
        case StatusEvent():
            sha = event.sha
    return Head(event.repository.full_name, event.repository.id, sha)


def wakes(event: CiEvent) -> Head | None:
    """The commit whose run it wakes, where nothing is asked of GitHub for it; None for a re-run.

    A workflow run that is repeated is only "requested" again.
    """
    return None if is_rerun(event) else head_of(event)


async def handle(event: CiEvent) -> list[Action]:
    """Show a run again whose check is run again; wake the one that is at work on the commit."""
    head = head_of(event)
    if is_rerun(event):
        run = await call_db(run_rows.find_run_shown_on, event.repository.id, head.sha)
        if run is not None:
            await github_status.show_run.at_once(run.run_id)
            await github_status.answer_rerun.at_once(run.run_id)
    return [WakeRun(run_id) for run_id in sorted(await call_db(find_runs_by_heads, [head]))]


def _may_be_ours(branch: str | None) -> bool:
    """Whether the branch is a run's; one that GitHub does not name may be."""
    return branch is None or branch.startswith(PREFIX)
