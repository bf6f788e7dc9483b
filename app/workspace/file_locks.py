"""A file lock shared by coroutines and processes, freed by the kernel when its holder dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from app.workspace.workspace_errors import LockTimeoutError

_POLL_SECONDS = 0.05


@asynccontextmanager
async def file_lock(path: Path, deadline: float) -> AsyncGenerator[None]:
    """Hold an exclusive lock on `path` (made when missing) for the body.

    Waits at most `deadline` seconds, then raises LockTimeoutError. The file is never deleted: removing a lock file
    lets two holders lock different inodes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            async with asyncio.timeout(deadline):
                while not _try_lock(descriptor):  # noqa: ASYNC110 - the holder may be another process
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise LockTimeoutError(f"{path.name} stayed locked for {deadline:g} seconds") from error
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
