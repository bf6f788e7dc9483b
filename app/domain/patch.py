"""A patch: what one attempt of the Builder changed, file by file."""

from enum import StrEnum

from pydantic import ConfigDict

from app.domain.frozen import Frozen


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


class FileChange(Frozen):
    """One file of a patch. `content` is the whole new file (None when deleted); a symlink's content is its target.

    `mode` is git's: 100644, 100755 or 120000. Bytes are carried as Base64 when the patch is stored.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    path: str
    kind: ChangeKind
    mode: str = "100644"
    content: bytes | None = None

    @property
    def symlink(self) -> bool:
        return self.mode == "120000"


class MergeConflict(Frozen):
    """A path on which two sides of a merge clash."""

    path: str
    kind: str = "contents"
    """In git's words: contents, modify/delete, rename/rename, binary, file/directory, …"""
    marked: bool = True
    """Whether the file holds conflict markers."""


class Patch(Frozen):
    """All changes of an attempt against `base_sha`, and the same as a unified git diff."""

    base_sha: str
    diff: str
    changes: tuple[FileChange, ...]
    lines_added: int = 0
    lines_removed: int = 0

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(change.path for change in self.changes)
