"""What of a branch no audit saw, and what landed otherwise than it was judged."""

from collections.abc import Awaitable, Callable

import pytest

from app.workspace import tree_history
from app.workspace.mirror import Mirror
from tests.workspace.remote import Remote, run_git

Fetch = Callable[..., Awaitable[object]]


@pytest.fixture
def fetch(mirror: Mirror) -> Fetch:
    async def bring(*shas: str) -> None:
        await mirror.fetch(None)
        for sha in shas:
            await mirror.hydrate(None, sha)

    return bring


def merged(remote: Remote, branch: str, other: str, *extra: str) -> str:
    """Merge `other` into the branch, with further files in the same commit."""
    run_git(remote.work, "checkout", "--quiet", branch)
    run_git(remote.work, "merge", "--quiet", "--no-commit", "--no-ff", other)
    for name in extra:
        (remote.work / name).write_text("unseen\n")
    return remote.commit_work(branch)


async def test_audited_tree_passes(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    audited = remote.commit({"a.txt": "a\n"}, "work", "main")
    assert await tree_history.find_unaudited(mirror, fetch, audited, [audited], 3) is None


async def test_clean_merges_of_the_base_pass(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    audited = remote.commit({"a.txt": "a\n"}, "work", "main")
    for name in ("b.txt", "c.txt"):
        remote.commit({name: "by hand\n"}, "main")
        head = merged(remote, "work", "main")
    assert await tree_history.find_unaudited(mirror, fetch, head, [audited], 3) is None


async def test_merge_that_adds_something_is_unaudited(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    audited = remote.commit({"a.txt": "a\n"}, "work", "main")
    remote.commit({"b.txt": "by hand\n"}, "main")
    head = merged(remote, "work", "main", "evil.txt")
    assert await tree_history.find_unaudited(mirror, fetch, head, [audited], 3) == head


async def test_later_commit_is_unaudited_until_taken_back(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    audited = remote.commit({"a.txt": "a\n"}, "work", "main")
    later = remote.commit({"b.txt": "b\n"}, "work")
    assert await tree_history.find_unaudited(mirror, fetch, later, [audited], 3) == later
    back = remote.commit({"b.txt": None}, "work")
    assert await tree_history.find_unaudited(mirror, fetch, back, [audited], 3) is None


async def test_rebased_landing_is_no_difference(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    remote.commit({"a.txt": "a\n"}, "work", "main")
    head = remote.commit({"b.txt": "b\n"}, "work")
    remote.commit({"c.txt": "by hand\n"}, "main")
    run_git(remote.work, "cherry-pick", f"{head}~1", head)
    landed = remote.commit_work("main")
    run_git(remote.work, "reset", "--quiet", "--hard", "HEAD~1")
    landed = run_git(remote.work, "rev-parse", "HEAD")
    run_git(remote.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")
    assert await tree_history.differing_paths(mirror, fetch, head, landed) == ()


async def test_squash_with_something_else_differs(mirror: Mirror, remote: Remote, fetch: Fetch) -> None:
    head = remote.commit({"a.txt": "a\n"}, "work", "main")
    landed = remote.commit({"a.txt": "a\n", "evil.txt": "x\n"}, "main")
    assert await tree_history.differing_paths(mirror, fetch, head, landed) == ("evil.txt",)
