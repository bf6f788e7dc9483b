"""Webhooks: every event is stored as a delivery, then sent in order by a background worker; nothing is retried."""

import hashlib
import hmac
import json
import logging
import time
import uuid

import httpx
from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import Actor
from app.hub.github_problems import Refusal
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import repository, sender
from app.hub.state import HubState, Json, now
from app.hub.store import Row

routes = Routes()
log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
# The permission (any of them, at least read) an App must hold to be sent the event.
EVENT_PERMISSIONS = {
    "push": ("contents",),
    "repository": ("metadata",),
    "issues": ("issues",),
    "issue_comment": ("issues", "pull_requests"),
    "label": ("metadata",),
    "pull_request": ("pull_requests",),
    "pull_request_review": ("pull_requests",),
    "pull_request_review_comment": ("pull_requests",),
    "pull_request_review_thread": ("pull_requests",),
    "check_run": ("checks",),
    "check_suite": ("checks",),
    "status": ("statuses",),
    "workflow_run": ("actions",),
    "workflow_job": ("actions",),
}


def installation_of(hub: HubState, repo: Row) -> Row | None:
    """The installation that covers a repository, or None."""
    row = hub.store.row("SELECT * FROM installations WHERE account_id = ?", repo["owner_id"])
    return row if row is not None and repo["id"] in row["repository_ids"] else None


def emit(hub: HubState, repo: Row, actor: Actor, event: str, payload: Json) -> None:
    """Store a delivery of a repository's event when the App is installed, subscribed and permitted."""
    found = installation_of(hub, repo)
    if found is None or event not in found["events"] or found["suspended"]:
        return
    if not any(name == "metadata" or name in found["permissions"] for name in EVENT_PERMISSIONS[event]):
        return
    payload |= {"repository": repository(hub, repo), "sender": sender(hub, actor)}
    store(hub, found, event, payload, repo["id"])


def store(hub: HubState, installation: Row, event: str, payload: Json, repo_id: int | None = None) -> None:
    """Put an event into the delivery log as pending."""
    payload["installation"] = {"id": installation["id"], "node_id": f"IN_{installation['id']}"} | payload.get(
        "installation", {}
    )
    disturbed = hub.disturbances.meet(repo_id)
    if disturbed == "lost":
        return
    guid = str(uuid.uuid4())
    for _ in range(2 if disturbed == "doubled" else 1):
        row_id = hub.store.next_id()
        if disturbed == "swapped":
            hub.disturbances.hold(row_id, repo_id or 0)
        hub.store.insert(
            "deliveries",
            id=row_id,
            position=row_id,
            guid=guid,
            event=event,
            action=payload.get("action"),
            installation_id=installation["id"],
            repository_id=repo_id,
            payload=json.dumps(payload),
            redelivery=False,
            state="held" if disturbed == "swapped" else "pending",
        )


def redeliver(hub: HubState, delivery_id: int) -> int:
    """Queue the same payload under the same guid again; the id of the new delivery."""
    with hub.store.transaction():
        row = hub.store.row("SELECT * FROM deliveries WHERE id = ?", delivery_id)
        if row is None:
            raise Refusal(404, "Not Found")
        new_id = hub.store.next_id()
        kept = {name: row[name] for name in ("guid", "event", "action", "installation_id", "repository_id", "payload")}
        hub.store.insert("deliveries", **kept, id=new_id, position=new_id, redelivery=True, state="pending")
    hub.notify()
    return new_id


