"""The worktree: exactly its base at each opening, edited by exact text, read out as a patch that can be put back."""

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from app.domain.patch import ChangeKind, FileChange
from app.workspace.edits import Edit
from app.workspace.mirror import Mirror
from app.workspace.trash import empty_trash, move_to_trash
from app.workspace.workspace_errors import EditError, GitError, PatchError, PathError, WorkspaceError
from app.workspace.worktree import Worktree, sweep
from tests.workspace.conftest import FILES
from tests.workspace.remote import Remote, run_git


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


async def until_empty(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while left := left_in(folder):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.01)


def by_path(changes: tuple[FileChange, ...]) -> dict[str, FileChange]:
    return {change.path: change for change in changes}


async def test_it_opens_at_the_base_with_nothing_else(worktree: Worktree) -> None:
    assert await worktree.list_files() == sorted(FILES)
    assert (await worktree.patch()).empty


async def test_opening_again_forgets_everything_that_happened(
    worktree: Worktree, mirror: Mirror, remote: Remote
) -> None:
    await worktree.write_file("src/app.py", "broken")
    await worktree.write_file("build/out", "ignored")
    await worktree.delete_file("README.md")
    locked = worktree.path / "locked"
    locked.mkdir()
    (locked / "x").write_text("x")
    locked.chmod(0)
    git_dir = mirror.path / "worktrees" / "run-1"
    (git_dir / "index.lock").write_text("")
    (git_dir / "HEAD.lock").write_text("")
    again = await Worktree.open(mirror, "run-1", worktree.base_sha)
    assert (await again.patch()).empty
    assert await again.list_files() == sorted(FILES)
    assert not (again.path / "build").exists()

    newer = remote.commit({"README.md": "newer\n"})
    await mirror.fetch(None, "main")
    await mirror.hydrate(None, newer)
    moved = await Worktree.open(mirror, "run-1", newer)
    assert (await moved.read_file("README.md")).text == "newer\n"


@pytest.mark.parametrize("damage", ["no index", "no git folder", "no worktree", "garbage index", "a file", "no .git"])
async def test_a_damaged_worktree_is_made_anew(worktree: Worktree, mirror: Mirror, damage: str) -> None:
    git_dir = mirror.path / "worktrees" / "run-1"
    if damage == "no index":
        (git_dir / "index").unlink()
    elif damage == "garbage index":
        (git_dir / "index").write_bytes(b"garbage")
    elif damage == "no git folder":
        move_to_trash(mirror.root, git_dir)
    elif damage == "no .git":
        (worktree.path / ".git").unlink()
    else:
        move_to_trash(mirror.root, worktree.path)
        if damage == "a file":
            worktree.path.write_text("")
    again = await Worktree.open(mirror, "run-1", worktree.base_sha)
    await again.write_file("new.txt", "n\n")
    assert (await again.patch()).paths == ("new.txt",)


async def test_missing_base_contents_is_an_error(mirror: Mirror) -> None:
    await mirror.fetch(None, "main")
    with pytest.raises(GitError):
        await Worktree.open(mirror, "run-2", await mirror.resolve("main"))
    assert not (mirror.root / "worktrees" / "run-2").exists()


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".hidden", "a..b", "x.lock", "-x", "x" * 101])
async def test_run_ids_must_be_folder_names(mirror: Mirror, base: str, run_id: str) -> None:
    with pytest.raises(WorkspaceError):
        await Worktree.open(mirror, run_id, base)


