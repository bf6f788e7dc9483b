"""How much a work tree may hold that is not in its base commit, so that no command fills the disk or the history."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.workspace.trees import TreeSize, size_of
from app.workspace.workspace_errors import RecordError

_ADVICE = "put what is generated where .gitignore names it, or into /tmp"


@dataclass(frozen=True, slots=True)
class Quota:
    """Files, their size together, and folders above each of them."""

    files: int
    size: int
    """Bytes of all files together."""
    depth: int

    def check(self, what: str, files: int, size: int, depth: int = 0) -> None:
        """Raise RecordError where one of them is too many; `what` says what happened to them."""
        if files > self.files:
            raise RecordError(f"{files:,} files {what}, and {self.files:,} can be recorded; {_ADVICE}")
        if size > self.size:
            raise RecordError(f"{size:,} bytes {what}, and {self.size:,} can be recorded; {_ADVICE}")
        if depth > self.depth:
            raise RecordError(f"a file is {depth} folders deep, and {self.depth} can be recorded; {_ADVICE}")

    def check_growth(self, root: Path, base: TreeSize) -> None:
        """Raise RecordError where a whole tree, ignored files included, has grown too much since it was this large."""
        found = size_of(root)
        for more, allowed, unit in (
            (found.files - base.files, self.files, "files and folders"),
            (found.size - base.size, self.size, "bytes"),
            (found.depth if found.depth > base.depth else 0, self.depth, "folders inside each other"),
        ):
            if more > allowed:
                raise RecordError(f"there are {more:,} {unit} more, ignored ones too, and {allowed:,} may be; use /tmp")

    def check_new(self, root: Path, untracked: Iterable[bytes], modified: Iterable[bytes]) -> None:
        """Raise RecordError where the tree's new files are too many, or one file is too large to be read at all."""
        new = [*untracked]
        self.check("are new", len(new), 0, max((path.count(b"/") for path in new), default=0))
        self.check("are new", 0, sum(_size(root, path) for path in new))
        self.check("are in one file", 0, max((_size(root, path) for path in modified), default=0))


def _size(root: Path, path: bytes) -> int:
    try:
        found = os.lstat(os.fsencode(root) + b"/" + path)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
