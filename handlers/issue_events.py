"""`issues`: the label starts a run; taking it away, or closing the issue, cancels it; an edit is shown."""

from app.db import run_rows
from app.domain.states import RunState
from app.github import issues
from app.github.events import IssuesEvent
from app.github.issues import LABEL
from app.runs import transitions
from app.workflows import github_status
from app.workflows.services import call_db
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import check_permission, create_run, missed_since, repo_of_event

_ENDINGS = {
    "closed": "the issue was closed",
    "deleted": "the issue was deleted",
    "transferred": "the issue was transferred",
}
"""What ends a run by the issue's own end, in words."""


def _is_ours(label: str) -> bool:
    """GitHub's labels differ in case only on show: of `autopack` and `Autopack` a repository has one."""
    return label.casefold() == LABEL


def is_relevant(event: IssuesEvent) -> bool:
    """Whether a person gave or took the label, opened the issue, changed its text, or ended it."""
    if event.action == "opened":
        return True
    by_label = event.action in {"labeled", "unlabeled"} and event.label is not None and _is_ours(event.label.name)
    matters = by_label or event.action in _ENDINGS or event.action == "edited"
    return event.sender is not None and not event.sender.bot and matters


async def handle(event: IssuesEvent) -> list[Action]:
    if event.action == "opened":
        return await _opened(event)
    if event.action == "labeled":
        return await _labeled(event)
    if event.action == "edited":
        return await _edited(event)
    return await _cancel(event, _ENDINGS.get(event.action, "the label was taken away"))


async def _edited(event: IssuesEvent) -> list[Action]:
    """A run works with the text as it was at its start: later changes are shown, with how to have them used."""
    for intent in ("build", "plan"):
        run = await call_db(run_rows.find_open_run, event.repository.full_name, event.issue.number, intent)
        if run is not None and event.sender is not None:
            said = (
                f"{event.sender.login} changed the issue since the run began; the run works with the text as it was. "
                "Say what to do about it with `/autopack fix`, or cancel and start again."
            )
            await call_db(run_rows.add_notice, run.run_id, said)
            await github_status.show_run.at_once(run.run_id)
    return []


async def _opened(event: IssuesEvent) -> list[Action]:
    """The first issue since the process began: the label is there when somebody wants to give it."""
    repo = await repo_of_event(event)
    if repo is not None:
        await issues.ensure_label(repo)
    return []


async def _labeled(event: IssuesEvent) -> list[Action]:
    repo = await repo_of_event(event)
    if repo is None or event.sender is None or event.issue.is_pull or event.issue.state != "open":
        return []
    issue = await issues.read_issue(repo, event.issue.number)
    if not issue.open or not any(map(_is_ours, issue.labels)):
        return []  # an old delivery: the label was taken away, or the issue closed, since
    if not await check_permission(repo, event.sender, event.issue.number):
        return []
    missed = missed_since(event, event.issue.updated_at)
    branch = event.repository.default_branch
    started = await create_run(repo, event.issue, event.sender, base_branch=branch, missed=missed)
    return [started] if started is not None else []


async def _cancel(event: IssuesEvent, why: str) -> list[Action]:
    """GitHub gives the right to label or close issues, so no other permission is checked."""
    actions: list[Action] = []
    for intent in ("build", "plan"):
        run = await call_db(run_rows.find_open_run, event.repository.full_name, event.issue.number, intent)
        if run is not None:
            reason = f"{why} by {event.sender.login}" if event.sender else why
            await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
            actions.append(WakeRun(run.run_id))
    return actions
