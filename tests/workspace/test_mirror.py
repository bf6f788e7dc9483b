"""The mirror: fetched at once and again, repaired after a kill, read without network, and no place for tokens."""

import asyncio
import sys
from pathlib import Path

import pytest

from app.domain.patch import ChangeKind
from app.workspace.git import git
from app.workspace.mirror import Mirror, TreeEntry
from app.workspace.workspace_errors import GitError, WorkspaceError
from tests.workspace.remote import NAME, OWNER, HttpRemote, Remote, run_git

TOKEN = "ghs_averysecrettoken0123456789"


async def content(mirror: Mirror, sha: str, path: str) -> bytes:
    """A file's content at a commit, read without network."""
    return (await git("cat-file", "blob", f"{sha}:{path}", cwd=mirror.path)).stdout


async def test_commits_come_first_and_contents_when_hydrated(mirror: Mirror, remote: Remote) -> None:
    await mirror.fetch(None, "main")
    sha = await mirror.resolve("main")
    assert sha == run_git(remote.work, "rev-parse", "HEAD")
    assert {entry.size for entry in await mirror.list_files(sha)} == {None}
    with pytest.raises(GitError, match="not allowed"):
        await content(mirror, sha, "README.md")

    await mirror.hydrate(None, sha)
    assert await content(mirror, sha, "README.md") == b"# Demo\n"
    assert TreeEntry("README.md", "100644", 7) in await mirror.list_files(sha)


async def test_a_server_without_filters_gives_everything_at_once(tmp_path: Path) -> None:
    remote = Remote(tmp_path, partial=False)
    sha = remote.commit({"a.txt": "a\n"})
    mirror = Mirror(tmp_path / "data", OWNER, NAME, remote.url)
    await mirror.fetch(None)
    assert await content(mirror, sha, "a.txt") == b"a\n"


