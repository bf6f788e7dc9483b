"""All integrity rules over a change, in the reading process; a file that no rule can read is refused."""

from collections.abc import Mapping, Sequence

from app.domain.diff import DiffSyntaxError
from app.domain.integrity import ChangedText, Flag, without_ignored
from app.domain.integrity_paths import scan_paths
from app.domain.integrity_tests import scan_tests
from app.domain.integrity_text import added_lines, scan_text
from app.domain.patch import ChangeKind, FileChange
from app.domain.posted_patch import read_fragments
from app.workspace.reading_process import Unreadable, read_apart
from app.workspace.secret_scan import scan_secrets

MAX_UNREAD = 3
"""Files that no rule can read, after which the others of the change are not tried."""
_IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"\0\0\1\0")


def scan_changes(
    changes: Sequence[FileChange], before: Mapping[str, str], ignored: Sequence[str], own: Sequence[str]
) -> tuple[Flag, ...]:
    """What all rules find in these changes; `before` are the texts of the files as they were, `own` own secrets."""
    files = [_changed_text(change, before.get(change.path)) for change in changes]
    flags = [*scan_paths(files), *scan_tests(files)]
    for file in files:
        flags += scan_text(file)
        flags += scan_secrets(file.path, added_lines(file), own)
    return without_ignored(flags, ignored)


async def scan_apart(
    changes: Sequence[FileChange], before: Mapping[str, str], ignored: Sequence[str], own: Sequence[str]
) -> tuple[Flag, ...]:
    """The same in the reading process. Where it does not read all, each file is read by itself."""
    try:
        return await read_apart(scan_changes, changes, before, ignored, own)
    except Unreadable as unreadable:
        if len(changes) < 2:
            return tuple(_unread(change, unreadable) for change in changes)
    flags: list[Flag] = []
    unread = 0
    for change in changes:
        known = {change.path: before[change.path]} if change.path in before else {}
        try:
            flags += await read_apart(scan_changes, [change], known, ignored, own)
        except Unreadable as unreadable:
            flags.append(_unread(change, unreadable))
            unread += 1
            if unread == MAX_UNREAD:
                break
    # All of them can be read, only not together: rules over several files have not been asked.
    return tuple(flags) if unread else (*flags, _unread(changes[0], Unreadable("with all files of the change")))


def scan_posted(diff: str, own: Sequence[str]) -> tuple[Flag, ...]:
    """What all rules find in a diff alone. The lines have no numbers, as the rest of the files is not known.

    A diff that cannot be read has no flags: its gate refuses it.
    """
    try:
        changes, before = read_fragments(diff)
    except DiffSyntaxError:
        return ()
    return tuple(flag.model_copy(update={"line": None}) for flag in scan_changes(changes, before, (), own))


async def scan_posted_apart(diff: str, own: Sequence[str]) -> tuple[Flag, ...]:
    """The same in the reading process; a diff that it does not read is refused."""
    try:
        return await read_apart(scan_posted, diff, own)
    except Unreadable as unreadable:
        return (Flag(rule="unread", path="the patch", detail=str(unreadable)),)


def _unread(change: FileChange, why: Unreadable) -> Flag:
    return Flag(rule="unread", path=change.path, detail=str(why))


def _changed_text(change: FileChange, before: str | None) -> ChangedText:
    content, after = change.content, None
    if content is not None and b"\0" not in content:
        after = _decoded(content)
    binary = content is not None and after is None
    return ChangedText(
        path=change.path,
        before=before,
        after=after,
        binary=binary,
        image=binary and content is not None and content.startswith(_IMAGES),
        deleted=change.kind is ChangeKind.DELETED,
    )


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None
