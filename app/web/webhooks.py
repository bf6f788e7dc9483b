"""`POST /webhooks/github`: signature on the raw bytes, one insert into the inbox, 202; all else happens behind it."""

import asyncio
import hashlib
import hmac
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from app.db.deliveries import StoredDelivery
from app.web.body_limit import WEBHOOK_PATH
from app.web.dependencies import ServiceState, state
from app.web.problems import answer, problems
from handlers.dispatch import HANDLERS, needed

BODY_SECONDS = 30.0
"""A payload has to be there by then; GitHub itself gives up after ten."""
_JSON = "application/json"
_DELIVERY_ID = re.compile(r"[A-Za-z0-9-]{1,100}")

router = APIRouter()


@router.post(WEBHOOK_PATH, status_code=202, responses=problems(408, 503))
async def receive(request: Request, service: Annotated[ServiceState, Depends(state)]) -> Response:
    """Take in one delivery.

    202 stored, repeated or ignored; 400 headers missing or body unreadable; 401 wrong signature; 408 body not sent in
    time; 413 too large; 503 while the App is not configured, since an unsigned delivery is never accepted.
    """
    github = service.settings.github
    if github is None:
        return _answer(503, "GitHub is not configured: set " + ", ".join(service.settings.github_missing))
    event = request.headers.get("x-github-event", "")
    delivery_id = request.headers.get("x-github-delivery", "")
    if not event or not _DELIVERY_ID.fullmatch(delivery_id):
        return _answer(400, "the headers X-GitHub-Event and X-GitHub-Delivery are needed")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
    except TimeoutError:
        return _answer(408, f"the payload was not sent within {BODY_SECONDS:g} seconds")
    secret = github.webhook_secret.get_secret_value().encode()
    if not signed(body, secret, request.headers.get("x-hub-signature-256", "")):
        return _answer(401, "X-Hub-Signature-256 does not fit the payload and the webhook secret")
    if event not in HANDLERS:
        return _answer(202, f"the event {event} is ignored")
    payload = _read_json(request, body)
    if payload is None:
        return _answer(400, f"the payload is no JSON: set the webhook's content type to {_JSON}")
    delivery = await asyncio.to_thread(needed, StoredDelivery(delivery_id, event, payload))
    if delivery is None:
        return _answer(202, "nothing to do")
    new = await service.intake.store(delivery)
    service.drainer.wake()
    return _answer(202, "stored" if new else "known already")


def _read_json(request: Request, body: bytes) -> str | None:
    """The text of a JSON body; None for a form, which GitHub sends where the hook is set so, and for other bytes."""
    if request.headers.get("content-type", _JSON).partition(";")[0].strip().lower() != _JSON:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def signed(body: bytes, secret: bytes, signature: str) -> bool:
    """Whether `signature` (`sha256=…`) is the HMAC of `body`; compared in constant time."""
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))


def _answer(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status) if status == 202 else answer(status, detail)
