"""Apply a unified diff that came from outside."""

import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from app.domain import diff as unified
from app.workspace.git import GitOutput, git
from app.workspace.paths import safe_path
from app.workspace.workspace_errors import GitError, PatchError

MAX_DIFF_BYTES = 4 * 1024 * 1024
_FAILED_HUNK = re.compile(r"patch failed: (?P<path>.+):(?P<line>\d+)")
_FAILED_FILE = re.compile(r"^error: (?P<path>.+?): (?P<reason>.+)$", re.MULTILINE)
_GITLINK = "160000"


class _Git(Protocol):
    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Awaitable[GitOutput]: ...


async def check_diffs(repository: Path, commit: str, diffs: Sequence[str]) -> None:
    """Raise as `apply_diff` does when diffs do not fit, one after the other, on a commit of a bare repository.

    `repository` is an absolute path; nothing in it is changed.
    """
    with TemporaryDirectory() as folder:
        variables = {
            "GIT_DIR": str(repository),
            "GIT_INDEX_FILE": str(Path(folder) / "index"),
            "GIT_OBJECT_DIRECTORY": str(Path(folder) / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repository / "objects"),
        }
        (Path(folder) / "objects").mkdir()

        async def run(*arguments: str, stdin: bytes | None = None) -> GitOutput:
            return await git(*arguments, cwd=repository, variables=variables, stdin=stdin)

        await run("read-tree", commit)
        for diff in diffs:
            await apply_diff(run, diff, "--cached")


async def apply_diff(run: _Git, diff: str, *options: str) -> frozenset[str]:
    """Apply a diff to the files, all or nothing, and return the paths it touches.

    Raises PatchError when it is malformed, too large, changes submodules or does not fit, and PathError for a path
    that may not be used.
    """
    data = diff.encode()
    if len(data) > MAX_DIFF_BYTES:
        raise PatchError(f"The patch has {len(data)} bytes, more than {MAX_DIFF_BYTES}; split it")
    try:
        files = unified.parse(diff)
    except unified.DiffSyntaxError as error:
        raise PatchError(f"The patch cannot be read: {error}") from error
    if not files:
        raise PatchError("The patch holds no file; send a unified diff with --- and +++ lines")
    touched = {safe_path(path) for file in files for path in (file.path, file.old_path) if path}
    for file in files:
        if _GITLINK in (file.old_mode, file.new_mode):
            raise PatchError(f"{file.path} is a submodule; patches may only change files")
    try:
        await run("apply", "--whitespace=nowarn", *options, "-", stdin=data if data.endswith(b"\n") else data + b"\n")
    except GitError as error:
        raise PatchError(_explain(files, error.stderr)) from error
    return frozenset(touched)


def _explain(files: list[unified.FileDiff], stderr: str) -> str:
    """Name the file and hunk; git names the hunk's first old line."""
    hunk = _FAILED_HUNK.search(stderr)
    if hunk:
        path, line = hunk["path"], int(hunk["line"])
        return (
            f"{path}: {_hunk_name(files, path, line)} does not match the file; read it again and make the patch again"
        )
    file = _FAILED_FILE.search(stderr)
    if file:
        return f"{file['path']}: {file['reason']}"
    return f"The patch does not apply: {stderr.strip()[:500]}"


def _hunk_name(files: list[unified.FileDiff], path: str, line: int) -> str:
    for file in files:
        if path in (file.path, file.old_path):
            for number, hunk in enumerate(file.hunks, 1):
                if hunk.old_start == line:
                    return f"hunk {number} ({hunk.header})"
    return f"the hunk at line {line}"
