"""Commits, branches and snapshots through the Git Data API, so that GitHub signs what Autopack commits.

Only a `WorkBranch` and refs under `SNAPSHOTS` can be written to; no other branch, and so never the default one, can be
named to these functions.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from pydantic import Field

from app.domain.frozen import Frozen
from app.domain.patch import ChangeKind, FileChange
from app.domain.plan import is_identifier
from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.github_errors import BranchMoved, GitHubRefused, breaks_rule
from app.github.telling import telling

PREFIX = "autonomous/"
SNAPSHOTS = "refs/autopack/"
"""Snapshots are neither branches nor tags: GitHub starts `on: push` workflows for those two alone."""
INLINE_FILE_BYTES = 100_000
"""Text files up to this size travel inside the tree request; larger and binary ones as blobs."""
INLINE_TOTAL_BYTES = 2_000_000


class NotAWorkBranch(ValueError):
    """The name is not one that Autopack may write to."""


@dataclass(frozen=True, slots=True)
class WorkBranch:
    """The right to write to `autonomous/<run id>`; no other name can be made into one (`NotAWorkBranch`)."""

    name: str

    def __post_init__(self) -> None:
        if not self.name.startswith(PREFIX) or not is_identifier(self.name.removeprefix(PREFIX)):
            raise NotAWorkBranch(f"Autopack writes only to {PREFIX}<run id>, not to {self.name!r}")

    @property
    def ref(self) -> str:
        return f"heads/{self.name}"


class Commit(Frozen):
    """A commit: its sha, the sha of its tree, its parents' and its message."""

    sha: str
    tree: str
    parents: tuple[str, ...] = ()
    message: str = ""


class MergeState(StrEnum):
    MERGED = "merged"
    UP_TO_DATE = "up to date"
    CONFLICT = "conflict"


class Merge(Frozen):
    """How merging the base into the branch went; `sha` is the branch's head afterwards (None at a conflict)."""

    state: MergeState
    sha: str | None = None


class Comparison(ApiModel):
    """GitHub's comparison of `head` with `base`: its `status` is ahead, behind, diverged or identical."""

    status: str
    ahead_by: int
    behind_by: int


class _Sha(ApiModel):
    sha: str


class _Ref(ApiModel):
    object: _Sha


class _NamedRef(ApiModel):
    ref: str


class Repository(ApiModel):
    """A repository as it is now."""

    id: int
    full_name: str
    default_branch: str


class _RawCommit(ApiModel):
    sha: str
    tree: _Sha
    parents: list[_Sha] = Field(default_factory=list[_Sha])
    message: str = ""

    def commit(self) -> Commit:
        return Commit(
            sha=self.sha, tree=self.tree.sha, parents=tuple(one.sha for one in self.parents), message=self.message
        )


async def read_repository(repo: Repo) -> Repository:
    """Read the repository's id, newest name and default branch; an old name leads to the new one."""
    response = await repo.call(lambda: repo.rest.repos.async_get(repo.owner, repo.name))
    return parse_response(response, Repository)


async def branch_head(repo: Repo, branch: str) -> str | None:
    """The commit a branch (any branch) is at; None when there is no such branch."""
    return await _ref(repo, f"heads/{branch}")


async def read_commit(repo: Repo, sha: str) -> Commit:
    """Read a commit by its full sha. Raises `GitHubRefused` (404)."""
    response = await repo.call(lambda: repo.rest.git.async_get_commit(repo.owner, repo.name, sha), exists=True)
    return parse_response(response, _RawCommit).commit()


async def create_branch(repo: Repo, branch: WorkBranch, sha: str) -> str:
    """Make the branch at `sha` unless it exists; return where it is (which may be elsewhere)."""
    return await repo.create(
        lambda: branch_head(repo, branch.name), lambda: _make_ref(repo, branch.ref, sha), unique=True
    )


@telling("the ref of a snapshot")
async def keep_snapshot(repo: Repo, run_id: str, phase_id: str, sha: str) -> str | None:
    """Make the ref `refs/autopack/<run_id>/<phase_id>` at `sha` and return its name; it is never moved.

    None, and a warning in the log, where GitHub refuses it (a rule, the permission) or it names another commit.
    """
    if not (is_identifier(run_id) and is_identifier(phase_id)):
        raise ValueError(f"a snapshot needs the ids of a run and a phase, not {run_id!r} and {phase_id!r}")
    name = f"{SNAPSHOTS}{run_id}/{phase_id}"
    ref = name.removeprefix("refs/")
    actual = await repo.create(lambda: _ref(repo, ref), lambda: _make_ref(repo, ref, sha), unique=True)
    if actual != sha:
        raise GitHubRefused(422, f"{name} names {actual}, not {sha}")
    return name


async def snapshots(repo: Repo, run_id: str) -> list[str]:
    """The names of the run's snapshot refs, sorted."""
    prefix = f"{SNAPSHOTS}{run_id}/"
    path = quote(prefix.removeprefix("refs/"), safe="/")
    response = await repo.call(lambda: repo.rest.git.async_list_matching_refs(repo.owner, repo.name, path))
    return sorted(one.ref for one in parse_response(response, list[_NamedRef]) if one.ref.startswith(prefix))


