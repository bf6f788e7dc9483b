"""A delivery is acknowledged when it is signed and stored, and in no other case."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from app.db import deliveries
from app.db.deliveries import StoredDelivery
from app.db.engine import Database
from app.settings import Settings
from app.web import webhooks
from app.web.webhooks import MAX_BYTES as LIMIT_BYTES
from app.web.webhooks import fits
from tests.web.conftest import SECRET, serving, sign

BODY = json.dumps({"action": "labeled", "é": "ü"}, ensure_ascii=False).encode()


async def post(
    client: httpx.AsyncClient,
    body: bytes = BODY,
    *,
    delivery: str | None = "d-1",
    event: str | None = "issues",
    signature: str | None = None,
    content_type: str | None = None,
) -> httpx.Response:
    headers = {
        "Content-Type": content_type,
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": event,
        "X-Hub-Signature-256": sign(body) if signature is None else signature,
    }
    return await client.post(
        "/webhooks/github", content=body, headers={name: value for name, value in headers.items() if value}
    )


def signed(body: bytes, secret: bytes, signature: str) -> bool:
    return fits(hmac.new(secret, body, hashlib.sha256), signature)


def test_the_signature_is_githubs() -> None:
    """The example of GitHub's documentation."""
    known = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signed(b"Hello, World!", SECRET.encode(), known)
    assert not signed(b"Hello, World?", SECRET.encode(), known)
    assert not signed(b"Hello, World!", b"another secret", known)


@pytest.mark.parametrize(
    "signature", ["", "sha256=", "757107", "sha1=757107", "sha256=é", "sha256=" + "0" * 64, "\udcff"]
)
def test_what_is_not_the_signature_is_refused(signature: str) -> None:
    assert not signed(BODY, SECRET.encode(), signature)


async def test_a_signed_delivery_is_stored_as_it_came(client: httpx.AsyncClient, db: Database) -> None:
    answer = await post(client)
    assert (answer.status_code, answer.json()) == (202, {"detail": "stored"})
    stored = deliveries.load(db, "d-1")
    assert (stored.event, stored.payload.encode()) == ("issues", BODY)


async def test_a_repeat_is_acknowledged_and_stored_once(client: httpx.AsyncClient, db: Database) -> None:
    await post(client)
    again = await post(client)
    assert (again.status_code, again.json()) == (202, {"detail": "known already"})
    assert deliveries.list_pending(db, 10) == ["d-1"]


def refused(status: int) -> float:
    """How many requests the metric says were refused so."""
    samples = [sample for metric in webhooks.REFUSED.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.labels == {"status": str(status)})


@pytest.mark.parametrize(
    "signature", ["sha256=" + "0" * 64, "", sign(BODY, "another secret"), sign(BODY)[:-1], sign(b"")]
)
async def test_a_wrong_signature_is_401_and_stores_nothing(
    client: httpx.AsyncClient, db: Database, signature: str
) -> None:
    before = refused(401)
    assert (await post(client, signature=signature)).status_code == 401
    assert deliveries.list_pending(db, 10) == []
    assert refused(401) == before + 1


async def test_signature_covers_the_exact_bytes(client: httpx.AsyncClient) -> None:
    reordered = b'{"b": 1, "a": 2}'
    assert (await post(client, reordered, signature=sign(b'{"a": 2, "b": 1}'))).status_code == 401
    assert (await post(client, reordered)).status_code == 202


@pytest.mark.parametrize("headers", [{"delivery": None}, {"event": None}, {"delivery": "a b"}, {"delivery": "x" * 101}])
async def test_a_request_that_is_no_delivery_is_400(
    client: httpx.AsyncClient, db: Database, headers: dict[str, str | None]
) -> None:
    delivery, event = headers.get("delivery", "d-1"), headers.get("event", "issues")
    assert (await post(client, delivery=delivery, event=event)).status_code == 400
    assert deliveries.list_pending(db, 10) == []


async def test_a_payload_that_is_not_text_is_400(client: httpx.AsyncClient, db: Database) -> None:
    assert (await post(client, b"\xff\xfe")).status_code == 400
    assert deliveries.list_pending(db, 10) == []


