"""`repository`: a new name, owner or default branch is taken over; where it is archived or deleted, its runs end."""

from app.db import repository_runs, run_rows
from app.db.run_rows import RunRow
from app.domain.states import RunState
from app.github import commits
from app.github.events import Event, RepositoryAdminEvent, RepositoryEvent
from app.github.github_errors import GitHubRefused
from app.runs import transitions
from app.workflows import github_status
from app.workflows.services import call_db
from handlers.outcomes import Action, WakeRun
from handlers.permission_and_start import repo_of_event

_ENDINGS = {"archived": "the repository was archived", "deleted": "the repository was deleted"}
_ACTIONS = frozenset({"renamed", "transferred", "edited", "unarchived", *_ENDINGS})


def is_relevant(event: RepositoryAdminEvent) -> bool:
    """Whether it changes where or whether runs may work; a new description does not."""
    return event.action in _ACTIONS and (event.action != "edited" or event.changes.default_branch is not None)


async def handle(event: RepositoryAdminEvent) -> list[Action]:
    if event.repository.id is None:
        return []
    runs = await call_db(repository_runs.list_runs_of, event.repository.id, event.repository.full_name)
    if event.action in _ENDINGS:
        by = f" by {event.sender.login}" if event.sender else ""
        return await stop_runs(runs, f"{_ENDINGS[event.action]}{by}")
    if event.action == "unarchived":
        await show_again(await call_db(repository_runs.list_ended_runs_of, event.repository.id))
    if event.action == "edited":
        await _follow_default_branch(event, runs)
    return []


async def take_over_name(event: Event) -> None:
    """Where runs know another name or installation of the event's repository, ask GitHub for the newest name.

    The event itself may be an old one.
    """
    if not isinstance(event, RepositoryEvent) or event.repository.id is None or event.installation is None:
        return
    about, installation_id = event.repository, event.installation.id
    if not await call_db(repository_runs.knows_otherwise, event.repository.id, about.full_name, installation_id):
        return
    repo = await repo_of_event(event)
    if repo is None:
        return
    try:
        newest = await commits.read_repository(repo)
    except GitHubRefused:
        return  # this installation does not reach it any more
    if newest.id == event.repository.id:
        await call_db(repository_runs.rename_repository, newest.id, newest.full_name, installation_id)


async def stop_runs(runs: list[RunRow], reason: str) -> list[Action]:
    """End runs because of what a person did."""
    for run in runs:
        await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
    return [WakeRun(run.run_id) for run in runs]


async def show_again(runs: list[RunRow]) -> None:
    """Show the end of runs that could not be shown when they ended."""
    for run in runs:
        await github_status.show_run.at_once(run.run_id)
        await github_status.show_promotion.at_once(run.run_id)


async def _follow_default_branch(event: RepositoryAdminEvent, runs: list[RunRow]) -> None:
    """Where the default branch was renamed, runs go on with its new name; where another one became it, with the old."""
    repo, changed = await repo_of_event(event), event.changes.default_branch
    if repo is None or changed is None or await commits.branch_head(repo, changed.before) is not None:
        return
    for run in runs:
        names = {"base_branch": run.base_branch, "target_branch": run.target_branch}
        moved = {column: event.repository.default_branch for column, name in names.items() if name == changed.before}
        if moved:
            await call_db(run_rows.update, run.run_id, moved)
