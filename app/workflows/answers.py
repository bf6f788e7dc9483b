"""Answers to what clients posted: the stored one is the truth, and a request that waits for it is woken."""

import asyncio
from collections import defaultdict
from typing import Any

from app.runs import submissions
from app.workflows.services import call_db

_waiting: defaultdict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(set)
"""By run: the requests of this process that wait. One process serves a database, so there are no others."""


def announce_answers(run_id: str) -> None:
    """Wake the requests that wait for answers of this run; callable from every thread."""
    for loop, event in tuple(_waiting.get(run_id, ())):
        loop.call_soon_threadsafe(event.set)


async def wait_for_answer(run_id: str, submission_id: int, seconds: float) -> dict[str, Any] | None:
    """The answer to a posted result, as soon as it is stored; None after so many seconds without one."""
    event = asyncio.Event()
    entry = (asyncio.get_running_loop(), event)
    _waiting[run_id].add(entry)
    try:
        async with asyncio.timeout(seconds):
            while (answer := await call_db(submissions.get_answer, submission_id)) is None:
                await event.wait()
                event.clear()
            return answer
    except TimeoutError:
        return None
    finally:
        _waiting[run_id].discard(entry)
        if not _waiting[run_id]:
            del _waiting[run_id]
