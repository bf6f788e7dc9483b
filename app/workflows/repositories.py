"""Repositories as mirrors on disk, as steps reach them."""

from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.workflows.services import repo_of, services
from app.workspace.mirror import Mirror
from app.workspace.workspace_errors import GitError


async def mirror_at(repository: str, installation_id: int, *shas: str) -> Mirror:
    """The repository's mirror with the contents of these commits on disk, so that all reads of them are local.

    Nothing is fetched that is there. Raises `GitHubUnavailable` when the network or the server fails, `GitHubRefused`
    when GitHub takes neither the kept token nor a new one.
    """
    owner, _, name = repository.partition("/")
    mirror = Mirror(services().data_dir, owner, name, services().server_url)
    missing = [sha for sha in shas if not await mirror.holds(sha)]
    if missing:
        repo = await repo_of(repository, installation_id)
        await repo.app.renewing(lambda: _fetch(repo, mirror, missing))
    return mirror


async def _fetch(repo: Repo, mirror: Mirror, shas: list[str]) -> None:
    token = (await repo.app.git_token(repo)).token.get_secret_value()
    try:
        await mirror.fetch(token, *shas)
        for sha in shas:
            await mirror.hydrate(token, sha)
    except GitError as error:
        if error.unauthorized:
            check = "check that the App is installed there and may read contents, then start the run again"
            raise GitHubRefused(401, f"git may not fetch {repo.full_name} with a new token either: {check}") from error
        if error.network:
            raise GitHubUnavailable(str(error)) from error
        raise
