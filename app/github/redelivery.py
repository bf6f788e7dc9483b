"""Webhook deliveries that failed: GitHub does not send them again by itself, so they are requested."""

from collections import Counter
from datetime import datetime

from app.github.api_calls import ApiModel, parse_response
from app.github.client import GitHubApp
from app.github.github_errors import GitHubRefused

MAX_PAGES = 20
MAX_REFUSALS = 5
"""A delivery that was answered with a 4xx this often is refused for good; what got no answer may yet get one."""


class DeliveryAttempt(ApiModel):
    """One attempt to deliver an event; all attempts of one event share its `guid`."""

    id: int
    guid: str
    delivered_at: datetime
    status: str
    status_code: int = 0
    event: str
    action: str | None = None

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status_code < 300 or self.status == "OK"

    @property
    def refused(self) -> bool:
        return 400 <= self.status_code < 500


async def list_failed_since(app: GitHubApp, since: datetime) -> list[DeliveryAttempt]:
    """Of every event sent since then that no attempt delivered, the newest attempt; oldest event first.

    Without those that were refused `MAX_REFUSALS` times. Reads failed attempts alone, at most 2,000 of them, newest
    first: all attempts of a busy organization fill that in minutes. An event that a later attempt delivered is in it
    too; the inbox knows those. GitHub keeps attempts for a few days.
    """
    attempts: list[DeliveryAttempt] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        kwargs = {"cursor": cursor} if cursor else {}
        response = await app.call(
            lambda kwargs=kwargs: app.rest.apps.async_list_webhook_deliveries(per_page=100, status="failure", **kwargs)
        )
        batch = parse_response(response, list[DeliveryAttempt])
        attempts.extend(batch)
        following = response.raw_response.links.get("next", {}).get("url")
        if not batch or not following or batch[-1].delivered_at < since:
            break
        cursor = response.raw_response.url.join(following).params.get("cursor")
        if cursor is None:
            break
    newest: dict[str, DeliveryAttempt] = {}
    for attempt in sorted(attempts, key=lambda one: (one.delivered_at, one.id)):
        newest[attempt.guid] = attempt
    refusals = Counter(attempt.guid for attempt in attempts if attempt.refused)
    settled = {attempt.guid for attempt in attempts if attempt.succeeded}
    settled |= {guid for guid, count in refusals.items() if count >= MAX_REFUSALS}
    return [one for one in newest.values() if one.guid not in settled and one.delivered_at >= since]


async def redeliver(app: GitHubApp, delivery_id: int) -> bool:
    """Ask for an attempt to be made again; False when GitHub no longer has it. Deliveries carry the same guid."""
    try:
        await app.call(lambda: app.rest.apps.async_redeliver_webhook_delivery(delivery_id))
    except GitHubRefused as refusal:
        if refusal.status in {404, 422}:
            return False
        raise
    return True
