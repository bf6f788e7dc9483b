"""Repositories as mirrors on disk, as steps reach them."""

from app.db import run_rows
from app.github import commits
from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.workflows.services import call_db, repo_of_run, services
from app.workspace.mirror import Mirror
from app.workspace.workspace_errors import GitError


async def mirror_at(run_id: str, *shas: str) -> Mirror:
    """The mirror of the run's repository with the contents of these commits on disk, so that reads of them are local.

    It stays in its place where the repository is renamed. Nothing is fetched that is there. Raises `GitHubUnavailable`
    when the network or the server fails, `GitHubRefused` when GitHub takes neither the kept token nor a new one.
    """
    run = await call_db(run_rows.get, run_id)
    mirror = project_mirror(run.project_id, run.repository)
    missing = [sha for sha in shas if not await mirror.holds(sha)]
    if missing:
        repo = await repo_of_run(run_id)
        await repo.app.renewing(lambda: _fetch(repo, mirror, missing))
    return mirror


async def fork_of_pull(repo: Repo, run_id: str, base_branch: str, base_sha: str, head_sha: str) -> str:
    """The commit at which the pull request's diff begins, on disk: where its branch and the base of now part.

    `base_sha` is the base as it was known, for a base that is gone or shares no commit with the branch.
    """
    newest = await commits.branch_head(repo, base_branch) or base_sha
    mirror = await mirror_at(run_id, newest, head_sha)
    fork = await mirror.merge_base(newest, head_sha) or base_sha
    await mirror_at(run_id, fork)
    return fork


def project_mirror(project_id: str, repository: str) -> Mirror:
    """The mirror of a project, which is fetched from the repository of this name."""
    owner, _, name = project_id.partition("/")
    return Mirror(services().data_dir, owner, name, services().server_url, fetched_from=repository)


async def _fetch(repo: Repo, mirror: Mirror, shas: list[str]) -> None:
    token = (await repo.app.git_token(repo)).token.get_secret_value()
    try:
        await mirror.fetch(token, *shas)
        for sha in shas:
            await mirror.hydrate(token, sha)
    except GitError as error:
        if not error.network:
            await repo.app.require_unmoved(repo)
        if error.unauthorized:
            check = "check that the App is installed there and may read contents, then start the run again"
            raise GitHubRefused(401, f"git may not fetch {repo.full_name} with a new token either: {check}") from error
        if error.network:
            raise GitHubUnavailable(str(error)) from error
        raise
