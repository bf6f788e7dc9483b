"""A file lock shared by coroutines and processes, freed by the kernel when its holder dies."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import AsyncFileLock, Timeout

from app.workspace.workspace_errors import LockTimeoutError


@asynccontextmanager
async def file_lock(path: Path, deadline: float) -> AsyncGenerator[None]:
    """Hold an exclusive lock on `path` (made when missing) for the body.

    Waits at most `deadline` seconds, then raises LockTimeoutError. The file stays: only the lock on it counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without an executor: an attempt does not block, and a canceled wait leaves no thread that still locks.
    lock = AsyncFileLock(path, deadline, mode=0o600, fallback_to_soft=False, run_in_executor=False)
    try:
        await lock.acquire()
    except Timeout as error:
        raise LockTimeoutError(f"{path.name} stayed locked for {deadline:g} seconds") from error
    try:
        yield
    finally:
        await lock.release()
