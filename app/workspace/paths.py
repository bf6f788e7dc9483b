"""Which paths a model or a patch may name, and how files are opened so that no symlink leads out of the tree."""

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from app.workspace.workspace_errors import PathError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DOT_GIT = re.compile(r"\.git(?:$|:)|git~[0-9]+(?:$|:)")  # also NTFS streams and short names, as git itself refuses
_OUTSIDE = re.compile(r"~|[A-Za-z]:[\\/]")  # a home folder, a drive
_MAX_PATH_BYTES = 4000
_MAX_NAME_BYTES = 255
_NO_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def safe_path(path: str) -> str:
    """Return a path in its one spelling, relative to the repository's root with `/` between names.

    Raises PathError for an absolute path, `..`, control characters, anything that some file system takes for `.git`,
    and names that no file system can hold. Looks at the text only; `open_parent` guards against symlinks.
    """
    shown = ascii(path[:200])
    if _CONTROL.search(path):
        raise PathError(f"{shown} contains control characters; give a plain path such as src/module.py")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or _OUTSIDE.match("/".join(parts) + "/"):
        raise PathError(f"{shown} is not inside the repository; give a path relative to its root such as src/module.py")
    if not parts:
        raise PathError("The path is empty; give a path relative to the repository's root such as src/module.py")
    for part in parts:
        _check_name(part, shown)
    if len("/".join(parts).encode()) > _MAX_PATH_BYTES:
        raise PathError(f"{shown} is longer than {_MAX_PATH_BYTES} bytes; use a shorter path")
    return "/".join(parts)


def _check_name(name: str, shown: str) -> None:
    if name == "..":
        raise PathError(f"{shown} contains '..'; give the path from the repository's root instead")
    if "\\" in name:
        raise PathError(f"{shown} contains a backslash; separate names with /")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise PathError(f"{shown} is not valid Unicode; use another name") from error
    if size > _MAX_NAME_BYTES:
        raise PathError(f"{shown} has a name longer than {_MAX_NAME_BYTES} bytes; use a shorter one")
    if _DOT_GIT.match(_folded_name(name)):
        raise PathError(f"{shown} would reach git's own data; choose a path outside .git")


def _folded_name(name: str) -> str:
    """Fold what Windows and macOS ignore: case, trailing dots and spaces, invisible characters."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    head, colon, rest = visible.partition(":")
    return (head.rstrip(". ") + colon + rest).casefold()


@contextmanager
def open_parent(root: Path, path: str, *, make: bool = False) -> Generator[tuple[int, str]]:
    """Open the directory that holds `path` without following any symlink; yield its descriptor and the last name.

    With `make`, directories that are missing are made. Raises PathError when a parent is a symlink or a file, and
    FileNotFoundError when one is missing. A descriptor stays inside the tree even if the tree changes meanwhile.
    """
    *parents, name = PurePosixPath(path).parts
    descriptor = os.open(root, _DIRECTORY)
    try:
        for index, parent in enumerate(parents):
            try:
                if make:
                    _make_directory(descriptor, parent)
                inner = os.open(parent, _DIRECTORY, dir_fd=descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                taken = "/".join(parents[: index + 1])
                reason = "is a symlink or a file, not a directory" if error.errno in _NO_DIRECTORY else error.strerror
                raise PathError(f"{taken}: {reason}; use another path") from error
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)


def _make_directory(parent: int, name: str) -> None:
    with suppress(FileExistsError):  # what it is, the opening decides
        os.mkdir(name, 0o755, dir_fd=parent)


def kind_of(root: Path, path: str) -> int | None:
    """Return `stat.S_IFMT` of what is at `path` itself; None when nothing is, or only through a symlink."""
    try:
        with open_parent(root, path) as (parent, name):
            return stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except (OSError, PathError):
        return None


def follow_link(root: Path, path: str) -> str:
    """The path of the file that a link inside the tree leads to; any other path as it is.

    Raises PathError for a link that leads out of the tree, to nothing or to a folder: it names where it leads.
    """
    if kind_of(root, path) != stat.S_IFLNK:
        return path
    base = Path(os.path.realpath(root))
    target = Path(os.path.realpath(base / path))
    if not target.is_relative_to(base):
        raise PathError(f"{path} is a link that leaves the repository; change another file")
    name = safe_path(str(target.relative_to(base)))
    if kind_of(root, name) != stat.S_IFREG:
        raise PathError(f"{path} is a link to {name}, which is no file; name the file to change")
    return name


def read_bytes(root: Path, path: str, limit: int) -> bytes:
    """Read a regular file of the tree, following symlinks only while they stay in it.

    Raises PathError when there is no such file, it leaves the tree, is not a regular file, or exceeds `limit` bytes.
    """
    base = Path(os.path.realpath(root))
    target = Path(os.path.realpath(base / path))
    if not target.is_relative_to(base):
        raise PathError(f"{path} is a symlink that leaves the repository; read another file")
    try:
        with open_parent(base, safe_path(str(target.relative_to(base)))) as (parent, name):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PathError(f"There is no file {path}; list the files to find the right path") from error
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise PathError(f"{path} is not a regular file; list the files to find the right path")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise PathError(f"{path} has {status.st_size} bytes, more than {limit} can be read; search in it instead")
        return file.read(limit)
