"""The service's door: what is let in, what is sent away, and what a service without an App says."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.service import Service
from tests.support.world import World

BODY = json.dumps({"zen": "Keep it logically awesome."}).encode()


def _deliver(
    world: World, body: bytes = BODY, *, event: str = "status", guid: str | None = None, secret: str | None = None
) -> httpx.Response:
    key = (secret or world.hub.webhook_secret).encode()
    headers = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or str(uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
    }
    return httpx.post(world.service.webhook_url, content=body, headers=headers, timeout=30)


def test_signed_delivery_is_taken_in_once(world: World) -> None:
    guid = str(uuid4())
    first, second = _deliver(world, guid=guid, event="ping"), _deliver(world, guid=guid, event="ping")
    assert (first.status_code, second.status_code) == (202, 202)
    assert "ignored" in first.json()["detail"]


def test_repeated_delivery_is_acknowledged(world: World) -> None:
    guid = str(uuid4())
    body = json.dumps({"action": "created", "installation": {"id": 1}, "repositories": []}).encode()
    first, second = (_deliver(world, body, guid=guid, event="installation") for _ in range(2))
    assert (first.status_code, first.json()["detail"]) == (202, "stored")
    assert (second.status_code, second.json()["detail"]) == (202, "known already")
    world.wait_idle()


@pytest.mark.parametrize("secret", ["wrong", "x"])
def test_wrong_signature_is_refused(world: World, secret: str) -> None:
    assert _deliver(world, secret=secret).status_code == 401


def test_missing_signature_is_refused(world: World) -> None:
    headers = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": str(uuid4())}
    answer = httpx.post(world.service.webhook_url, content=BODY, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("missing", ["X-GitHub-Event", "X-GitHub-Delivery"])
def test_missing_headers_are_named(world: World, missing: str) -> None:
    headers = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": str(uuid4()), "X-Hub-Signature-256": "sha256=0"}
    headers.pop(missing)
    answer = httpx.post(world.service.webhook_url, content=BODY, headers=headers)
    assert answer.status_code == 400
    assert missing in answer.json()["detail"]


def test_unknown_event_is_accepted_and_ignored(world: World) -> None:
    answer = _deliver(world, event="gollum")
    assert answer.status_code == 202
    assert "ignored" in answer.json()["detail"]


def test_payload_over_the_limit_is_refused(world: World) -> None:
    assert _deliver(world, b" " * (25 * 1024 * 1024 + 1)).status_code == 413


def test_health_of_a_configured_service(world: World) -> None:
    health = httpx.get(f"{world.service.url}/health").raise_for_status().json()
    assert health["status"] == "healthy"
    assert health["database"]["status"] == "ok"
    assert health["workflow_engine"]["status"] == "ok"
    assert health["github"]["status"] == "configured"


@pytest.fixture
def bare_service(tmp_path: Path) -> Iterator[Service]:
    """The service with no variable set but its port."""
    service = Service(tmp_path, {})
    service.start()
    yield service
    service.stop()


def test_service_without_an_app_says_what_is_missing(bare_service: Service) -> None:
    answer = httpx.post(bare_service.webhook_url, content=BODY)
    assert answer.status_code == 503
    health = httpx.get(f"{bare_service.url}/health").raise_for_status().json()
    assert health["status"] == "healthy"
    missing = ["GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"]
    assert health["github"] == {"status": "missing", "missing": missing}
    assert all(name in answer.json()["detail"] for name in missing)
    assert health["models"] == []
