"""What a run tells on GitHub: each text is a step that ends no run and makes none wait.

What GitHub does not take for now is stored as owed, and the reconciler tells it. What it refuses for good is left out,
and the run's notices say so wherever GitHub still shows something of the run.
"""

import functools
import inspect
import logging
import types
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec

from pydantic import TypeAdapter

from app.db import owed_texts, run_rows
from app.db.owed_texts import Owed
from app.github.github_errors import GitHubRefused, GitHubUnavailable
from app.github.telling import Untold
from app.workflows.services import call_db
from app.workflows.steps import effect, utcnow
from app.workspace.workspace_errors import WorkspaceError

P = ParamSpec("P")
Tell = Callable[Concatenate[str, P], Awaitable[Iterable[object]]]
"""Takes a run's id, and returns what the calls that it made came to."""

BATCH = 100
GIVEN_UP_AFTER = timedelta(days=3)

log = logging.getLogger(__name__)
_tellings: dict[str, "Telling[...]"] = {}


class Telling(Generic[P]):
    """A text of a run. Called, it is a step of a workflow; `at_once` is for what is a step, or a handler, already."""

    def __init__(self, function: Tell[P]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._name = function.__name__.strip("_")
        _, *parameters = inspect.signature(function, eval_str=True).parameters.values()
        kinds: Any = types.GenericAlias(tuple, tuple(parameter.annotation for parameter in parameters))
        self._arguments: TypeAdapter[tuple[Any, ...]] = TypeAdapter(kinds)
        self._step = effect(self._as_step())
        _tellings[self._name] = self

    async def __call__(self, run_id: str, *args: P.args, **kwargs: P.kwargs) -> None:
        await self._step(run_id, *args, **kwargs)

    def _as_step(self) -> Callable[Concatenate[str, P], Awaitable[None]]:
        @functools.wraps(self._function)
        async def step(run_id: str, *args: P.args, **kwargs: P.kwargs) -> None:
            await self.at_once(run_id, *args, **kwargs)

        return step

    async def at_once(self, run_id: str, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell it, or owe it."""
        if owed_because := await self._tell(run_id, *args, **kwargs):
            arguments = self._arguments.dump_python(args, mode="json")
            await call_db(owed_texts.add, run_id, self._name, arguments, owed_because, utcnow())

    async def tell_again(self, owed: Owed) -> bool:
        """Tell what is owed; False when it stays owed."""
        return not await self._tell(owed.run_id, *self._arguments.validate_python(owed.arguments))

    async def _tell(self, run_id: str, *args: Any, **kwargs: Any) -> str:
        """Tell it; why it is owed, empty where it is told or refused for good."""
        try:
            came_to = await self._function(run_id, *args, **kwargs)
        except (GitHubUnavailable, WorkspaceError) as trouble:  # what it has to read first
            log.warning("%s: %s is owed: %s", run_id, self._name, trouble)
            return str(trouble)
        except GitHubRefused as refusal:
            came_to = [Untold(self._name.replace("_", " "), refusal)]
            log.warning("%s: %s", run_id, came_to[0])
        untold = [one for one in came_to if isinstance(one, Untold)]
        await note_refusals(run_id, untold)
        return "; ".join(str(one.cause) for one in untold if one.for_now)


async def note_refusals(run_id: str, came_to: Iterable[object]) -> bool:
    """Add to the run's notices what GitHub refuses to show for good; whether there is something new."""
    added = False
    for one in came_to:
        if isinstance(one, Untold) and isinstance(one.cause, GitHubRefused):
            notice = f"GitHub refuses {one.what} ({one.cause.status}): {one.cause.words}"
            added |= await call_db(run_rows.add_notice, run_id, notice)
    return added


async def tell_owed() -> int:
    """Tell what is owed, oldest first; how many texts were told. What is owed for days is given up."""
    told = 0
    for owed in await call_db(owed_texts.list_owed, BATCH):
        telling = _tellings.get(owed.name)
        if telling is None or owed.since + GIVEN_UP_AFTER < utcnow():
            log.error("%s: %s of %s is given up", owed.run_id, owed.name, owed.since)
        elif await telling.tell_again(owed):
            told += 1
        else:
            continue
        await call_db(owed_texts.delete, owed.id)
    return told
