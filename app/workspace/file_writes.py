"""Writing and deleting inside a tree, never through a symlink."""

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from app.domain.patch import ChangeKind, FileChange
from app.workspace.paths import kind_of, open_parent, safe_path
from app.workspace.trees import delete_entry
from app.workspace.workspace_errors import PathError

_SYMLINK = "120000"
_EXECUTABLE = "100755"
_REGULAR = "100644"


def write_file(root: Path, path: str, content: bytes, *, executable: bool | None = None) -> None:
    """Make or replace a regular file, with the directories it needs; `executable` None keeps an existing file's mode.

    Raises PathError where a symlink, directory or special file is in the way.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open_parent(root, path, make=True) as (parent, name):
        try:
            descriptor = os.open(name, flags, 0o600, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise PathError(f"{path} is a symlink, directory or special file; delete it first") from error
            raise PathError(f"{path} cannot be written: {error.strerror}") from error
        with os.fdopen(descriptor, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise PathError(f"{path} is not a regular file; use another path")
            file.truncate()
            file.write(content)
            if executable is None:
                executable = bool(mode & stat.S_IXUSR)
            os.fchmod(file.fileno(), 0o700 if executable else 0o600)


def delete_file(root: Path, path: str) -> None:
    """Delete a file or a symlink itself, and directories left empty. Raises PathError when there is none."""
    try:
        with open_parent(root, path) as (parent, name):
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError as error:
        raise PathError(f"There is no file {path}; list the files to find the right path") from error
    except (IsADirectoryError, PermissionError) as error:
        raise PathError(f"{path} is a directory or protected; delete single files") from error
    for directory in PurePosixPath(path).parents:
        if directory == PurePosixPath(".") or not _remove_if_empty(root, str(directory)):
            break


def _remove_if_empty(root: Path, path: str) -> bool:
    try:
        with open_parent(root, path) as (parent, name):
            os.rmdir(name, dir_fd=parent)
    except OSError:  # not empty, or not ours to remove: an empty directory is no change for git
        return False
    return True


def apply_change(root: Path, change: FileChange) -> None:
    """Bring one path to the recorded state. Raises PathError for a path outside the tree."""
    path = safe_path(change.path)
    if change.kind is ChangeKind.DELETED:
        if kind_of(root, path) in (stat.S_IFREG, stat.S_IFLNK):
            delete_file(root, path)  # else it is gone: deleted before, or a directory took its place
        return
    if change.content is None or change.mode not in (_REGULAR, _EXECUTABLE, _SYMLINK):
        raise PathError(f"{path} has mode {change.mode}, which cannot be put back; only files and symlinks can")
    _clear_path(root, path)
    if change.mode == _SYMLINK:
        with open_parent(root, path, make=True) as (parent, name):
            os.symlink(os.fsdecode(change.content), name, dir_fd=parent)
    else:
        write_file(root, path, change.content, executable=change.mode == _EXECUTABLE)


def _clear_path(root: Path, path: str) -> None:
    """Remove what is at `path`. A directory there holds only ignored files: its others were deleted before."""
    kind = kind_of(root, path)
    if kind is None:
        return
    with open_parent(root, path) as (parent, name):
        if kind == stat.S_IFDIR:
            delete_entry(name, parent)
        else:
            os.unlink(name, dir_fd=parent)
