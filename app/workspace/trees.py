"""Trees of folders that a command made: of any depth, with any modes. All works by descriptors and follows no link."""

import os
import stat
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

BLOCK_BYTES = 512
"""The unit of `st_blocks` on every file system."""
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class TreeSize:
    """Files and folders, bytes on disk, and the folders above the deepest file."""

    files: int
    size: int
    depth: int


def delete_tree(path: Path) -> None:
    """Delete a file, a link itself, or a folder with all that is in it, as `delete_entry` does."""
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        delete_entry(path.name, parent)
    finally:
        os.close(parent)


def delete_entry(name: str, parent: int) -> None:
    """Delete what has this name in the open folder `parent`. Nothing happens when it is gone.

    A folder found inside moves up to the top of the tree before it is emptied, so no path gets longer however deep the
    tree is. All that can be deleted is deleted; then the first error is raised (OSError).
    """
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            os.unlink(name, dir_fd=parent)
            return
        with _opened(name, parent) as top:
            _clear(top)
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        pass  # another process deletes it as well


def _clear(top: int) -> None:
    """Delete all that is in a folder."""
    errors: list[OSError] = []
    while not errors and (waiting := _empty(top, top, errors)):  # again: another process may have moved folders here
        while waiting:
            waiting += _delete_folder(waiting.pop(), top, errors)
    if errors:
        raise errors[0]


def _delete_folder(name: str, top: int, errors: list[OSError]) -> list[str]:
    """Delete a folder in `top`; return the names of the folders that moved from it to `top`."""
    moved: list[str] = []
    try:
        with _opened(name, top) as folder:
            moved = _empty(folder, top, errors)
        os.rmdir(name, dir_fd=top)
    except FileNotFoundError:
        pass  # another process deletes it as well
    except OSError as error:
        errors.append(error)
    return moved


def _empty(folder: int, top: int, errors: list[OSError]) -> list[str]:
    """Delete the files in a folder and move its folders to `top`; return the names that these have there."""
    moved: list[str] = []
    for entry in _entries(folder):
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif folder == top:
                moved.append(entry.name)
            else:
                moved.append(_move(entry.name, folder, top))
        except FileNotFoundError:
            pass  # another process deletes it as well
        except OSError as error:
            errors.append(error)
    return moved


def _move(name: str, folder: int, top: int) -> str:
    with _opened(name, folder):
        pass  # a folder must be writable to get a new parent
    new = uuid.uuid4().hex
    os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
    return new


def _entries(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


@contextmanager
def _opened(name: str, parent: int | None) -> Generator[int]:
    """Open a folder for reading and writing, also without permission bits."""
    with _handle(name, parent) as handle:
        _chmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) | stat.S_IRWXU)
        folder = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=handle)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _handle(name: str, parent: int | None) -> Generator[int]:
    """A descriptor that names the folder and needs no permission on it."""
    handle = os.open(name, os.O_PATH | _FOLDER, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


def restrict(path: Path) -> None:
    """Keep a folder and all in it to its owner: nothing for others, no setuid, setgid or sticky bit.

    Of files the owner's bits stay, so git sees no change. Nothing happens without the folder; what belongs to another
    user stays as it is.
    """
    _in_each_folder(path, _restrict_entries)


def hand_over(path: Path, user: int) -> None:
    """Give a folder and all in it to this user and group; only root may. Nothing happens without the folder."""
    _in_each_folder(path, partial(_give_entries, user=user))


def size_of(path: Path) -> TreeSize:
    """Measure a folder with all in it. Files that others link to count each time. Raises OSError."""
    files = size = 0

    def add(folder: int) -> list[str]:
        nonlocal files, size
        folders: list[str] = []
        for entry in _entries(folder):
            files += 1
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                with suppress(FileNotFoundError):
                    size += entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
        return folders

    depth = _in_each_folder(path, add)
    return TreeSize(files, size, depth)


def _in_each_folder(path: Path, act: Callable[[int], list[str]]) -> int:
    """Call `act` with a descriptor of each folder of a tree; it returns the names of the folders in it.

    Return how many folders the deepest is below the top.
    """
    deepest = 0
    try:
        here = _enter(str(path.resolve()), None)
    except FileNotFoundError:
        return deepest
    above: list[tuple[int, int]] = []  # device and inode of each folder above: a descriptor each would be too many
    waiting = [act(here)]
    try:
        while True:
            if waiting[-1]:
                inside = _try_to_enter(waiting[-1].pop(), here)
                if inside is None:
                    continue
                above.append(_identity(here))
                deepest = max(deepest, len(above))
                here = _close_for(here, inside)
                waiting.append(act(here))
            else:
                waiting.pop()
                if not above:
                    return deepest
                here = _close_for(here, os.open("..", os.O_RDONLY | _FOLDER, dir_fd=here))
                if _identity(here) != above.pop():
                    raise OSError(f"{path.name}: a folder moved meanwhile")
    finally:
        os.close(here)


def _restrict_entries(folder: int) -> list[str]:
    """Restrict a folder and the files in it; return the names of its folders."""
    _chmod(folder, stat.S_IMODE(os.fstat(folder).st_mode) & stat.S_IRWXU)
    folders: list[str] = []
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        elif not entry.is_symlink():
            with suppress(FileNotFoundError):
                _restrict_file(entry, folder)
    return folders


def _give_entries(folder: int, *, user: int) -> list[str]:
    """Give a folder and what is in it to a user; return the names of its folders. A link itself is given."""
    if os.fstat(folder).st_uid != user:
        os.fchown(folder, user, user)
    folders: list[str] = []
    for entry in _entries(folder):
        with suppress(FileNotFoundError):
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.stat(follow_symlinks=False).st_uid != user:
                os.chown(entry.name, user, user, dir_fd=folder, follow_symlinks=False)
    return folders


def _restrict_file(entry: os.DirEntry[str], folder: int) -> None:
    mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
    if mode & ~stat.S_IRWXU:
        file = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if not stat.S_ISLNK(os.fstat(file).st_mode):
                _chmod(file, mode & stat.S_IRWXU)
        finally:
            os.close(file)


def _enter(name: str, parent: int | None) -> int:
    with _opened(name, parent) as folder:
        return os.dup(folder)


def _try_to_enter(name: str, parent: int) -> int | None:
    try:
        return _enter(name, parent)
    except (FileNotFoundError, PermissionError):
        return None


def _identity(folder: int) -> tuple[int, int]:
    status = os.fstat(folder)
    return status.st_dev, status.st_ino


def _close_for(old: int, new: int) -> int:
    os.close(old)
    return new


def _chmod(handle: int, mode: int) -> None:
    """Change the mode of what a descriptor names, also of one that is open for nothing else."""
    if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
        with suppress(PermissionError):  # another user's
            os.chmod(f"/proc/self/fd/{handle}", mode)  # noqa: PTH101 - fchmod refuses such a descriptor