async def test_the_patch_tells_every_kind_of_change(mirror: Mirror, remote: Remote) -> None:
    (remote.work / "link").symlink_to("README.md")
    (remote.work / "tool.sh").write_text("#!/bin/sh\n")
    (remote.work / "long.txt").write_text("".join(f"line {number}\n" for number in range(50)))
    (remote.work / "to-dir").write_text("x\n")
    sha = remote.commit_work()
    await mirror.fetch(None, "main")
    await mirror.hydrate(None, sha)
    worktree = await Worktree.open(mirror, "run-1", sha)

    await worktree.edit_file("src/app.py", [Edit("print(os.name)", "print('ä')")])
    await worktree.write_file("new file.txt", "no newline")
    await worktree.write_file("tool.sh", "#!/bin/sh\n", executable=True)
    await worktree.write_file("image.bin", b"\x00\xff")
    await worktree.delete_file("src/deep/data.bin")
    await worktree.delete_file("link")
    await worktree.write_file("moved/long.txt", (await worktree.read_file("long.txt")).text)
    await worktree.delete_file("long.txt")
    await worktree.delete_file("to-dir")
    await worktree.write_file("to-dir/inner", "x\n")
    await worktree.write_file("build/kept.log", "ignored, but written on purpose\n")
    patch = await worktree.patch()

    changes = by_path(patch.changes)
    assert {path: change.kind.value for path, change in changes.items()} == {
        "src/app.py": "modified", "new file.txt": "added", "tool.sh": "modified", "image.bin": "added",
        "src/deep/data.bin": "deleted", "link": "deleted", "long.txt": "deleted", "moved/long.txt": "added",
        "to-dir": "deleted", "to-dir/inner": "added", "build/kept.log": "added",
    }  # fmt: skip
    assert changes["tool.sh"].mode == "100755"
    assert changes["link"].symlink
    assert changes["image.bin"].content == b"\x00\xff"
    assert changes["new file.txt"].content == b"no newline"
    assert "rename from long.txt\nrename to moved/long.txt" in patch.diff
    assert "old mode 100644\nnew mode 100755" in patch.diff
    assert "GIT binary patch" in patch.diff
    assert "\\ No newline at end of file" in patch.diff
    assert not (worktree.path / "src" / "deep").exists()

    by_changes = await Worktree.open(mirror, "run-2", sha)
    await by_changes.apply_changes(patch.changes)
    assert await by_changes.patch() == patch
    await by_changes.apply_changes(patch.changes)
    assert await by_changes.patch() == patch
    by_diff = await Worktree.open(mirror, "run-3", sha)
    await by_diff.apply(patch.diff)
    assert await by_diff.patch() == patch


async def test_line_ends_are_stored_as_the_attributes_say(mirror: Mirror, remote: Remote) -> None:
    sha = remote.commit({".gitattributes": "*.txt text eol=crlf\n", "dos.txt": "one\ntwo\n"})
    await mirror.fetch(None, "main")
    await mirror.hydrate(None, sha)
    worktree = await Worktree.open(mirror, "run-1", sha)
    assert (worktree.path / "dos.txt").read_bytes() == b"one\r\ntwo\r\n"
    await worktree.edit_file("dos.txt", [Edit("one\ntwo\n", "one\n2\n")])
    patch = await worktree.patch()
    assert patch.changes[0].content == b"one\n2\n"
    assert (patch.lines_added, patch.lines_removed) == (1, 1)


async def test_immediate_same_size_edit_is_seen(worktree: Worktree) -> None:
    """git tells files apart by size and whole seconds, and trusts that only for files older than its index."""
    checked_out, written = 0, 1
    while checked_out != written:
        worktree = await Worktree.open(worktree.mirror, worktree.run_id, worktree.base_sha)
        checked_out = int((worktree.path / "README.md").stat().st_ctime)
        await worktree.write_file("README.md", "# Dome\n")
        written = int((worktree.path / "README.md").stat().st_ctime)
    await asyncio.sleep(written + 1 - time.time())
    assert [change.path for change in (await worktree.patch()).changes] == ["README.md"]


async def test_edits_keep_the_mode_and_must_fit_once(worktree: Worktree) -> None:
    await worktree.write_file("twice.txt", "same\nother\nsame\n", executable=True)
    with pytest.raises(EditError, match=r"2 times .* lines 1, 3"):
        await worktree.edit_file("twice.txt", [Edit("same", "new")])
    await worktree.edit_file("twice.txt", [Edit("other\nsame", "other\nnew")])
    assert (worktree.path / "twice.txt").read_text() == "same\nother\nnew\n"
    assert (worktree.path / "twice.txt").stat().st_mode & stat.S_IXUSR
    with pytest.raises(EditError, match=r"not found in src/app.py.*\n4: def main\(\) -> None:"):
        await worktree.edit_file("src/app.py", [Edit("def main():", "def run():")])
    with pytest.raises(EditError, match="No line is like it"):
        await worktree.edit_file("src/app.py", [Edit("§§§§§§", "x")])
    for old, new in (("", "x"), ("import os", "import os")):
        with pytest.raises(EditError):
            await worktree.edit_file("src/app.py", [Edit(old, new)])
    await worktree.write_file("binary", b"a\0")
    with pytest.raises(EditError, match="binary"):
        await worktree.edit_file("binary", [Edit("a", "b")])


