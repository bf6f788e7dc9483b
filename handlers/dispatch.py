"""From a delivery in the inbox to its handler: a durable workflow whose id is the delivery's, so it acts once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.github.events import BadPayload, Event, parse
from app.github.github_errors import GitHubRefused
from app.workflows.run import enqueue_run
from app.workflows.run_queue import end_if_waiting
from app.workflows.services import call_db
from app.workflows.steps import retry_durably
from app.workflows.waiting import wake
from app.workflows.workflow_names import DELIVERY
from handlers import (
    ci_events,
    comment_events,
    installation_events,
    issue_events,
    pull_events,
    push_events,
    repository_events,
    review_events,
)
from handlers.outcomes import Action, StartRun

PAUSES = (1, 10, 30, 60, *[180] * 1440)
"""Seconds between tries while GitHub or the database is down. Three days in all, because GitHub, which knows
that the delivery arrived, will not send it again; and short, so that it is handled soon after an outage."""


class Handler(NamedTuple):
    """What is done about an event."""

    handle: Callable[[Any], Awaitable[list[Action]]]
    is_relevant: Callable[[Any], bool] = lambda _event: True
    """Decides by the payload alone. What is not relevant costs no workflow."""
    only_wakes: Callable[[Any], bool] = lambda _event: False
    """Whether it asks for nothing but `WakeRun`, which may be done twice: that needs no workflow either."""


HANDLERS: Mapping[str, Handler] = {
    "issues": Handler(issue_events.handle, issue_events.is_relevant),
    "issue_comment": Handler(comment_events.handle, comment_events.is_relevant),
    "pull_request": Handler(pull_events.handle, pull_events.is_relevant),
    "pull_request_review": Handler(review_events.handle, review_events.is_relevant),
    "push": Handler(push_events.handle, push_events.is_relevant),
    "check_run": Handler(ci_events.check_run, ci_events.is_relevant_check, ci_events.only_wakes),
    "check_suite": Handler(ci_events.check_suite, ci_events.is_relevant_suite, ci_events.only_wakes),
    "workflow_run": Handler(ci_events.workflow_run, ci_events.is_relevant_workflow, ci_events.only_wakes),
    "status": Handler(ci_events.status, ci_events.is_relevant_status, ci_events.only_wakes),
    "repository": Handler(repository_events.handle, repository_events.is_relevant),
    "installation": Handler(installation_events.handle, installation_events.is_relevant),
    "installation_repositories": Handler(
        installation_events.handle_repositories, installation_events.is_relevant_to_repositories
    ),
}
"""By event name."""


def needed(delivery: StoredDelivery) -> StoredDelivery | None:
    """The delivery, with what it is about, if anything may follow from it; by its payload alone.

    What cannot be read is kept, and logged.
    """
    try:
        event = _relevant_event(delivery)
    except BadPayload:
        return delivery
    return None if event is None else replace(delivery, subject=event.subject)


async def select_for_workflows(db: Database, delivery_ids: Sequence[str]) -> list[str]:
    """Wake the runs that deliveries only wake, each run once; the ids of the deliveries that need a workflow."""
    selected: list[str] = []
    woken: set[str] = set()
    for delivery_id, relevant in (await asyncio.to_thread(_read_relevant, db, delivery_ids)).items():
        if relevant is not None and relevant.handler.only_wakes(relevant.event):
            with contextlib.suppress(Exception):  # its own workflow meets the same error and logs it; the others go on
                woken |= {action.run_id for action in await relevant.handler.handle(relevant.event)}
                continue
        selected.append(delivery_id)
    for run_id in woken:
        await wake(run_id)
    return selected


class _Relevant(NamedTuple):
    handler: Handler
    event: Event


def _read_relevant(db: Database, delivery_ids: Sequence[str]) -> dict[str, _Relevant | None]:
    """The relevant deliveries by id, with handler and event; None for a delivery that cannot be read."""
    found: dict[str, _Relevant | None] = {}
    for delivery_id in delivery_ids:
        try:
            delivery = deliveries.load(db, delivery_id)
            event = _relevant_event(delivery)
        except Exception:  # noqa: BLE001  its own workflow meets the same error and logs it; the others go on
            found[delivery_id] = None
        else:
            if event is not None:
                found[delivery_id] = _Relevant(HANDLERS[delivery.event], event)
    return found


def _relevant_event(delivery: StoredDelivery) -> Event | None:
    """The event as its handler reads it; None when there is nothing to do. Raises `BadPayload`."""
    event = parse(delivery.event, delivery.payload)
    if event is None or not HANDLERS[delivery.event].is_relevant(event):
        return None
    return event.model_copy(update={"received_at": delivery.received_at})


@DBOS.workflow(name=DELIVERY)
async def handle_delivery(delivery_id: str) -> None:
    """Act on one delivery of the inbox. Ended by a defect, it is tried again by the reconciler."""
    for action in await retry_durably(lambda: _decide(delivery_id), PAUSES, SQLAlchemyError):
        if isinstance(action, StartRun):
            await enqueue_run(action.run_id)
        else:
            await wake(action.run_id)
            await end_if_waiting(action.run_id)


@DBOS.step(name="handlers.dispatch.decide")
async def _decide(delivery_id: str) -> list[Action]:
    delivery = await call_db(deliveries.load, delivery_id)
    try:
        event = _relevant_event(delivery)
        if event is None:
            return []
        await repository_events.take_over_name(event)
        return await HANDLERS[delivery.event].handle(event)
    except (BadPayload, GitHubRefused) as trouble:
        # A payload we cannot read, or a repository we may no longer touch: nothing can be answered there.
        DBOS.logger.warning("delivery %s (%s) came to nothing: %s", delivery_id, delivery.event, trouble)
        return []