async def test_reading_stops_when_the_payload_is_too_large(client: httpx.AsyncClient, db: Database) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1024 * 1024

    headers = {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "issues", "X-Hub-Signature-256": "sha256=0"}
    answer = await client.post("/webhooks/github", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= LIMIT_BYTES // (1024 * 1024) + 2
    assert deliveries.list_pending(db, 10) == []


async def test_announced_large_payload_is_not_read(client: httpx.AsyncClient) -> None:
    sent = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b"x"

    headers = {
        "X-GitHub-Delivery": "d-1",
        "X-GitHub-Event": "issues",
        "Content-Length": str(LIMIT_BYTES + 1),
    }
    answer = await client.post("/webhooks/github", content=large(), headers=headers)
    assert (answer.status_code, sent) == (413, 0)


async def test_missing_payload_is_not_awaited(
    client: httpx.AsyncClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.05)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    headers = {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "issues"}
    async with asyncio.timeout(10):
        answer = await client.post("/webhooks/github", content=stuck(), headers=headers)
    assert answer.status_code == 408
    assert deliveries.list_pending(db, 10) == []


async def test_an_event_that_nobody_handles_is_dropped(client: httpx.AsyncClient, db: Database) -> None:
    answer = await post(client, event="star")
    assert (answer.status_code, answer.json()) == (202, {"detail": "the event star is ignored"})
    assert deliveries.list_pending(db, 10) == []
    assert (await post(client, event="star", signature="sha256=0")).status_code == 401


async def test_unconfigured_endpoint_names_what_is_missing(db: Database) -> None:
    async with serving(db, Settings(github_app_id=77, github_private_key=None, github_webhook_secret=None)) as client:
        answer = await post(client)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "GitHub is not configured: set GITHUB_PRIVATE_KEY, GITHUB_WEBHOOK_SECRET"
    assert deliveries.list_pending(db, 10) == []


async def test_a_crowd_of_deliveries_is_stored_whole(client: httpx.AsyncClient, db: Database) -> None:
    answers = await asyncio.gather(*(post(client, delivery=f"d-{number % 60}") for number in range(120)))
    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json()["detail"] for answer in answers].count("stored") == 60
    assert len(deliveries.list_pending(db, 1000)) == 60


async def test_what_could_not_be_stored_is_not_acknowledged(empty_db: Database) -> None:
    async with serving(empty_db) as client:
        answers = await asyncio.gather(*(post(client, delivery=f"d-{number}") for number in range(20)))
        assert {answer.status_code for answer in answers} == {500}
        empty_db.migrate()
        assert deliveries.list_pending(empty_db, 100) == []
        later = await asyncio.gather(*(post(client, delivery=f"d-{number}") for number in range(20)))
        assert {(answer.status_code, answer.json()["detail"]) for answer in later} == {(202, "stored")}
    assert len(deliveries.list_pending(empty_db, 100)) == 20


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/x-www-form-urlencoded", 400),
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("Application/JSON", 202),
        (None, 202),
    ],
)
async def test_forms_are_refused_with_what_to_do(
    client: httpx.AsyncClient, content_type: str | None, status: int
) -> None:
    answer = await post(client, content_type=content_type)
    assert answer.status_code == status
    if status == 400:
        assert "set the webhook's content type to application/json" in answer.text


async def test_comment_that_was_read_is_known_already(client: httpx.AsyncClient, db: Database) -> None:
    """Its delivery comes after all, late: the handlers have acted on it."""
    comment = {"id": 5, "body": "/autopack run"}
    about = {"action": "created", "comment": comment, "issue": {"number": 1}, "sender": {"login": "ann"}}
    body = json.dumps(about | {"repository": {"full_name": "acme/widgets"}}).encode()
    read = StoredDelivery("missed-comment-5", "issue_comment", body.decode(), "comment:5")
    deliveries.store(db, [read], datetime.now(UTC))
    answer = await post(client, body, event="issue_comment")
    assert (answer.status_code, answer.json()) == (202, {"detail": "known already"})
    assert deliveries.list_pending(db, 10) == ["missed-comment-5"]


async def test_payloads_in_flight_are_bounded(
    client: httpx.AsyncClient, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is not signed yet, all together: the next one is refused, and after that there is room again."""
    monkeypatch.setattr(webhooks, "MAX_BYTES_IN_FLIGHT", 3 * 1024)
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 2048
        await go_on.wait()
        yield b"x"

    headers = {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "issues"}
    first = asyncio.create_task(client.post("/webhooks/github", content=slow(), headers=headers))
    await asyncio.sleep(0.05)
    large = json.dumps({"action": "labeled", "filler": "x" * 2048}).encode()
    refused = await post(client, large)
    assert (refused.status_code, refused.json()["detail"]) == (
        503,
        "too many payloads come in at once: send it again later",
    )
    go_on.set()
    assert (await first).status_code == 401
    assert (await post(client, large)).status_code == 202
