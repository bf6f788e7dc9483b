"""`issues`: the label starts a run; taking the label away, or closing the issue, cancels it."""

from app.db import run_rows
from app.domain.states import RunState
from app.github import issues
from app.github.events import IssuesEvent
from app.github.issues import LABEL
from app.runs import transitions
from app.workflows.services import call_db
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import check_permission, create_run, repo_of_event


async def handle(event: IssuesEvent) -> list[Action]:
    if event.sender is None or event.sender.bot:
        return []
    label = event.label.name if event.label else None
    if event.action == "labeled" and label == LABEL:
        return await _labeled(event)
    if event.action == "unlabeled" and label == LABEL:
        return await _cancel(event, "the label was taken away")
    if event.action == "closed":
        return await _cancel(event, "the issue was closed")
    return []


async def _labeled(event: IssuesEvent) -> list[Action]:
    repo = await repo_of_event(event)
    if repo is None or event.sender is None or event.issue.is_pull or event.issue.state != "open":
        return []
    issue = await issues.read_issue(repo, event.issue.number)
    if not issue.open or LABEL not in issue.labels:
        return []  # an old delivery: the label was taken away, or the issue closed, since
    if not await check_permission(repo, event.sender, event.issue.number):
        return []
    return [await create_run(repo, event.issue, event.sender, base_branch=event.repository.default_branch)]


async def _cancel(event: IssuesEvent, why: str) -> list[Action]:
    """Whoever can label or close issues here was given that right by GitHub, so no further one is asked for."""
    actions: list[Action] = []
    for intent in ("build", "plan"):
        run = await call_db(run_rows.find_open_run, event.repository.full_name, event.issue.number, intent)
        if run is not None:
            reason = f"{why} by {event.sender.login}" if event.sender else why
            await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
            actions.append(WakeRun(run.run_id))
    return actions