async def test_files_are_read_by_lines(worktree: Worktree) -> None:
    part = await worktree.read_file("src/app.py", 4, 5)
    assert (part.text, part.first, part.last, part.total_lines) == (
        "def main() -> None:\n    print(os.name)\n", 4, 5, 5,
    )  # fmt: skip
    assert (await worktree.read_file("src/app.py", 5, 99)).text == "    print(os.name)\n"
    assert (await worktree.read_file("src/app.py", 99)).text == ""
    assert (await worktree.read_file("src/app.py")).text == FILES["src/app.py"]
    await worktree.write_file("bin", b"\xff\0\xfe")
    with pytest.raises(EditError):
        await worktree.read_file("bin")


async def test_listing_and_search_skip_ignored_files(worktree: Worktree) -> None:
    await worktree.write_file("src/new.py", "import json\n")
    (worktree.path / "noise.log").write_text("import noise\n")
    assert await worktree.list_files("*.py") == ["src/app.py", "src/new.py"]
    assert await worktree.list_files("src/*.{py,bin}") == ["src/app.py", "src/new.py"]
    found = await worktree.search(r"^import \w+$")
    assert [(match.path, match.line, match.text) for match in found.matches] == [
        ("src/app.py", 1, "import os"),
        ("src/new.py", 1, "import json"),
    ]
    assert [match.path for match in (await worktree.search("import", "src/n*.py")).matches] == ["src/new.py"]
    assert (await worktree.search("no such text")).matches == ()
    with pytest.raises(EditError):
        await worktree.search("(unclosed")


async def test_searches_are_bounded(worktree: Worktree) -> None:
    for number in range(10):
        await worktree.write_file(f"many/{number}.txt", "needle in a row\n" * 100)
    many = await worktree.search("needle")
    assert len(many.matches) == 200
    assert many.left_out == 800
    await worktree.write_file("long.txt", "needle" + "x" * 1_000_000)
    assert len((await worktree.search("needlex")).matches[0].text) < 340
    await worktree.write_file("far.txt", "x" * 100_000 + " here ä" + "y" * 100_000)
    assert " here ä" in (await worktree.search("here")).matches[0].text


@pytest.mark.parametrize(
    ("diff", "message"),
    [
        ("", "holds no file"),
        ("nonsense", "holds no file"),
        (
            "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Other\n+# New\n",
            r"README.md: hunk 1 \(@@ -1,1 \+1,1 @@\)",
        ),
        ("--- a/README.md\n+++ b/README.md\n@@ -1,5 +1 @@\n-# Demo\n", "line 5: the hunk ends early"),
        ("--- a/none.txt\n+++ b/none.txt\n@@ -1 +1 @@\n-a\n+b\n", "none.txt: No such file"),
        ("--- /dev/null\n+++ b/README.md\n@@ -0,0 +1 @@\n+x\n", "README.md: already exists"),
        (
            "diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n+++ b/sub\n"
            "@@ -0,0 +1 @@\n+Subproject commit 1234567890123456789012345678901234567890\n",
            "submodule",
        ),
    ],
)
async def test_a_patch_that_does_not_apply_says_where(worktree: Worktree, diff: str, message: str) -> None:
    with pytest.raises(PatchError, match=message):
        await worktree.apply(diff)
    assert (await worktree.patch()).empty


async def test_a_patch_applies_wholly_or_not_at_all(worktree: Worktree) -> None:
    good = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Demo\n+# New\n"
    bad = "--- a/src/app.py\n+++ b/src/app.py\n@@ -1 +1 @@\n-import sys\n+import re\n"
    with pytest.raises(PatchError, match=r"src/app\.py: hunk 1"):
        await worktree.apply(good + bad)
    assert (await worktree.patch()).empty
    await worktree.apply(good.removesuffix("\n"))
    assert (await worktree.read_file("README.md")).text == "# New\n"


