"""Deleting large directories later: a rename is instant, deleting thousands of files can take seconds."""

import logging
import stat
import threading
import uuid
from pathlib import Path

from app.workspace.trees import delete_tree

log = logging.getLogger(__name__)


def move_to_trash(root: Path, path: Path) -> None:
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
    """Delete everything that was put aside, including what a killed process left. Blocks until done.

    What cannot be deleted is logged and stays for the next time; the rest goes.
    """
    trash = root / "trash"
    for entry in list(trash.iterdir()) if trash.is_dir() else []:
        try:
            delete_tree(entry)
        except OSError as error:
            log.warning("%s cannot be deleted, the next try is at the next round: %s", entry.name, error)


def empty_trash_soon(root: Path) -> threading.Thread:
    """Start deleting in a thread that does not hold up the end of the process; the next start does the rest."""
    thread = threading.Thread(target=empty_trash, args=(root,), name="workspace-trash", daemon=True)
    thread.start()
    return thread
