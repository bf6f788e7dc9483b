"""From a delivery in the inbox to its handler: a durable workflow whose id is the delivery's, so it acts once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from app import audit_trail
from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.github.events import BadPayload, Event, RepositoryEvent, parse
from app.github.github_errors import GitHubRefused
from app.queries.run_heads import Head, find_runs_by_heads
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
    wakes: Callable[[Any], Head | None] = lambda _event: None
    """The commit whose run it wakes, where it asks for nothing else. That may be done twice: it needs no workflow."""


HANDLERS: Mapping[str, Handler] = {
    "issues": Handler(issue_events.handle, issue_events.is_relevant),
    "issue_comment": Handler(comment_events.handle, comment_events.is_relevant),
    "pull_request": Handler(pull_events.handle, pull_events.is_relevant),
    "pull_request_review": Handler(review_events.handle, review_events.is_relevant),
    "push": Handler(push_events.handle, push_events.is_relevant),
    "check_run": Handler(ci_events.handle, ci_events.is_relevant_check, ci_events.wakes),
    "check_suite": Handler(ci_events.handle, ci_events.is_relevant_suite, ci_events.wakes),
    "workflow_run": Handler(ci_events.handle, ci_events.is_relevant_workflow, ci_events.wakes),
    "status": Handler(ci_events.handle, ci_events.is_relevant_status, ci_events.wakes),
    "repository": Handler(repository_events.handle, repository_events.is_relevant),
    "installation": Handler(installation_events.handle, installation_events.is_relevant),
    "installation_repositories": Handler(
        installation_events.handle_repositories, installation_events.is_relevant_to_repositories
    ),
}
"""By event name."""


class Needed(NamedTuple):
    """A delivery from which something may follow, and the commit whose run it wakes, where that is all."""

    delivery: StoredDelivery
    head: Head | None = None


def needed(delivery: StoredDelivery) -> Needed | None:
    """The delivery, with what it is about, if anything may follow from it; by its payload alone.

    What cannot be read is kept whole. Of one that only wakes a run, what is read of it is kept.
    """
    try:
        event, head = _read(delivery)
    except Exception:  # noqa: BLE001  its own workflow meets the same error and logs it
        return Needed(delivery)
    if event is None:
        return None
    if head is None:
        return Needed(replace(delivery, subject=event.subject))
    return Needed(replace(delivery, payload=event.model_dump_json(exclude_unset=True, by_alias=True)), head)


async def select_for_workflows(db: Database, delivery_ids: Sequence[str], known: Mapping[str, Head]) -> list[str]:
    """Wake the runs that deliveries only wake, each run once; the ids of the deliveries that need a workflow.

    The commits of `known` deliveries need no reading.
    """
    unread = [one for one in delivery_ids if one not in known]
    selected, heads = await asyncio.to_thread(select, db, unread) if unread else ([], set[Head]())
    heads |= set(known.values())
    for run_id in await asyncio.to_thread(find_runs_by_heads, db, heads) if heads else ():
        await wake(run_id)
    return selected


def select(db: Database, delivery_ids: Sequence[str]) -> tuple[list[str], set[Head]]:
    """The deliveries that need a workflow, those that cannot be read among them, and the commits of the others."""
    selected: list[str] = []
    heads: set[Head] = set()
    for delivery in deliveries.load_many(db, delivery_ids):
        try:
            event, head = _read(delivery)
        except Exception:  # noqa: BLE001  its own workflow meets the same error and logs it; the others go on
            selected.append(delivery.id)
            continue
        if head is not None:
            heads.add(head)
        elif event is not None:
            selected.append(delivery.id)
    return selected, heads


def _read(delivery: StoredDelivery) -> tuple[Event | None, Head | None]:
    """The event, and the commit whose run it wakes where that is all. Raises what reading it raises."""
    event = _relevant_event(delivery)
    return event, HANDLERS[delivery.event].wakes(event) if event is not None else None


def _relevant_event(delivery: StoredDelivery) -> Event | None:
    """The event as its handler reads it; None when there is nothing to do. Raises `BadPayload`."""
    event = parse(delivery.event, delivery.payload)
    if event is None or not HANDLERS[delivery.event].is_relevant(event):
        return None
    if delivery.received_at is None:
        return event
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


def _note_act(delivery: StoredDelivery, event: Event, actions: Sequence[Action]) -> None:
    """A line of the audit log for what a person did on GitHub, and for what came of it."""
    sender = getattr(event, "sender", None)
    if sender is None or sender.bot:
        return
    came_of_it = ", ".join(f"{type(one).__name__} {one.run_id}" for one in actions)
    where = (
        f"{event.repository.full_name} delivery {delivery.id}" if isinstance(event, RepositoryEvent) else delivery.id
    )
    audit_trail.record(sender.login, f"{delivery.event} {event.action}", where, came_of_it)


@DBOS.step(name="handlers.dispatch.decide")
async def _decide(delivery_id: str) -> list[Action]:
    delivery = await call_db(deliveries.load, delivery_id)
    try:
        event = _relevant_event(delivery)
        if event is None:
            return []
        await repository_events.take_over_name(event)
        actions = await HANDLERS[delivery.event].handle(event)
        _note_act(delivery, event, actions)
        return actions
    except (BadPayload, GitHubRefused) as trouble:
        # A payload we cannot read, or a repository we may no longer touch: nothing can be answered there.
        DBOS.logger.warning("delivery %s (%s) came to nothing: %s", delivery_id, delivery.event, trouble)
        return []
