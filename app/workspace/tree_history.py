"""Which trees a branch and a landed commit hold, compared with those that were audited."""

from collections.abc import Awaitable, Callable, Collection

from app.workspace.mirror import Mirror

Fetch = Callable[..., Awaitable[object]]
"""Brings the contents of these commits to the mirror."""
_MAX_COMMITS = 1_000
"""Of a pull request that was landed by rebasing."""


async def find_unaudited(
    mirror: Mirror, fetch: Fetch, head_sha: str, audited: Collection[str], max_merges: int
) -> str | None:
    """The commit whose tree no audit approved, below merges that add nothing of their own; None where there is none."""
    await fetch(head_sha, *audited)
    trees = {await mirror.tree_of(sha) for sha in audited}
    commit = head_sha
    for _ in range(max_merges + 1):
        if await mirror.tree_of(commit) in trees:
            return None
        parents = await mirror.parents(commit)
        if len(parents) != 2 or not await _is_clean_merge(mirror, fetch, commit, *parents):
            break
        commit = parents[0]
    return commit


async def differing_paths(mirror: Mirror, fetch: Fetch, head_sha: str, landed_sha: str) -> tuple[str, ...]:
    """The files in which a landed commit differs from the head merged into the base as it was before."""
    await fetch(head_sha, landed_sha)
    if await mirror.tree_of(head_sha) == await mirror.tree_of(landed_sha):
        return ()
    closest: tuple[str, ...] | None = None
    for before in await _bases_before(mirror, head_sha, landed_sha):
        await fetch(before)
        merged, _ = await mirror.merge_with_markers(before, head_sha)
        paths = await mirror.changed_paths(merged, landed_sha)
        closest = paths if closest is None or len(paths) < len(closest) else closest
    return closest or ()


async def _is_clean_merge(mirror: Mirror, fetch: Fetch, commit: str, ours: str, theirs: str) -> bool:
    """Whether a merge holds what git makes of its two sides, and nothing else."""
    await fetch(ours, theirs)
    merged, conflicts = await mirror.merge_with_markers(ours, theirs)
    return not conflicts and await mirror.tree_of(merged) == await mirror.tree_of(commit)


async def _bases_before(mirror: Mirror, head_sha: str, landed_sha: str) -> tuple[str, ...]:
    """The base as it was before: the first parent of a merge or squash; before all its commits where rebased."""
    fork = await mirror.merge_base(head_sha, landed_sha)
    before = [sha for sha in (await mirror.parents(landed_sha))[:1] if sha != head_sha]
    if fork is not None and fork != head_sha:
        count = await mirror.count_commits(fork, head_sha)
        if 1 < count <= _MAX_COMMITS:
            before += [sha for sha in [await mirror.ancestor(landed_sha, count)] if sha is not None]
    return tuple(dict.fromkeys(before))
