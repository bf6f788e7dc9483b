"""How workflow code touches the world: every effect is a step, recorded once done and safe to repeat before that."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from dbos import DBOS
from sqlalchemy.exc import OperationalError

from app.github.errors import GitHubUnavailable

P = ParamSpec("P")
R = TypeVar("R")

PAUSES = (1, 10, 30, 60, 120, 300, 600, 600)
"""Seconds between tries while GitHub or the database is down, half an hour in all; each pause survives a restart."""


def utcnow() -> datetime:
    """The time, for use inside steps only."""
    return datetime.now(UTC)


def step(function: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """Make a plain function a step that runs beside the event loop: for the database, which must not block it."""

    @functools.wraps(function)
    async def beside(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(function, *args, **kwargs)

    return effect(beside)


def effect(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make an async function a step, and try it again for half an hour while GitHub or the database is down.

    After that the error leaves it. A pause is part of the workflow, so it is not slept twice.
    """
    stepped = DBOS.step(name=f"{function.__module__}.{function.__qualname__}")(function)

    @functools.wraps(function)
    async def persistent(*args: P.args, **kwargs: P.kwargs) -> R:
        for pause in PAUSES:
            try:
                return await stepped(*args, **kwargs)
            except GitHubUnavailable as trouble:
                DBOS.logger.warning("%s; next try in %s seconds", trouble, pause)
                await DBOS.sleep_async(max(pause, trouble.retry_after or 0))
            except OperationalError as trouble:
                DBOS.logger.warning("the database failed: %s; next try in %s seconds", trouble.orig, pause)
                await DBOS.sleep_async(pause)
        return await stepped(*args, **kwargs)

    return persistent


@DBOS.step(name="now")
async def now() -> datetime:
    """The time, recorded: a replay reads the same."""
    return utcnow()
