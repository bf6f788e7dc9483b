"""One writer at a time for one thing on GitHub: looking and then creating is not atomic, and events come together.

Within this process only; one process at a time serves a database.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator

from app.github.client import Repo
from app.github.github_errors import GitHubUnavailable

DEADLINE_SECONDS = 150.0
"""Longer than one request is tried."""
_POLL_SECONDS = 0.02

# A set, and not asyncio's locks: the workflow engine and the web server have an event loop each.
_busy: set[tuple[str, ...]] = set()
_guard = threading.Lock()


@contextlib.asynccontextmanager
async def write_lock(repo: Repo, *key: str) -> AsyncGenerator[None]:
    """Wait until nobody else holds the turn of this name in the repository, and hold it.

    Raises `GitHubUnavailable` when that takes too long.
    """
    whole = (repo.full_name.casefold(), *key)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not _is_held(whole):
        if time.monotonic() > deadline:
            raise GitHubUnavailable(f"another write of {' '.join(key)} takes too long")
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        with _guard:
            _busy.discard(whole)


def _is_held(key: tuple[str, ...]) -> bool:
    with _guard:
        if key in _busy:
            return False
        _busy.add(key)
        return True