def _headers(hub: HubState, row: Row) -> dict[str, str]:
    digest = hmac.new(hub.app.webhook_secret.encode(), row["payload"].encode(), hashlib.sha256).hexdigest()
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/0a1b2c3",
        "X-GitHub-Delivery": row["guid"],
        "X-GitHub-Event": row["event"],
        "X-GitHub-Hook-ID": str(hub.store.setting("hook_id")),
        "X-GitHub-Hook-Installation-Target-ID": str(hub.app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def _send(hub: HubState, client: httpx.Client, row: Row, url: str | None, headers: dict[str, str]) -> None:
    started = time.monotonic()
    code, status, body, answered = 0, "failed to connect to host", "", dict[str, str]()
    if url:
        try:
            response = client.post(url, content=row["payload"].encode(), headers=headers)
            code, status, body = response.status_code, response.reason_phrase or "OK", response.text[:10_000]
            answered = dict(response.headers)
        except httpx.TimeoutException:
            status = "timed out"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.info("webhook delivery %s failed: %s", row["guid"], error)
    with hub.store.transaction():
        hub.store.update(
            "deliveries",
            row["id"],
            state="done",
            status_code=code,
            status="OK" if 200 <= code < 300 else status,
            duration=round(time.monotonic() - started, 3),
            delivered_at=now(),
            request_headers=headers,
            response_headers=answered,
            response=body,
        )
    hub.notify()


def work(hub: HubState) -> None:
    """Send pending deliveries one after the other until the hub stops; runs in its own thread."""
    with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
        while not hub.stopping.is_set():
            with hub.store.transaction():
                _send_held(hub, hub.disturbances.let_go())
                url = hub.store.setting("webhook_url")
                row = hub.store.row("SELECT * FROM deliveries WHERE state = 'pending' ORDER BY position LIMIT 1")
                headers = _headers(hub, row) if row else {}
            if row is None or hub.deliveries_paused:
                with hub.wake:
                    hub.wake.wait(timeout=0.05)
                continue
            _send(hub, client, row, url, headers)
            if overtaken := hub.disturbances.let_go(row["repository_id"]):
                with hub.store.transaction():
                    _send_held(hub, overtaken)


def _send_held(hub: HubState, ids: list[int]) -> None:
    for row_id in ids:
        hub.store.update("deliveries", row_id, state="pending", position=hub.store.next_id())


def reverse_pending(hub: HubState) -> None:
    """Turn the order of the deliveries that wait around."""
    with hub.store.transaction():
        hub.store.execute("UPDATE deliveries SET position = -position WHERE state = 'pending'")


def pending(hub: HubState) -> int:
    """How many deliveries wait to be sent or are under way."""
    with hub.store.transaction():
        row = hub.store.row("SELECT count(*) AS n FROM deliveries WHERE state IN ('pending', 'held')")
    return int(row["n"]) if row else 0


def _item(row: Row) -> Json:
    names = ("id", "guid", "redelivery", "duration", "status", "status_code", "event", "action", "delivered_at")
    return {name: row[name] for name in (*names, "installation_id", "repository_id")}


@routes.add("GET", "/app/hook/deliveries", "app")
def list_deliveries(call: Call) -> list[Json]:
    """Newest first; `cursor` continues below the delivery of that id, `status` picks success or failure."""
    size = min(max(int(call.query.get("per_page", "30")), 1), 100)
    cursor = int(call.query.get("cursor", 2**62))
    condition = {
        "success": "AND status_code BETWEEN 200 AND 399",
        "failure": "AND status_code NOT BETWEEN 200 AND 399",
    }.get(call.query.get("status", ""), "")
    sql = f"SELECT * FROM deliveries WHERE state = 'done' AND id < ? {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608
    rows = call.hub.store.rows(sql, cursor, size + 1)
    if len(rows) > size:
        call.link({"next": {"cursor": str(rows[size - 1]["id"])}})
    return [dump(m.HookDeliveryItem, _item(row)) for row in rows[:size]]


@routes.add("GET", "/app/hook/deliveries/{delivery_id}", "app")
def get_delivery(call: Call) -> Json:
    """One delivery with its request and response."""
    row = call.hub.store.row("SELECT * FROM deliveries WHERE id = ? AND state = 'done'", call.number("delivery_id"))
    if row is None:
        raise Refusal(404, "Not Found")
    value = _item(row) | {"url": call.hub.store.setting("webhook_url") or ""}
    value["request"] = {"headers": row["request_headers"], "payload": json.loads(row["payload"])}
    value["response"] = {"headers": row["response_headers"], "payload": row["response"]}
    return dump(m.HookDelivery, value)


@routes.add("POST", "/app/hook/deliveries/{delivery_id}/attempts", "app")
def attempt_delivery(call: Call) -> tuple[int, Json]:
    """Deliver again, under the same guid."""
    redeliver(call.hub, call.number("delivery_id"))
    return 202, {}
