"""Stored tokens of the REST API: scopes, digests, rotation; and the log of who did what."""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.api.support import Api, new_id, plan, said, serving
from tests.support import processes
from tests.support.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("tokens")) as started:
        yield started


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


@dataclass(frozen=True)
class Said:
    """What the command line came to."""

    code: int | None
    text: str


def _token(service: Service, *arguments: str) -> Said:
    log = service.folder / f"token-{secrets.token_hex(4)}.log"
    environment = {"PATH": os.environ["PATH"], "HOME": str(service.folder)}
    process = processes.start("app.cli", "token", *arguments, folder=service.folder, log=log, environment=environment)
    process.join(30)
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if "RuntimeWarning" not in line]
    return Said(process.exitcode, "\n".join(lines).strip())


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _data(service: Service) -> Path:
    return service.folder / ".autopack"


def _start(api: Api, token: str | None = None) -> httpx.Response:
    body = {"run": {"run_id": new_id()}, **plan([["docs"]])}
    return api.http.post("/runs/start", json=body, headers=_bearer(token) if token else {})


def test_first_start_makes_a_private_token(service: Service, api: Api) -> None:
    """It opens the API from elsewhere; this machine needs none before a person makes one."""
    file = _data(service) / "api-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert _start(api).status_code == 201
    elsewhere = _bearer(token) | {"Host": "autopack.example"}
    assert api.http.get("/metrics/runs", headers=elsewhere).status_code == 200
    assert api.http.get("/metrics/runs", headers={"Host": "autopack.example"}).status_code == 403
    assert token.encode() not in (_data(service) / "autopack.db").read_bytes(), "only its digest is stored"
    assert "first  operate,read,submit" in _token(service, "list").text


def test_tokens_have_scopes(service: Service, api: Api) -> None:
    reader = _token(service, "new", "dashboard").text
    operator = _token(service, "new", "lead", "--scope", "operate").text
    agent = _token(service, "new", "agent", "--scope", "submit").text
    assert len({reader, operator, agent}) == 3
    assert "AUTOPACK_API_TOKEN" in said(api.http.get("/metrics/runs"), 401), "now everyone needs one"
    for token in (reader, operator, agent):
        assert api.http.get("/metrics/runs", headers=_bearer(token)).status_code == 200
    assert _start(api, operator).status_code == 201
    for token, name in ((reader, "dashboard"), (agent, "agent")):
        assert said(_start(api, token), 403) == (
            f"The token {name} has no scope operate: make one with `autopack token new`"
        )
    result = "/runs/none/phases/P1/builder_result"
    assert api.http.post(result, json={}, headers=_bearer(agent)).status_code == 422
    assert "no scope submit" in said(api.http.post(result, json={}, headers=_bearer(operator)), 403)
    assert _token(service, "new", "lead").code == 1
    assert "name read, operate or submit" in _token(service, "new", "x", "--scope", "all").text

    rotated = _token(service, "rotate", "dashboard").text
    assert api.http.get("/metrics/runs", headers=_bearer(reader)).status_code == 401
    assert api.http.get("/metrics/runs", headers=_bearer(rotated)).status_code == 200
    assert _token(service, "revoke", "dashboard").text == "Revoked: dashboard"
    assert api.http.get("/metrics/runs", headers=_bearer(rotated)).status_code == 401
    assert "There is no token dashboard" in _token(service, "rotate", "dashboard").text

    lines = [json.loads(line) for line in (_data(service) / "audit.jsonl").read_text().splitlines()]
    acts = {(one["actor"], one["act"]) for one in lines}
    assert ("token lead", "POST /runs/start") in acts
    assert ("this machine", "POST /runs/start") in acts
    assert not any(token in json.dumps(lines) for token in (reader, operator, agent))
    assert stat.S_IMODE((_data(service) / "audit.jsonl").stat().st_mode) == 0o600
