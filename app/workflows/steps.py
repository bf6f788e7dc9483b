"""How workflow code touches the world: every effect is a step, recorded once done and safe to repeat before that."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, TypeVarTuple, overload

from dbos import DBOS
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app.db.engine import Database
from app.github.github_errors import GitHubUnavailable
from app.workflows.services import services

P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_names: dict[str, str] = {}
"""Names of steps, with their functions. The engine records names, so they hold no module: code moves."""

PAUSES = (1, 10, 30, 60, 120, 300, 600, 600)
"""Seconds between tries while GitHub or the database is down, half an hour in all; each pause survives a restart."""


def utcnow() -> datetime:
    """The time, for use inside steps only."""
    return datetime.now(UTC)


@overload
def db_step(function: Callable[[Database, *Ts, datetime], R]) -> Callable[[*Ts], Awaitable[R]]: ...
@overload
def db_step(function: Callable[Concatenate[Database, P], R]) -> Callable[P, Awaitable[R]]: ...
def db_step(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make a service or query a step, which supplies the database and, as the last argument `now`, the time."""
    timed = "now" in inspect.signature(function).parameters

    @functools.wraps(function)
    def with_services(*args: Any, **kwargs: Any) -> Any:
        return function(services().db, *args, *((utcnow(),) if timed else ()), **kwargs)

    return blocking_step(with_services)


def blocking_step(function: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """Make a plain function a step that runs off the event loop: for the database, which must not block it."""

    @functools.wraps(function)
    async def beside(*args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(function, *args, **kwargs)

    return effect(beside)


def effect(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make an async function a step, and try it again for half an hour while GitHub or the database is down.

    After that the error leaves it.
    """
    stepped = DBOS.step(name=_step_name(function))(function)

    @functools.wraps(function)
    async def persistent(*args: P.args, **kwargs: P.kwargs) -> R:
        return await retry_durably(lambda: stepped(*args, **kwargs), PAUSES, OperationalError)

    return persistent


def _step_name(function: Callable[..., object]) -> str:
    """The function's name without module. Raises `ValueError` when another step has it."""
    name, source = function.__name__.strip("_"), f"{function.__module__}.{function.__qualname__}"
    if _names.setdefault(name, source) != source:
        raise ValueError(f"the steps {source} and {_names[name]} have the same name; rename one")
    return name


async def retry_durably(
    ask: Callable[[], Awaitable[R]], pauses: Iterable[float], database_failure: type[SQLAlchemyError]
) -> R:
    """Ask, and ask again after each pause (seconds) while GitHub is down or the database fails in this way.

    After the last one the error leaves. A pause is part of the workflow, so it is not slept twice.
    """
    for pause in pauses:
        try:
            return await ask()
        except GitHubUnavailable as trouble:
            why, at_least = str(trouble), trouble.retry_after or 0
        except database_failure as trouble:
            # The text of other errors may hold the values of the statement.
            detail = trouble.orig if isinstance(trouble, OperationalError) else type(trouble).__name__
            why, at_least = f"database: {detail}", 0
        DBOS.logger.warning("%s: %s; next try in %s seconds", DBOS.workflow_id, why, pause)
        await DBOS.sleep_async(max(pause, at_least))
    return await ask()


@DBOS.step(name="now")
async def now() -> datetime:
    """The time, recorded: a replay reads the same."""
    return utcnow()
