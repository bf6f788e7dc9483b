"""The door for webhooks: plain ASGI, since nothing of a web framework is needed to check and store a delivery.

What is not signed yet costs little: a body has its limit and a deadline, all bodies together have one, and the
signature is computed while they come in.
"""

import asyncio
import functools
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from prometheus_client import Counter, Gauge, disable_created_metrics
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.deliveries import StoredDelivery
from app.web.dependencies import ServiceState
from app.web.problems import answer, defect, problems
from handlers.dispatch import HANDLERS, needed

PATH: Final = "/webhooks/github"
MAX_BYTES: Final = 25 * 1024 * 1024
"""GitHub's own cap on a payload."""
MAX_BYTES_IN_FLIGHT: Final = 100 * 1024 * 1024
"""Of all payloads whose signature is not known yet."""
BODY_SECONDS = 30.0
"""A payload has to be there by then; GitHub itself gives up after ten."""
DOCUMENTATION: Final[dict[str, object]] = {
    "post": {
        "summary": "Receive",
        "description": (
            "Take in one delivery. 202 stored, repeated or ignored; 400 headers missing or body unreadable; 401 wrong"
            " signature; 408 body not sent in time; 413 too large; 503 while the App is not configured, or too much"
            " comes in at once."
        ),
        "operationId": "receive_webhooks_github_post",
        "responses": {"202": {"description": "Accepted"}, **{str(key): one for key, one in problems(408, 503).items()}},
    }
}
"""Of the path in the API's document; the framework behind the door does not know it."""
READ_AT_ONCE: Final = 64 * 1024
"""A smaller payload is read in the event loop: it takes less than the way to a thread."""
log = logging.getLogger(__name__)

_JSON = "application/json"
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")
_HEADERS: Final = (
    b"content-length",
    b"content-type",
    b"x-github-event",
    b"x-github-delivery",
    b"x-hub-signature-256",
)


REFUSED: Final = Counter(
    "autopack_refused_deliveries", "Webhook requests that this process refused", ["status"], registry=None
)
disable_created_metrics()  # when a count began says nothing here
for _status in (400, 401, 405, 408, 413, 503):
    REFUSED.labels(_status)
UNSIGNED: Final = Gauge(
    "autopack_unsigned_bytes", "Payloads that this process reads and whose signature is not known yet", registry=None
)


class RefusedDelivery(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Api(FastAPI):
    """The application behind the door: what arrives at it passes no middleware."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._door = Door(super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self._door(scope, receive, send)


class Door:
    """Answers `/webhooks/github`; all else goes on to the application behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._in_flight = 0  # bytes of payloads that are being read
        UNSIGNED.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        if scope["method"] != "POST":
            REFUSED.labels(405).inc()
            await answer(405, "GitHub sends deliveries by POST", headers={"Allow": "POST"})(scope, receive, send)
            return
        service: ServiceState = scope["app"].state.service
        try:
            said = await self._take_in(service, _headers(scope), receive)
        except RefusedDelivery as refusal:
            REFUSED.labels(refusal.status).inc()
            await answer(refusal.status, str(refusal))(scope, receive, send)
            return
        except Exception:  # no middleware is before the door, so it answers for its own defects
            log.exception("a delivery could not be taken in")
            await defect()(scope, receive, send)
            return
        start, body = _accepted(said)
        await send(start)
        await send(body)

    async def _take_in(self, service: ServiceState, headers: Mapping[bytes, str], receive: Receive) -> str:
        """Store one delivery and say what became of it. Raises `RefusedDelivery`."""
        github = service.settings.github
        if github is None:
            raise RefusedDelivery(503, "GitHub is not configured: set " + ", ".join(service.settings.github_missing))
        event, delivery_id = headers.get(b"x-github-event", ""), headers.get(b"x-github-delivery", "")
        if not event or not _DELIVERY_ID.fullmatch(delivery_id):
            raise RefusedDelivery(400, "the headers X-GitHub-Event and X-GitHub-Delivery are needed")
        mac = _keyed(github.webhook_secret.get_secret_value()).copy()
        body = await self._read(headers, receive, mac)
        if not fits(mac, headers.get(b"x-hub-signature-256", "")):
            raise RefusedDelivery(401, "X-Hub-Signature-256 does not fit the payload and the webhook secret")
        if event not in HANDLERS:
            return f"the event {event} is ignored"
        payload = _read_json(headers, body)
        if payload is None:
            raise RefusedDelivery(400, f"the payload is no JSON: set the webhook's content type to {_JSON}")
        received = StoredDelivery(delivery_id, event, payload)
        read = needed(received) if len(body) <= READ_AT_ONCE else await asyncio.to_thread(needed, received)
        if read is None:
            return "nothing to do"
        new = await service.intake.store(read.delivery)
        if new and read.head is not None:
            service.drainer.note(delivery_id, read.head)
        service.drainer.wake()
        return "stored" if new else "known already"

    async def _read(self, headers: Mapping[bytes, str], receive: Receive, mac: hmac.HMAC) -> bytes:
        """The body, fed to `mac` on its way. Raises `RefusedDelivery`: too large, too late, one too many."""
        announced = headers.get(b"content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > MAX_BYTES:
            raise RefusedDelivery(413, f"the body is larger than {MAX_BYTES:,} bytes")
        chunks: list[bytes] = []
        taken = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedDelivery(400, "the sender has gone")
                    chunk: bytes = message.get("body", b"")
                    taken += len(chunk)
                    self._in_flight += len(chunk)
                    if taken > MAX_BYTES:
                        raise RefusedDelivery(413, f"the body is larger than {MAX_BYTES:,} bytes")
                    if self._in_flight > MAX_BYTES_IN_FLIGHT:
                        raise RefusedDelivery(503, "too many payloads come in at once: send it again later")
                    mac.update(chunk)
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise RefusedDelivery(408, f"the payload was not sent within {BODY_SECONDS:g} seconds") from error
        finally:
            self._in_flight -= taken


@functools.lru_cache(1)
def _keyed(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


@functools.lru_cache(100)
def _accepted(said: str) -> tuple[Message, Message]:
    body = json.dumps({"detail": said}).encode()
    headers = [(b"content-type", _JSON.encode()), (b"content-length", str(len(body)).encode())]
    start: Message = {"type": "http.response.start", "status": HTTPStatus.ACCEPTED, "headers": headers}
    return start, {"type": "http.response.body", "body": body}


def is_worth_a_line(access: logging.LogRecord) -> bool:
    """Whether the log has a line of this access: GitHub and the inbox know of each delivery that is taken in."""
    return not (isinstance(access.args, tuple) and access.args[2:3] == (PATH,) and access.args[-1] == 202)


def fits(mac: hmac.HMAC, signature: str) -> bool:
    """Whether `signature` (`sha256=…`) is this HMAC; compared in constant time."""
    expected = "sha256=" + mac.hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))


def _headers(scope: Scope) -> dict[bytes, str]:
    """The headers that matter; HTTP's are Latin-1."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}


def _read_json(headers: Mapping[bytes, str], body: bytes) -> str | None:
    """The text of a JSON body; None for a form, which GitHub sends where the hook is set so, and for other bytes."""
    if headers.get(b"content-type", _JSON).partition(";")[0].strip().lower() != _JSON:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
