"""The background tasks. A task that dies is started again, and `/health` reports it until it has run for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

Work = Callable[[], Awaitable[None]]

PAUSE_SECONDS = 5.0
"""Between the end of a task and its new beginning."""
HEALTHY_AFTER_SECONDS = 60.0
"""A task that was started again counts as failing until it has lasted this long."""

log = logging.getLogger(__name__)


class Background:
    """Endless tasks by their names."""

    def __init__(self, works: Mapping[str, Work]) -> None:
        self._works = works
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: dict[str, float] = {}

    def start(self) -> None:
        """Begin all; an event loop must be running."""
        self._tasks = [asyncio.create_task(self._keep_alive(name, work)) for name, work in self._works.items()]

    async def stop(self) -> None:
        """Cancel all, and return when they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def failing(self) -> list[str]:
        """The names of tasks that ended a moment ago, though they are endless."""
        since = time.monotonic() - PAUSE_SECONDS - HEALTHY_AFTER_SECONDS
        return sorted(name for name, ended in self._ended.items() if ended > since)

    async def _keep_alive(self, name: str, work: Work) -> None:
        while True:
            try:
                await work()
                log.error("the task %s ended; it begins again in %s seconds", name, PAUSE_SECONDS)
            except Exception:  # no error may end the task for ever
                log.exception("the task %s failed; it begins again in %s seconds", name, PAUSE_SECONDS)
            self._ended[name] = time.monotonic()
            await asyncio.sleep(PAUSE_SECONDS)