@pytest.mark.parametrize("path", ["../out", ".git/config", "/etc/x", "inner/.GIT/x"])
async def test_a_patch_stays_inside(worktree: Worktree, path: str) -> None:
    with pytest.raises(PathError):
        await worktree.apply(f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n")


async def test_a_patch_is_not_applied_through_a_symlink(worktree: Worktree, tmp_path: Path) -> None:
    (worktree.path / "escape").symlink_to(tmp_path)
    with pytest.raises(PatchError):
        await worktree.apply("--- /dev/null\n+++ b/escape/out\n@@ -0,0 +1 @@\n+x\n")
    assert not (tmp_path / "out").exists()


async def test_recorded_changes_stay_inside(worktree: Worktree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    link = FileChange(path="escape", kind=ChangeKind.ADDED, mode="120000", content=os.fsencode(outside))
    await worktree.apply_changes([link])
    for change in (
        FileChange(path="escape/new", kind=ChangeKind.ADDED, content=b"x"),
        FileChange(path="../x", kind=ChangeKind.ADDED, content=b"x"),
        FileChange(path="sub", kind=ChangeKind.ADDED, mode="160000"),
    ):
        with pytest.raises(PathError):
            await worktree.apply_changes([change])
    await worktree.apply_changes([FileChange(path="escape/kept", kind=ChangeKind.DELETED)])
    assert [path.name for path in outside.iterdir()] == ["kept"]


async def test_planted_repository_is_inert(mirror: Mirror, remote: Remote, tmp_path: Path) -> None:
    run_git(remote.work, "update-index", "--add", "--cacheinfo", "160000", "1" * 40, "module")
    run_git(remote.work, "commit", "--quiet", "--message", "module")
    run_git(remote.work, "push", "--quiet", "origin", "main")
    await mirror.fetch(None, "main")
    sha = await mirror.resolve("main")
    await mirror.hydrate(None, sha)
    worktree = await Worktree.open(mirror, "run-1", sha)
    evidence = tmp_path / "evidence"
    for folder in ("module", "planted"):
        nested = worktree.path / folder
        nested.mkdir(exist_ok=True)
        run_git(nested, "init", "--quiet")
        (nested / "file").write_text("x")
        run_git(nested, "add", "file")
        run_git(nested, "commit", "--quiet", "--message", "x")
        run_git(nested, "config", "core.fsmonitor", f"touch {evidence}; false")
        (nested / "file").write_text("y")
    assert (await worktree.patch()).empty
    await worktree.list_files()
    await worktree.search("x")
    await Worktree.open(mirror, "run-1", sha)
    assert not evidence.exists()
    assert not (worktree.path / "planted").exists()


async def test_same_edits_give_same_patch(mirror: Mirror, base: str) -> None:
    patches = []
    for run_id in ("run-a", "run-b"):
        worktree = await Worktree.open(mirror, run_id, base)
        await worktree.write_file("x/y.txt", "1\n")
        await worktree.edit_file("README.md", [Edit("Demo", "Example")])
        patches.append(await worktree.patch())
    assert patches[0] == patches[1]


async def test_sweeping_takes_leftovers(mirror: Mirror, base: str) -> None:
    second, third = [await Worktree.open(mirror, run_id, base) for run_id in ("two", "three")]
    unreadable = second.path / "unreadable"
    (unreadable / "inner").mkdir(parents=True)
    unreadable.chmod(0)
    await sweep(mirror.root, keep={"three"})
    assert not second.path.exists()
    assert not (mirror.path / "worktrees" / "two").exists()
    assert (await third.patch()).empty
    assert not any((mirror.root / "trash").iterdir())
    empty_trash(mirror.root)
    assert (await Worktree.open(mirror, "two", base)).path.exists()


async def test_calls_at_once_do_not_disturb_each_other(worktree: Worktree) -> None:
    await asyncio.gather(*(worktree.write_file(f"n/{number}.txt", "x\n") for number in range(20)))
    reading = asyncio.gather(*(worktree.patch() for _ in range(4)))
    await worktree.write_file("late.txt", "x\n")
    assert {len(patch.changes) for patch in await reading} <= {20, 21}
    assert len((await worktree.patch()).changes) == 21
