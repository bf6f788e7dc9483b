"""`installation`, `installation_repositories`: a new repository gets the label that starts runs."""

from collections.abc import Iterable

from app.github import issues
from app.github.events import InstallationEvent, InstallationRepositoriesEvent, Ref, RepositoryName
from app.workflows.services import repo_of
from handlers.outcomes import Action


def is_relevant(event: InstallationEvent | InstallationRepositoriesEvent) -> bool:
    """Whether repositories are new."""
    return event.action in {"created", "added"}


async def created(event: InstallationEvent) -> list[Action]:
    return await _make_labels(event.installation, event.repositories)


async def repositories_added(event: InstallationRepositoriesEvent) -> list[Action]:
    return await _make_labels(event.installation, event.repositories_added)


async def _make_labels(installation: Ref | None, repositories: Iterable[RepositoryName]) -> list[Action]:
    if installation is None:
        return []
    for repository in repositories:
        await issues.ensure_label(await repo_of(repository.full_name, installation.id))
    return []