async def push_commit(
    repo: Repo,
    branch: WorkBranch,
    parent_sha: str,
    changes: Iterable[FileChange],
    message: str,
    *,
    merging: str | None = None,
    base_tree: str | None = None,
) -> Commit:
    """Commit `changes` on top of `parent_sha` and move the branch to it, which must be at `parent_sha` or missing.

    `base_tree` is the tree that is changed, where it is known.

    With `merging`, the commit merges that one too, and `changes` are against it. Done twice, it returns the commit made
    the first time: the branch's head with the same parents, tree and message.
    Raises `BranchMoved` when the branch is anywhere else; nothing is written to it then. Author and committer are left
    to GitHub, which signs the commit as the App's.
    """
    parents = (parent_sha,) if merging is None else (parent_sha, merging)
    tree = await _make_tree(repo, base_tree or (await read_commit(repo, parents[-1])).tree, list(changes))
    head = await branch_head(repo, branch.name)
    if head is not None and head != parent_sha:
        done = await read_commit(repo, head)
        if done.parents == parents and done.tree == tree and done.message.strip() == message.strip():
            return done
        raise BranchMoved(branch.name, parent_sha, head)
    # A commit that was made and lost with its answer is unreachable and harmless: make another.
    response = await repo.call(
        lambda: repo.rest.git.async_create_commit(
            repo.owner, repo.name, message=message, tree=tree, parents=list(parents)
        ),
        exists=True,
    )
    commit = parse_response(response, _RawCommit).commit()
    await _move(repo, branch, head, commit.sha, parent_sha)
    return commit


async def merge_base_into(repo: Repo, branch: WorkBranch, base: str, message: str) -> Merge:
    """Merge `base` (a branch or sha) into the branch. Done twice, it reports the merge made the first time."""
    try:
        response = await repo.call(
            lambda: repo.rest.repos.async_merge(
                repo.owner, repo.name, base=branch.name, head=base, commit_message=message
            )
        )
    except GitHubRefused as refusal:
        if refusal.status != 409 or breaks_rule(refusal):
            raise
        return Merge(state=MergeState.CONFLICT)
    if response.status_code == 201:
        return Merge(state=MergeState.MERGED, sha=parse_response(response, _Sha).sha)
    head = await branch_head(repo, branch.name)
    if head is None:
        raise BranchMoved(branch.name, None, None)
    latest = await read_commit(repo, head)
    made_before = len(latest.parents) == 2 and latest.message.strip() == message.strip()
    return Merge(state=MergeState.MERGED if made_before else MergeState.UP_TO_DATE, sha=head)


async def compare(repo: Repo, base: str, head: str) -> Comparison:
    """Compare two branches or shas."""
    basehead = f"{quote(base, safe='')}...{quote(head, safe='')}"
    response = await repo.call(
        lambda: repo.rest.repos.async_compare_commits(repo.owner, repo.name, basehead, per_page=1)
    )
    return parse_response(response, Comparison)


async def _ref(repo: Repo, ref: str) -> str | None:
    try:
        response = await repo.call(lambda: repo.rest.git.async_get_ref(repo.owner, repo.name, quote(ref, safe="/")))
    except GitHubRefused as refusal:
        if refusal.status == 404 or (refusal.status == 409 and "empty" in refusal.message):  # of a repository
            return None
        raise
    return parse_response(response, _Ref).object.sha


async def _make_ref(repo: Repo, ref: str, sha: str) -> str:
    response = await repo.rest.git.async_create_ref(repo.owner, repo.name, ref=f"refs/{ref}", sha=sha)
    return parse_response(response, _Ref).object.sha


async def _move(repo: Repo, branch: WorkBranch, expected: str | None, sha: str, parent_sha: str) -> None:
    """Move the branch from `expected` to `sha`, which descends from it.

    A branch that seems to be missing may be at `parent_sha`: GitHub does not show at once what was made.
    """
    actual = expected if expected is not None else await create_branch(repo, branch, sha)
    if actual in {expected, parent_sha} - {sha}:
        actual = await _forward(repo, branch, actual, sha)
    if actual != sha:
        raise BranchMoved(branch.name, expected, actual)


async def _forward(repo: Repo, branch: WorkBranch, expected: str, sha: str) -> str | None:
    """Move the branch forward and return where it is then; `force=false` makes GitHub compare and swap."""
    try:
        await repo.call(
            lambda: repo.rest.git.async_update_ref(
                repo.owner, repo.name, quote(branch.ref, safe="/"), sha=sha, force=False
            ),
            exists=True,
        )
    except GitHubRefused as refusal:
        if refusal.status not in {404, 409, 422}:
            raise
        actual = await branch_head(repo, branch.name)
        if actual == expected:
            raise
        return actual
    return sha


async def _make_tree(repo: Repo, base_tree: str, changes: list[FileChange]) -> str:
    """The sha of `base_tree` with `changes`. Trees and blobs are named by content: making one twice is harmless."""
    entries: list[Any] = []
    inline = 0
    for change in changes:
        entry: dict[str, Any] = {"path": change.path, "mode": change.mode, "type": "blob"}
        text = _inline_text(change)
        if change.kind is ChangeKind.DELETED or change.content is None:
            entry |= {"sha": None}
        elif text is not None and inline + len(change.content) <= INLINE_TOTAL_BYTES:
            inline += len(change.content)
            entry |= {"content": text}
        else:
            entry |= {"sha": await _make_blob(repo, change.content)}
        entries.append(entry)
    response = await repo.call(
        lambda: repo.rest.git.async_create_tree(repo.owner, repo.name, base_tree=base_tree, tree=entries)
    )
    return parse_response(response, _Sha).sha


def _inline_text(change: FileChange) -> str | None:
    if change.content is None or len(change.content) > INLINE_FILE_BYTES or b"\0" in change.content:
        return None
    try:
        return change.content.decode()
    except UnicodeDecodeError:
        return None


async def _make_blob(repo: Repo, content: bytes) -> str:
    encoded = base64.b64encode(content).decode()
    response = await repo.call(
        lambda: repo.rest.git.async_create_blob(repo.owner, repo.name, content=encoded, encoding="base64")
    )
    return parse_response(response, _Sha).sha