async def test_concurrent_first_fetches_make_one_sound_mirror(mirror: Mirror, remote: Remote, tmp_path: Path) -> None:
    others = [Mirror(tmp_path / "data", OWNER, NAME, remote.url) for _ in range(5)]
    program = (
        "import asyncio, sys; from pathlib import Path; from app.workspace.mirror import Mirror\n"
        "asyncio.run(Mirror(Path(sys.argv[1]), 'octo', 'demo', sys.argv[2]).fetch(None, 'main'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data"), remote.url]
    processes = [await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    await asyncio.gather(*(one.fetch(None, "main") for one in [mirror, *others]))
    assert [await asyncio.wait_for(process.wait(), 60) for process in processes] == [0, 0]
    sha = await mirror.resolve("main")
    await asyncio.gather(*(one.hydrate(None, sha) for one in others))
    assert await content(mirror, sha, "README.md") == b"# Demo\n"
    await git("fsck", "--connectivity-only", cwd=mirror.path)


@pytest.mark.parametrize("left", ["nothing but a folder", "a file", "no configuration", "locks", "half of the making"])
async def test_a_half_made_mirror_is_repaired(mirror: Mirror, left: str) -> None:
    if left == "a file":
        mirror.path.parent.mkdir(parents=True)
        mirror.path.write_text("?")
    elif left == "nothing but a folder":
        (mirror.path / "objects").mkdir(parents=True)
    elif left == "half of the making":
        new = mirror.root / "mirrors" / ".new" / OWNER / f"{NAME}.git"
        new.mkdir(parents=True)
        (new / "HEAD").write_text("ref: refs/heads/ma")
    else:
        await mirror.fetch(None, "main")
        if left == "no configuration":
            (mirror.path / "config").write_text("")
        else:
            for name in ("config.lock", "packed-refs.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x"):
                (mirror.path / name).write_text("")
    await mirror.fetch(None, "main")
    assert len(await mirror.resolve("main")) == 40
    assert not list(mirror.path.rglob("*.lock"))


async def test_branch_may_replace_a_deleted_one(mirror: Mirror, remote: Remote) -> None:
    remote.commit({"a": "a"}, branch="topic", start="main")
    await mirror.fetch(None)
    run_git(remote.work, "push", "--quiet", "origin", ":topic")
    run_git(remote.work, "branch", "--quiet", "--move", "topic", "old")
    sha = remote.commit({"b": "b"}, branch="topic/more", start="main")
    await mirror.fetch(None, "topic/more")
    assert await mirror.resolve("topic/more") == sha


async def test_a_commit_is_fetched_by_its_sha(mirror: Mirror, remote: Remote) -> None:
    first = run_git(remote.work, "rev-parse", "HEAD")
    remote.commit({"README.md": "two\n"})
    await mirror.fetch(None, first)
    assert await mirror.resolve(first) == first
    with pytest.raises(GitError):
        await mirror.resolve("main")


async def test_merges_and_diffs_need_no_worktree(mirror: Mirror, remote: Remote) -> None:
    start = run_git(remote.work, "rev-parse", "HEAD")
    ours = remote.commit({"README.md": "# Ours\n", "new.txt": "n\n"}, branch="ours", start=start)
    clean = remote.commit({"src/app.py": "x = 1\n"}, branch="clean", start=start)
    theirs = remote.commit({"README.md": "# Theirs\n"}, branch="theirs", start=start)
    await mirror.fetch(None)
    for sha in (start, ours, clean, theirs):
        await mirror.hydrate(None, sha)
    merged, conflicts = await mirror.merge_with_markers(ours, clean)
    assert conflicts == ()
    assert await content(mirror, merged, "src/app.py") == b"x = 1\n"
    marked, conflicts = await mirror.merge_with_markers(ours, theirs)
    assert [one.path for one in conflicts] == ["README.md"]
    assert b"=======\n# Theirs\n" in await content(mirror, marked, "README.md")
    assert "+# Ours" in await mirror.diff(start, ours)
    assert "README" not in await mirror.diff(start, ours, ["new.txt"])
    assert await mirror.merge_base(ours, theirs) == start
    await mirror.maintain()
    assert await content(mirror, ours, "new.txt") == b"n\n"


async def test_token_stays_out_of_arguments_and_errors(remote: Remote, tmp_path: Path) -> None:
    with HttpRemote(remote, TOKEN) as server:
        mirror = Mirror(tmp_path / "data", OWNER, NAME, server.url)
        await mirror.fetch(TOKEN, "main")
        sha = await mirror.resolve("main")
        await mirror.hydrate(TOKEN, sha)
        assert await content(mirror, sha, "README.md") == b"# Demo\n"
        with pytest.raises(GitError) as missing:
            await mirror.fetch(TOKEN, "no-such-branch")
        with pytest.raises(GitError) as denied:
            await Mirror(tmp_path / "other", OWNER, NAME, server.url).fetch(None, "main")
        assert server.requests > 4
        assert server.seen_in_arguments == []
    for path in (path for path in (tmp_path / "data").rglob("*") if path.is_file()):
        assert not any(secret in path.read_bytes() for secret in server.secrets), path
    for error in (missing.value, denied.value):
        assert not any(secret.decode() in f"{error} {error.command} {error.stderr}" for secret in server.secrets)


async def test_wrong_token_is_refused_unseen(remote: Remote, tmp_path: Path) -> None:
    with HttpRemote(remote, TOKEN) as server:
        mirror = Mirror(tmp_path / "data", OWNER, NAME, server.url)
        with pytest.raises(GitError) as refused:
            await mirror.fetch("ghs_wrong", "main")
    assert "ghs_wrong" not in str(refused.value)
    assert server.requests <= 2


async def test_network_hiccups_are_retried(remote: Remote, tmp_path: Path) -> None:
    with HttpRemote(remote, TOKEN) as server:
        server.failures = 2
        mirror = Mirror(tmp_path / "data", OWNER, NAME, server.url)
        await mirror.fetch(TOKEN, "main")
        assert server.failures == 0
        server.failures = 50
        with pytest.raises(GitError, match="503"):
            await mirror.fetch(TOKEN, "main")
        assert server.failures > 40


@pytest.mark.parametrize(
    ("owner", "name"), [("..", "x"), ("a", ".."), ("a/b", "c"), ("a", "b/c"), ("", "c"), ("a", "c.git"), ("-a", "b")]
)
def test_names_that_are_no_repository_are_refused(tmp_path: Path, owner: str, name: str) -> None:
    with pytest.raises(WorkspaceError):
        Mirror(tmp_path, owner, name)


@pytest.mark.parametrize(
    "ref", ["--upload-pack=x", "a..b", "a b", "a:b", "^main", "", "a.lock", "+main", "/a", "a/", "@{1}"]
)
async def test_option_like_refs_are_refused(mirror: Mirror, base: str, ref: str) -> None:
    with pytest.raises(WorkspaceError) as refused:
        await mirror.resolve(ref)
    if ref != "+main":  # a legal name of a branch, which does not exist
        assert not isinstance(refused.value, GitError)


async def test_a_command_that_hangs_or_floods_is_ended(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet")
    (tmp_path / "big").write_bytes(b"x\n" * 2_000_000)
    run_git(tmp_path, "add", "big")
    with pytest.raises(GitError, match="more than 1000 bytes"):
        await git("cat-file", "blob", ":big", cwd=tmp_path, max_output=1000)
    cut = await git("cat-file", "blob", ":big", cwd=tmp_path, max_output=1000, cut_output=True)
    assert cut.truncated
    assert len(cut.stdout) == 1000
    with pytest.raises(GitError, match="not finished after"):
        await git("-c", "alias.hang=!sleep 60", "hang", cwd=tmp_path, deadline=0.3)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ({"README.md": "# Ours\n"}, {"README.md": "# Theirs\n"}, ("README.md", "contents", True)),
        ({"README.md": "# Ours\n"}, {"README.md": None}, ("README.md", "modify/delete", False)),
        ({"README.md": None}, {"README.md": "# Theirs\n"}, ("README.md", "modify/delete", False)),
        ({"logo.png": b"\0ours"}, {"logo.png": b"\0theirs"}, ("logo.png", "binary", False)),
    ],
)
async def test_conflict_has_its_kind(
    mirror: Mirror,
    remote: Remote,
    ours: dict[str, str | bytes | None],
    theirs: dict[str, str | bytes | None],
    expected: tuple[str, str, bool],
) -> None:
    start = run_git(remote.work, "rev-parse", "HEAD")
    shas = [remote.commit(ours, branch="ours", start=start), remote.commit(theirs, branch="theirs", start=start)]
    await mirror.fetch(None)
    for sha in (start, *shas):
        await mirror.hydrate(None, sha)
    [found] = (await mirror.merge_with_markers(*shas))[1]
    assert (found.path, found.kind, found.marked) == expected


async def test_file_of_a_commit(mirror: Mirror, remote: Remote) -> None:
    start = run_git(remote.work, "rev-parse", "HEAD")
    sha = remote.commit({"logo.png": b"\0theirs", "sub/a.txt": "a\n"}, branch="theirs", start=start)
    await mirror.fetch(None)
    await mirror.hydrate(None, sha)
    taken = await mirror.file_at(sha, "logo.png")
    assert (taken.content, taken.mode) == (b"\0theirs", "100644")
    assert (await mirror.file_at(sha, "none.txt")).kind is ChangeKind.DELETED
    with pytest.raises(WorkspaceError, match="is a folder or a submodule there"):
        await mirror.file_at(sha, "sub")
