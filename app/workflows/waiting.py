"""Waiting inside a run: for a message that something changed, or for a model provider that is down."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from dbos import DBOS, error

from app.domain.budget import ModelFailed, ModelFailure, RunStopped
from app.domain.status_view import Headline
from app.github.github_errors import GitHubUnavailable
from app.queries import run_details
from app.workflows import db_steps, github_status
from app.workflows.run_context import RunContext
from app.workflows.services import call_db
from app.workflows.steps import now

R = TypeVar("R")

WAKE = "wake"
"""Topic of the messages that wake a run; they carry nothing, because what they announce is read again."""

_TRANSIENT = frozenset({ModelFailure.UNAVAILABLE, ModelFailure.TIMEOUT})


async def wake(run_id: str) -> None:
    """Tell a run's workflow that there is something to look at; one that is not started reads it when it starts."""
    try:
        await DBOS.send_async(run_id, "look", topic=WAKE)
    except error.DBOSNonExistentWorkflowError:
        DBOS.logger.info("run %s is not started yet, so it is not woken", run_id)


async def notify_run(run_id: str) -> None:
    """Wake the run's workflow to what was posted. A run without a repository has none."""
    if (await call_db(run_details.get_run_location, run_id)).repository is not None:
        await wake(run_id)


async def wait_for_wake(seconds: float, gather_seconds: float = 0.0) -> bool:
    """Wait for a message, then take the others that come soon after it: one look answers them all.

    False when none has come.
    """
    if await DBOS.recv_async(WAKE, timeout_seconds=seconds) is None:
        return False
    if gather_seconds:
        await DBOS.sleep_async(gather_seconds)
    while await DBOS.recv_async(WAKE, timeout_seconds=0) is not None:
        pass
    return True


async def with_provider_pauses(context: RunContext, ask: Callable[[], Awaitable[R]]) -> R:
    """Ask a model; while none of its list, or GitHub, can be reached, wait and ask again as often as there are pauses.

    A run that a person paused waits until it is resumed, however often. Raises what the last one raised, and
    `RunStopped` when the run is asked to end meanwhile.
    """
    pauses = iter(context.provider_pauses_minutes)
    while True:
        try:
            return await ask()
        except ModelFailed as failed:
            if failed.failure is ModelFailure.PAUSED:
                await raise_if_stopped(context.run_id)
                continue
            minutes = next(pauses, None) if failed.failure in _TRANSIENT else None
            if minutes is None:
                raise
            await _wait(context, minutes, str(failed))
        except GitHubUnavailable as trouble:
            minutes = next(pauses, None)
            if minutes is None:
                raise
            await _wait(context, minutes, str(trouble))


async def _wait(context: RunContext, minutes: float, why: str) -> None:
    until = await now() + timedelta(minutes=minutes)
    following = f"The next try is at {until:%H:%M} UTC."
    await github_status.set_headline(context.run_id, Headline.PROVIDER_DOWN, following, why, until)
    while (left := (until - await now()).total_seconds()) > 0:
        await wait_for_wake(left)
        await raise_if_stopped(context.run_id)


async def raise_if_stopped(run_id: str) -> None:
    """Go on, once the run is not paused. Raises `RunStopped` when it is asked to end, or was paused for too long."""
    while True:
        asked = await db_steps.read_standing(run_id)
        if asked.stop_reason is not None:
            raise RunStopped(asked.stop_reason)
        if asked.paused_until is None:
            return
        left = (asked.paused_until - await now()).total_seconds()
        if left <= 0:
            await db_steps.cancel_overdue(run_id)
        else:
            await github_status.show_run(run_id)
            await wait_for_wake(left)
