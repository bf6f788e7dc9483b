"""From a delivery in the inbox to its handler: a durable workflow whose id is the delivery's, so it acts once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from dbos import DBOS, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.github.events import BadPayload, Event, parse
from app.github.github_errors import GitHubRefused
from app.workflows.reconcile import DELIVERY
from app.workflows.run import RUNS_QUEUE, run
from app.workflows.services import call_db
from app.workflows.steps import retry_durably
from app.workflows.waiting import wake
from handlers import ci_events, comment_events, installation_events, issue_events, pull_events, push_events
from handlers.outcomes import Action, StartRun

PAUSES = (1, 10, 30, 60, *[180] * 1440)
"""Seconds between tries while GitHub or the database is down. Three days in all, because GitHub, which knows
that the delivery arrived, will not send it again; and short, so that it is handled soon after an outage."""


class Handler(NamedTuple):
    """What is done about an event."""

    handle: Callable[[Any], Awaitable[list[Action]]]
    is_relevant: Callable[[Any], bool] = lambda _event: True
    """Decides by the payload alone. What is not relevant costs no workflow."""


HANDLERS: Mapping[str, Handler] = {
    "issues": Handler(issue_events.handle, issue_events.is_relevant),
    "issue_comment": Handler(comment_events.handle, comment_events.is_relevant),
    "pull_request": Handler(pull_events.handle, pull_events.is_relevant),
    "push": Handler(push_events.handle, push_events.is_relevant),
    "check_run": Handler(ci_events.check_run, ci_events.is_relevant),
    "check_suite": Handler(ci_events.check_suite),
    "workflow_run": Handler(ci_events.workflow_run),
    "status": Handler(ci_events.status),
    "installation": Handler(installation_events.created, installation_events.is_relevant),
    "installation_repositories": Handler(installation_events.repositories_added, installation_events.is_relevant),
}
"""By event name."""


def is_relevant(db: Database, delivery_id: str) -> bool:
    """Whether the delivery needs a workflow."""
    delivery = deliveries.load(db, delivery_id)
    try:
        return _relevant_event(delivery) is not None
    except Exception:  # noqa: BLE001  its own workflow meets the same error and logs it; the other deliveries go on
        return True


def _relevant_event(delivery: StoredDelivery) -> Event | None:
    """The event as its handler reads it; None when there is nothing to do. Raises `BadPayload`."""
    event = parse(delivery.event, delivery.payload)
    return event if event is not None and HANDLERS[delivery.event].is_relevant(event) else None


@DBOS.workflow(name=DELIVERY)
async def handle_delivery(delivery_id: str) -> None:
    """Act on one delivery of the inbox. Ended by a defect, it is tried again by the reconciler."""
    for action in await retry_durably(lambda: _decide(delivery_id), PAUSES, SQLAlchemyError):
        if isinstance(action, StartRun):
            with SetWorkflowID(action.run_id):
                await DBOS.enqueue_workflow_async(RUNS_QUEUE, run, action.run_id)
        else:
            await wake(action.run_id)


@DBOS.step(name="handlers.dispatch.decide")
async def _decide(delivery_id: str) -> list[Action]:
    delivery = await call_db(deliveries.load, delivery_id)
    try:
        event = _relevant_event(delivery)
        return [] if event is None else await HANDLERS[delivery.event].handle(event)
    except (BadPayload, GitHubRefused) as trouble:
        # A payload we cannot read, or a repository we may no longer touch: nothing can be answered there.
        DBOS.logger.warning("delivery %s (%s) came to nothing: %s", delivery_id, delivery.event, trouble)
        return []
