"""The difference between two trees as file changes and as a unified diff; both read from git's objects only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.domain.patch import ChangeKind, FileChange
from app.workspace.git import git
from app.workspace.quota import Quota
from app.workspace.workspace_errors import GitError

_KINDS = {"A": ChangeKind.ADDED, "D": ChangeKind.DELETED, "M": ChangeKind.MODIFIED, "T": ChangeKind.MODIFIED}
_GITLINK = "160000"
# No option may depend on configuration or attributes that a repository controls.
DIFF_OPTIONS = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "--full-index")


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    kind: ChangeKind
    mode: str
    blob: str


async def tree_changes(repository: Path, old: str, new: str, quota: Quota | None = None) -> tuple[FileChange, ...]:
    """Return the files that differ between two trees or commits, sorted by path, with whole new contents.

    A rename is a deletion and an addition. Changed submodule links are listed with mode 160000 and no content. Raises
    RecordError when they are more than the quota.
    """
    output = await git("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", old, new, cwd=repository)
    entries = _parse_raw(output.stdout)
    wanted = sorted({entry.blob for entry in entries if _has_content(entry)})
    if quota is not None:
        await _check_quota(repository, len(entries), wanted, quota)
    contents = await read_blobs(repository, wanted)
    return tuple(
        FileChange(
            path=entry.path,
            kind=entry.kind,
            mode=entry.mode,
            content=contents[entry.blob] if _has_content(entry) else None,
        )
        for entry in entries
    )


async def _check_quota(repository: Path, files: int, blobs: Sequence[str], quota: Quota) -> None:
    quota.check("changed", files, 0)
    names = "".join(f"{blob}\n" for blob in blobs).encode()
    sizes = await git("cat-file", "--batch-check=%(objectsize)", cwd=repository, stdin=names)
    quota.check("changed", 0, sum(int(line) for line in sizes.stdout.split()))


def _has_content(entry: _Entry) -> bool:
    return entry.kind is not ChangeKind.DELETED and entry.mode != _GITLINK


def _parse_raw(raw: bytes) -> list[_Entry]:
    """Parse `:old-mode new-mode old-blob new-blob status NUL path NUL` records."""
    fields = raw.split(b"\0")
    entries: list[_Entry] = []
    for header, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        old_mode, new_mode, _, new_blob, status = header.decode().removeprefix(":").split(" ")
        kind = _KINDS[status]
        mode = old_mode if kind is ChangeKind.DELETED else new_mode
        entries.append(_Entry(_decode_path(path), kind, mode, new_blob))
    return sorted(entries, key=lambda entry: entry.path)


def _decode_path(path: bytes) -> str:
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise GitError(("diff-tree",), None, f"the path {path!r} is not UTF-8, which GitHub's API needs") from error


async def read_blobs(repository: Path, blobs: Sequence[str]) -> dict[str, bytes]:
    """Read several blobs in one process. Raises GitError when one is missing."""
    if not blobs:
        return {}
    output = await git("cat-file", "--batch", cwd=repository, stdin="".join(f"{blob}\n" for blob in blobs).encode())
    contents: dict[str, bytes] = {}
    position = 0
    for blob in blobs:
        end = output.stdout.index(b"\n", position)
        words = output.stdout[position:end].split()
        if len(words) != 3:
            raise GitError(("cat-file", "--batch"), 0, f"object {blob} is missing")
        start, size = end + 1, int(words[2])
        contents[blob] = output.stdout[start : start + size]
        position = start + size + 1
    return contents


async def unified_diff(repository: Path, old: str, new: str, paths: Sequence[str] = ()) -> str:
    """Return the git diff between two trees or commits, with renames and binary contents.

    Bytes that are not UTF-8 are replaced: the text is for reading and reviewing; contents travel as FileChange.
    """
    arguments = ("diff", "--binary", "--find-renames", *DIFF_OPTIONS, old, new, "--", *paths)
    output = await git(*arguments, cwd=repository, variables={"GIT_LITERAL_PATHSPECS": "1"})
    return output.stdout.decode(errors="replace")


async def count_lines(repository: Path, old: str, new: str) -> tuple[int, int]:
    """Return how many lines were added and removed between two trees; binary files count nothing."""
    output = await git("diff", "--numstat", "--find-renames", "-z", *DIFF_OPTIONS, old, new, "--", cwd=repository)
    added = removed = 0
    for record in output.stdout.split(b"\0"):
        counts = record.split(b"\t")
        if len(counts) == 3 and counts[0] != b"-":  # names of a rename follow as records without tabs
            added += int(counts[0])
            removed += int(counts[1])
    return added, removed
