"""Paths from a model stay inside the worktree, in every form and with every kind of file there."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.workspace.edits import Edit
from app.workspace.file_writes import delete_file, write_file
from app.workspace.paths import read_bytes, safe_path
from app.workspace.workspace_errors import PathError
from app.workspace.worktree import Worktree

ATTACKS = [
    "", ".", "/", "/etc/passwd", "~/x", "./~", ".//c:/x", "C:\\x", "c:/x", "..", "../x", "a/../../x", "a/..",
    "a\\b", "a\0b", "a\nb", "\x7f", ".git", ".git/config", "a/.git/hooks/x", ".GIT/config", ".Git", ".git.",
    ".git ", ".git. .", "git~1", "GIT~1/config", "git~23", ".git::$INDEX_ALLOCATION/x", ".g\u200cit/config",
    "\u200d.git", ".\uff47\uff49\uff54", "\udcff", "x" * 256, "/".join(["y" * 200] * 30),
]  # fmt: skip


@pytest.mark.parametrize("path", ATTACKS)
def test_attacks_are_refused_with_advice(path: str) -> None:
    with pytest.raises(PathError, match=r".{20,}"):
        safe_path(path)


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        ("a", "a"),
        ("./a//b/", "a/b"),
        (".github/workflows/ci.yml", ".github/workflows/ci.yml"),
        (".gitignore", ".gitignore"),
        (".gitattributes", ".gitattributes"),
        ("a/git/x", "a/git/x"),
        ("x.git/config", "x.git/config"),
        ("...", "..."),
        ("naïve name.txt", "naïve name.txt"),
    ],
)
def test_ordinary_paths_get_one_spelling(path: str, spelled: str) -> None:
    assert safe_path(path) == spelled


@given(st.text(alphabet="ab./\\~ \0GgIiTt:1", max_size=30))
def test_accepted_path_never_leaves_the_tree(path: str) -> None:
    try:
        spelled = safe_path(path)
    except PathError:
        return
    assert os.path.normpath(spelled) == spelled
    parts = spelled.split("/")
    assert all(part not in ("", ".", "..") for part in parts)
    assert ".git" not in [part.rstrip(". ").lower() for part in parts]
    assert safe_path(spelled) == spelled


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with symlinks that leave it in every way."""
    root = tmp_path / "tree"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "file").write_text("inside")
    (root / ".git").write_text("gitdir: /somewhere/else\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "tree-2").mkdir()
    (tmp_path / "tree-2" / "secret").write_text("secret")
    for name, target in {
        "absolute": str(tmp_path / "secret"),
        "relative": "../secret",
        "neighbor": "../tree-2",
        "up": "..",
        "loop": "loop",
        "git": ".git",
        "good": "inner/file",
        "good-dir": "inner",
        "missing": "../created",
    }.items():
        (root / name).symlink_to(target)
    return root


@pytest.mark.parametrize("path", ["absolute", "relative", "neighbor/secret", "up/secret", "loop", "git", "missing"])
def test_reading_never_leaves_the_tree(tree: Path, path: str) -> None:
    with pytest.raises(PathError):
        read_bytes(tree, path, 1000)


def test_reading_follows_links_inside_and_refuses_other_things(tree: Path) -> None:
    assert read_bytes(tree, "good", 1000) == b"inside"
    assert read_bytes(tree, "good-dir/file", 1000) == b"inside"
    os.mkfifo(tree / "pipe")
    for path in ("inner", "pipe", "nothing", "inner/file/x"):
        with pytest.raises(PathError):
            read_bytes(tree, path, 1000)
    with pytest.raises(PathError, match="6 bytes"):
        read_bytes(tree, "good", 5)


@pytest.mark.parametrize(
    "path",
    ["absolute", "relative", "neighbor/secret", "up/created", "missing", "good", "good-dir/file", "inner", "pipe"],
)
def test_nothing_is_written_through_a_symlink(tree: Path, path: str) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(PathError):
        write_file(tree, path, b"overwritten")
    assert (tree.parent / "secret").read_text() == "secret"
    assert (tree.parent / "tree-2" / "secret").read_text() == "secret"
    assert (tree / "inner" / "file").read_text() == "inside"
    assert not (tree.parent / "created").exists()


def test_deleting_takes_the_link_not_its_target(tree: Path) -> None:
    delete_file(tree, "absolute")
    assert (tree.parent / "secret").read_text() == "secret"
    for path in ("neighbor/secret", "inner", "nothing"):
        with pytest.raises(PathError):
            delete_file(tree, path)


@pytest.mark.parametrize("path", ["../x", ".git", ".GIT/config", "/etc/passwd"])
async def test_every_tool_refuses_such_paths(worktree: Worktree, path: str) -> None:
    for attempt in (
        worktree.read_file(path),
        worktree.write_file(path, "x"),
        worktree.edit_file(path, [Edit("a", "b")]),
        worktree.delete_file(path),
    ):
        with pytest.raises(PathError):
            await attempt
