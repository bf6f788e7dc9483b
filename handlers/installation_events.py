"""`installation`, `installation_repositories`: a new repository gets the label that starts runs."""

from collections.abc import Iterable

from app.github import issues
from app.github.events import InstallationEvent, InstallationRepositoriesEvent, RepositoryName
from app.workflows.repositories import repo_of
from handlers.outcomes import Action


async def created(event: InstallationEvent) -> list[Action]:
    if event.action == "created" and event.installation is not None:
        await _make_labels(event.installation.id, event.repositories)
    return []


async def repositories_added(event: InstallationRepositoriesEvent) -> list[Action]:
    if event.action == "added" and event.installation is not None:
        await _make_labels(event.installation.id, event.repositories_added)
    return []


async def _make_labels(installation_id: int, repositories: Iterable[RepositoryName]) -> None:
    for repository in repositories:
        await issues.ensure_label(await repo_of(repository.full_name, installation_id))
