"""`installation`, `installation_repositories`: what the App may reach.

A new repository gets the label that starts runs; where the App is suspended or taken away, runs end.
"""

from collections.abc import Iterable

from app.db import repository_runs
from app.github import issues
from app.github.events import Account, InstallationEvent, InstallationRepositoriesEvent, Ref, RepositoryName
from app.github.github_errors import GitHubRefused
from app.workflows.services import call_db, repo_of, services
from handlers.outcomes import Action
from handlers.repository_events import show_again, stop_runs

LABELS_AT_ONCE = 10
"""For more new repositories the label is made when the first issue is opened: an organization has hundreds."""
_PERMITTED = "new_permissions_accepted"
_ENDINGS = {"deleted": "uninstalled the App", "suspend": "suspended the App"}


def is_relevant(event: InstallationEvent) -> bool:
    """Whether it changes what the App may reach."""
    return event.action in {"created", "unsuspend", _PERMITTED, *_ENDINGS}


def is_relevant_to_repositories(event: InstallationRepositoriesEvent) -> bool:
    return event.action in {"added", "removed"}


async def handle(event: InstallationEvent) -> list[Action]:
    if event.installation is None:
        return []
    if event.action == "created":
        await _make_labels(event.installation, event.repositories)
    elif event.action == _PERMITTED:
        _forget_tokens()  # those that are there lack what was accepted
    elif event.action == "unsuspend":
        await show_again(await call_db(repository_runs.list_ended_runs_of_installation, event.installation.id))
    else:
        runs = await call_db(repository_runs.list_runs_of_installation, event.installation.id)
        return await stop_runs(runs, f"{_name(event.sender)} {_ENDINGS[event.action]}")
    return []


async def handle_repositories(event: InstallationRepositoriesEvent) -> list[Action]:
    if event.installation is None:
        return []
    await _make_labels(event.installation, event.repositories_added)
    actions: list[Action] = []
    for repository in event.repositories_removed:
        runs = await call_db(repository_runs.list_runs_of, repository.id or 0, repository.full_name)
        if runs and not await _is_reached_elsewhere(repository):
            actions += await stop_runs(runs, f"{_name(event.sender)} took the App away from the repository")
    return actions


def _forget_tokens() -> None:
    github = services().github
    if github is not None:
        github.forget_tokens()


async def _is_reached_elsewhere(repository: RepositoryName) -> bool:
    """Whether another installation covers it: it was transferred, and its runs go on there."""
    github = services().github
    if github is None or repository.id is None:
        return False
    try:
        repo = await github.installation_of(repository.full_name)
    except GitHubRefused:
        return False
    await call_db(repository_runs.rename_repository, repository.id, repository.full_name, repo.installation_id)
    return True


async def _make_labels(installation: Ref, repositories: Iterable[RepositoryName]) -> None:
    """Make the label in each repository; where one refuses it (an archive), the others get theirs."""
    new = list(repositories)
    for repository in new if len(new) <= LABELS_AT_ONCE else ():
        await issues.ensure_label(await repo_of(repository.full_name, installation.id, repository.id))


def _name(sender: Account | None) -> str:
    return sender.login if sender else "somebody"
