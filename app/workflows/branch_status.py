"""A run's branch on GitHub, for clients of the REST API."""

from pydantic import BaseModel, ConfigDict

from app.domain.api_errors import Unavailable
from app.domain.api_run import RunCard
from app.github import ci_facts, commits
from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.queries import run_details
from app.workflows.repositories import mirror_at
from app.workflows.services import NotConfigured, call_db, repo_of_run
from app.workspace.workspace_errors import WorkspaceError

_CHECK = "https://github.com/acme/widgets/actions/runs/301"


class CheckState(BaseModel):
    """One check of the branch's head that is not Autopack's own."""

    name: str
    status: str
    conclusion: str | None
    url: str | None
    """Its page."""


class IntegrationStatus(BaseModel):
    """The branch of a run. What a branch that does not exist cannot have is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "branch": "autonomous/run-001",
                    "exists": True,
                    "commit_count": 2,
                    "latest_commit": "1f3870be274f6c49b3e31a0c6728957f1f3870be",
                    "ahead_of_main": 2,
                    "behind_main": 0,
                    "base_branch": "main",
                    "snapshots": ["refs/autopack/run-001/P1.1"],
                    "checks": [{"name": "test", "status": "completed", "conclusion": "success", "url": _CHECK}],
                    "conflicts": False,
                    "conflicting_paths": [],
                    "pull_number": 12,
                    "message": "",
                }
            ]
        }
    )

    branch: str
    exists: bool
    message: str = ""
    commit_count: int | None = None
    """Commits of the branch that its base does not have."""
    latest_commit: str | None = None
    ahead_of_main: int | None = None
    behind_main: int | None = None
    base_branch: str | None = None
    snapshots: list[str] | None = None
    """The refs of green, audited commits, as far as GitHub has let them be made."""
    checks: list[CheckState] | None = None
    conflicts: bool | None = None
    """Whether merging the base into the branch would need a decision."""
    conflicting_paths: list[str] | None = None
    pull_number: int | None = None


async def integration_status(run_id: str) -> IntegrationStatus:
    """Read the branch from GitHub as it is now. Raises `Unknown`, and `Unavailable` while GitHub cannot be read."""
    run = await call_db(run_details.read_run_card, run_id)
    if run.repository is None:
        message = "The run names no repository: its patches are validated, gated and kept, but not pushed"
        return IntegrationStatus(branch=run.branch, exists=False, message=message)
    try:
        return await _read(run)
    except (GitHubUnavailable, GitHubRefused, NotConfigured, WorkspaceError) as trouble:
        raise Unavailable(f"{run.repository} cannot be read now: {trouble}") from trouble


async def _read(run: RunCard) -> IntegrationStatus:
    repo = await repo_of_run(run.run_id)
    head = await commits.branch_head(repo, run.branch)
    if head is None:
        message = "The branch is made with the first commit that passes its gate"
        return IntegrationStatus(branch=run.branch, exists=False, message=message, base_branch=run.base_branch)
    base_branch = run.base_branch or (await commits.read_repository(repo)).default_branch
    compared = await commits.compare(repo, base_branch, head)
    clashes = await _conflicts(repo, run, base_branch, head)
    unrelated = "" if clashes is not None else f"{base_branch} shares no commit with the branch any more"
    facts = await ci_facts.read_ci(repo, head, ())
    return IntegrationStatus(
        branch=run.branch,
        exists=True,
        commit_count=compared.ahead_by,
        latest_commit=head,
        ahead_of_main=compared.ahead_by,
        behind_main=compared.behind_by,
        base_branch=base_branch,
        snapshots=await commits.snapshots(repo, run.run_id),
        checks=[
            CheckState(name=one.name, status=one.status, conclusion=one.conclusion, url=one.url or None)
            for one in facts.checks
        ],
        conflicts=clashes is None or bool(clashes),
        conflicting_paths=list(clashes or ()),
        message=unrelated,
        pull_number=run.pull_number,
    )


async def _conflicts(repo: Repo, run: RunCard, base_branch: str, head: str) -> tuple[str, ...] | None:
    """The paths that clash; None where the two share no commit, as when the base's history was written anew."""
    base = await commits.branch_head(repo, base_branch)
    if base is None:
        return ()
    mirror = await mirror_at(run.run_id, head, base)
    fork = await mirror.merge_base(head, base)
    if fork is None:
        return None
    await mirror_at(run.run_id, fork)
    return tuple(one.path for one in (await mirror.merge_with_markers(head, base))[1])
