"""Deleting large directories later: a rename is instant, deleting thousands of files can take seconds."""

import os
import shutil
import stat
import threading
import uuid
from contextlib import suppress
from pathlib import Path


def put_aside(root: Path, path: Path) -> None:
    """Move a directory out of the way, into `{root}/trash`; nothing happens when it does not exist.

    `path` must be on the file system of `root`. `empty_trash` deletes it later.
    """
    trash = root / "trash"
    trash.mkdir(parents=True, exist_ok=True)
    try:
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)  # a directory must be writable to get a new parent
        path.rename(trash / uuid.uuid4().hex)
    except FileNotFoundError:
        pass  # someone else put it aside


def empty_trash(root: Path) -> None:
    """Delete everything that was put aside, including what a killed process left. Blocks until done."""
    trash = root / "trash"
    for entry in list(trash.iterdir()) if trash.is_dir() else []:
        _delete(entry)


def empty_trash_soon(root: Path) -> threading.Thread:
    """Start deleting in a thread that does not hold up the end of the process; the next start does the rest."""
    thread = threading.Thread(target=empty_trash, args=(root,), name="workspace-trash", daemon=True)
    thread.start()
    return thread


def _delete(entry: Path) -> None:
    """Delete a tree, unreadable directories too; what cannot be deleted stays for the next time."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):  # another process deletes it as well
        for directory, _, _ in os.walk(entry):  # top down: each is opened up before it is entered
            for child in os.scandir(directory):
                if child.is_dir(follow_symlinks=False):
                    Path(child.path).chmod(stat.S_IRWXU)
    shutil.rmtree(entry, ignore_errors=True)
