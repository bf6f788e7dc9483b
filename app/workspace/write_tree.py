"""Write a worktree's present files as a git tree, through an index of its own.

The worktree's real index always stays at the base commit. Nothing here makes git look into nested repositories:
a command could have planted one whose configuration names programs to run.
"""

import asyncio
import shutil
import stat
import uuid
from collections.abc import Awaitable, Collection
from pathlib import Path
from typing import Protocol

from app.workspace.git import GitOutput
from app.workspace.paths import kind_of
from app.workspace.quota import Quota

# Litter of build and test tools; a repository need not ignore it for a patch to leave it out.
CACHES = (
    "__pycache__/", "*.py[co]", ".pytest_cache/", ".mypy_cache/", ".ruff_cache/", ".hypothesis/", ".tox/", ".nox/",
    ".venv/", "node_modules/", ".coverage", ".coverage.*", "*.egg-info/", ".DS_Store",
)  # fmt: skip
_NO_OBJECT = "0" * 40


class RunGit(Protocol):
    """Runs git in one worktree; the arguments are those of `app.workspace.git.git`."""

    def __call__(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        index: Path | None = None,
        accept: tuple[int, ...] = (0,),
        deadline: float = 60.0,
        max_output: int | None = None,
    ) -> Awaitable[GitOutput]: ...


def exclude_options() -> tuple[str, ...]:
    """Options of `git ls-files --others` that leave out ignored files and the litter of tools."""
    return ("--exclude-standard", *(f"--exclude={pattern}" for pattern in CACHES))


async def write_tree(
    run: RunGit, root: Path, git_dir: Path, written: Collection[str], quota: Quota | None = None
) -> str:
    """Return the id of a tree that holds all tracked and new files as they are now, and those `written` though ignored.

    Special files (sockets, pipes) and nested repositories are left out, as git does. Raises RecordError when the new
    files are more than the quota, before git reads any of them.
    """
    index = git_dir / f"snapshot-{uuid.uuid4().hex}"
    # With its time: a file of the same size that is older than its index, by whole seconds, is unchanged to git.
    shutil.copy2(git_dir / "index", index)
    try:
        gone, present = await _changed_paths(run, root, written, quota)
        if gone:
            await run("update-index", "-z", "--index-info", stdin=_removals(gone), index=index)
        if present:
            names = b"".join(path + b"\0" for path in present)
            await run("update-index", "-z", "--add", "--replace", "--stdin", stdin=names, index=index)
        return (await run("write-tree", index=index)).text
    finally:
        index.unlink(missing_ok=True)
        index.with_name(f"{index.name}.lock").unlink(missing_ok=True)


async def _changed_paths(
    run: RunGit, root: Path, written: Collection[str], quota: Quota | None
) -> tuple[list[bytes], list[bytes]]:
    """Return tracked paths that no longer are files, and paths whose content may differ from the base."""
    tracked = await run("diff-files", "-z", "--name-status", "--no-renames", "--ignore-submodules=all")
    others = await run("ls-files", "-z", "--others", *exclude_options())
    fields = tracked.stdout.split(b"\0")
    deleted = {path for status, path in zip(fields[0:-1:2], fields[1::2], strict=False) if status == b"D"}
    untracked = {path for path in others.stdout.split(b"\0") if path}
    if quota is not None:
        await asyncio.to_thread(quota.check_new, root, untracked, fields[1::2])
    candidates = set(fields[1::2]) | untracked | {path.encode() for path in written}
    candidates = {path for path in candidates if path and not path.endswith(b"/")}  # `/`: a nested repository
    present = {path for path in candidates - deleted if _is_file(root, path)}
    return sorted(candidates - present), sorted(present)


def _is_file(root: Path, path: bytes) -> bool:
    return kind_of(root, path.decode(errors="surrogateescape")) in (stat.S_IFREG, stat.S_IFLNK)


def _removals(paths: list[bytes]) -> bytes:
    """Mode 0 in `--index-info` removes a path, also one that is a directory on disk now."""
    return b"".join(f"0 {_NO_OBJECT}\t".encode() + path + b"\0" for path in paths)
