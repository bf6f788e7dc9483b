"""One writer at a time for one thing on GitHub: looking and then creating is not atomic, and events come together.

Where several processes serve a database, they share the locks through it.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager

from app.github.client import Repo
from app.github.github_errors import GitHubUnavailable

DEADLINE_SECONDS = 150.0
"""Longer than one request is tried."""

# Futures of threads, and not asyncio's locks: the workflow engine and the web server have an event loop each.
_queues: dict[tuple[str, ...], deque[Future[None]]] = {}
"""By key, the holder of the lock and behind it those that wait, in order. The future of the holder is done."""
_guard = threading.Lock()
SharedLock = Callable[[str, float], AbstractContextManager[None]]
_shared: SharedLock | None = None


def share(lock: SharedLock | None) -> None:
    """Have locks of these names among processes, too. It takes a name and seconds, and raises `SQLAlchemyError`."""
    global _shared  # noqa: PLW0603
    _shared = lock


@contextlib.asynccontextmanager
async def write_lock(repo: Repo, *key: str) -> AsyncGenerator[None]:
    """Hold the lock of this name in the repository for the body; locks are given in the order of the calls.

    Raises `GitHubUnavailable` when that takes too long.
    """
    whole = (repo.full_name.casefold(), *key)
    turn = _enter(whole)
    try:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await asyncio.shield(asyncio.wrap_future(turn))  # a canceled wait leaves the future to `_leave`
        except TimeoutError as error:
            raise GitHubUnavailable(f"another write of {' '.join(key)} takes too long") from error
        async with _among_processes(" ".join(whole)):
            yield
    finally:
        _leave(whole, turn)


@contextlib.asynccontextmanager
async def _among_processes(name: str) -> AsyncGenerator[None]:
    if _shared is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, _shared(name, DEADLINE_SECONDS))
        try:
            yield
        finally:
            await asyncio.to_thread(stack.close)


def _enter(key: tuple[str, ...]) -> Future[None]:
    turn = Future[None]()
    with _guard:
        queue = _queues.setdefault(key, deque())
        queue.append(turn)
        if queue[0] is turn:
            turn.set_result(None)
    return turn


def _leave(key: tuple[str, ...], turn: Future[None]) -> None:
    with _guard:
        queue = _queues[key]
        queue.remove(turn)
        if not queue:
            del _queues[key]
        elif not queue[0].done():
            queue[0].set_result(None)
