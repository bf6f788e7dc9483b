"""A diff that an external agent posted, read as a patch without the repository's files."""

from app.domain import diff
from app.domain.api_errors import Unprocessable
from app.domain.diff import DiffSyntaxError, FileDiff
from app.domain.patch import ChangeKind, FileChange, Patch

_GITLINK = "160000"
_FILE = "100644"


def parse_posted_patch(text: str) -> Patch:
    """Read a posted diff. Only added files have their content; of others the diff alone is known.

    Raises `Unusable`, which names the file and hunk, or the line of the diff.
    """
    try:
        files = diff.parse(text)
    except DiffSyntaxError as error:
        raise Unprocessable(f"The patch cannot be read: {error}") from error
    if not files:
        raise Unprocessable("The patch holds no file; send a unified diff with --- and +++ lines")
    for file in files:
        if _GITLINK in (file.old_mode, file.new_mode):
            raise Unprocessable(f"{file.path} is a submodule; patches may only change files")
        if _changes_nothing(file):
            raise Unprocessable(f"{file.path}: the diff ends before its first hunk (@@ -1,2 +1,2 @@)")
    return Patch(
        base_sha="",
        diff=text,
        changes=tuple(change for file in files for change in _changes(file)),
        lines_added=sum(file.added for file in files),
        lines_removed=sum(file.removed for file in files),
    )


def read_fragments(text: str) -> tuple[tuple[FileChange, ...], dict[str, str]]:
    """What a posted diff shows of its files, without the repository's: their hunks after it, and before it by path.

    Raises `DiffSyntaxError`.
    """
    changes: list[FileChange] = []
    before: dict[str, str] = {}
    for file in diff.parse(text):
        if file.kind is not ChangeKind.ADDED:
            before[file.path] = _shown(file, "-")
        content = None if file.kind is ChangeKind.DELETED else _shown(file, "+").encode(errors="replace")
        content = b"\0" if file.binary else content
        changes.append(FileChange(path=file.path, kind=file.kind, mode=file.new_mode or _FILE, content=content))
    return tuple(changes), before


def _shown(file: FileDiff, side: str) -> str:
    return "".join(line.text + "\n" for hunk in file.hunks for line in hunk.lines if line.tag in {side, " "})


def _changes_nothing(file: FileDiff) -> bool:
    if file.hunks or file.binary or file.old_path is not None:
        return False
    return file.kind is ChangeKind.MODIFIED and file.old_mode == file.new_mode


def _changes(file: FileDiff) -> list[FileChange]:
    mode = file.new_mode or file.old_mode or _FILE
    if file.old_path is None:
        content = _content(file) if file.kind is ChangeKind.ADDED else None
        return [FileChange(path=file.path, kind=file.kind, mode=mode, content=content)]
    moved = [FileChange(path=file.path, kind=ChangeKind.ADDED, mode=mode)]
    if file.kind is not ChangeKind.ADDED:  # a copy leaves its source where it is
        moved.append(FileChange(path=file.old_path, kind=ChangeKind.DELETED, mode=mode))
    return moved


def _content(file: FileDiff) -> bytes:
    added = [line for hunk in file.hunks for line in hunk.lines if line.tag == "+"]
    return "".join(line.text + ("\n" if line.newline else "") for line in added).encode(errors="replace")
