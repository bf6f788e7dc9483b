"""Who may use the API, and the form of every refusal: problem details in every case."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.web.body_limit import LIMIT_BYTES
from tests.api.support import Api, new_id, plan, said, serving
from tests.support.service import Service

TOKEN = "a token with ünïcode: {}"
OPEN = ("/", "/health", "/docs", "/redoc", "/openapi.json")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    client = Api(service.url)
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service that asks for a token; the client sends none by itself."""
    with serving(tmp_path_factory.mktemp("guarded"), AUTOPACK_API_TOKEN=TOKEN) as started:
        client = Api(started.url)
        yield client
        client.http.close()


def protected(api: Api) -> list[tuple[str, str]]:
    """Every documented operation that is not open to everyone."""
    paths: dict[str, dict[str, Any]] = api.read("/openapi.json")["paths"]
    return [
        (method, re.sub(r"\{\w+\}", "x", path))
        for path, methods in paths.items()
        for method in methods
        if path not in {*OPEN, "/webhooks/github"}
    ]


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"Authorization": b"Bearer " + token.encode()}


def test_with_a_token_every_operation_asks_for_it(guarded: Api) -> None:
    operations = protected(guarded)
    assert len(operations) >= 15
    for method, path in operations:
        for headers in ({}, bearer("wrong"), bearer(TOKEN + "x"), {b"Authorization": b"Basic " + TOKEN.encode()}):
            answer = guarded.http.request(method, path, headers=headers)
            assert "AUTOPACK_API_TOKEN" in said(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_token_opens_the_api_under_every_host(guarded: Api) -> None:
    body = {"run": {"run_id": new_id()}, **plan([["docs"]])}
    headers = bearer(TOKEN) | {b"Host": b"autopack.example"}
    assert guarded.http.post("/runs/start", json=body, headers=headers).status_code == 201
    for method, path in protected(guarded):
        assert guarded.http.request(method, path, headers=headers).status_code in {200, 404, 422}


def test_what_is_open_needs_no_token(guarded: Api) -> None:
    for path in OPEN:
        assert guarded.http.get(path).status_code == 200
    assert guarded.read("/health")["status"] == "healthy"
    assert {"service", "version", "description"} <= set(guarded.read("/"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_without_a_token_this_machine_may(api: Api, host: str) -> None:
    assert api.http.get("/metrics/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", ""]
)
def test_without_a_token_another_host_name_is_refused(api: Api, host: str) -> None:
    for method, path in protected(api):
        assert "AUTOPACK_API_TOKEN" in said(api.http.request(method, path, headers={"Host": host}), 403)
    assert api.http.get("/health", headers={"Host": host}).status_code == 200


PROXIES = (
    *(("Forwarded", "for=203.0.113.9"), ("Via", "1.1 proxy"), ("X-Real-IP", "203.0.113.9"), ("X-Real-Ip", "127.0.0.1")),
    *(("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "")),
    *(("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "autopack.example"), ("X-Forwarded-Server", "proxy")),
)
"""What proxies add, each by itself."""
OTHER_PAGES = (
    *({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}),
    *({"Origin": "https://evil.example"}, {"Origin": "http://localhost.evil.example:8000"}, {"Origin": "null"}),
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
)
"""What browsers send for pages that are not the service's own."""


@pytest.mark.parametrize(("name", "value"), PROXIES)
def test_proxied_requests_need_a_token(api: Api, name: str, value: str) -> None:
    for method, path in protected(api):
        assert "AUTOPACK_API_TOKEN" in said(api.http.request(method, path, headers={name: value}), 403)
    assert api.http.get("/health", headers={name: value}).status_code == 200


def test_silent_proxy_is_known_by_http_1_0(api: Api) -> None:
    host, _, port = urlsplit(str(api.http.base_url)).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET /metrics/runs HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 403 " in answer.partition(b"\r\n")[0]
    assert b"AUTOPACK_API_TOKEN" in answer


@pytest.mark.parametrize("headers", OTHER_PAGES)
def test_pages_of_other_sites_need_a_token(api: Api, headers: dict[str, str]) -> None:
    for method, path in protected(api):
        assert "AUTOPACK_API_TOKEN" in said(api.http.request(method, path, headers=headers), 403)
    assert api.http.get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_without_a_token_the_services_own_page_may(api: Api, site: str, origin: str) -> None:
    answer = api.http.get("/metrics/runs", headers={"Sec-Fetch-Site": site, "Origin": origin})
    assert answer.status_code == 200


def test_with_the_token_proxies_and_other_pages_may(guarded: Api) -> None:
    for headers in (*({name: value} for name, value in PROXIES), *OTHER_PAGES):
        told = bearer(TOKEN) | {name.encode(): value.encode() for name, value in headers.items()}
        assert guarded.http.get("/metrics/runs", headers=told).status_code == 200


# The form of refusals


def test_what_is_no_json_is_refused(api: Api) -> None:
    for content in (b"{", b"", b"nonsense", b'{"run": ', b"[]", b'"text"', b"null", b"1"):
        said(api.http.post("/runs/start", content=content, headers=JSON), 422)
    for content in (b'{"run": "\xff"}', b"[" * 200_000, b"9" * 5000):
        said(api.http.post("/runs/start", content=content, headers=JSON), 400)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_body_of_another_type_is_refused(api: Api, kind: str) -> None:
    body = json.dumps({"run": {"run_id": new_id()}, **plan([["docs"]])})
    answer = api.http.post("/runs/start", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code in {415, 422}
    said(answer, answer.status_code)


def test_unknown_path_or_method_is_a_problem(api: Api) -> None:
    said(api.http.get("/nothing"), 404)
    said(api.http.get("/runs/a/b/c"), 404)
    answer = api.http.get("/runs/start/phases/x/update_status")
    said(answer, 405)
    assert answer.headers["allow"] == "POST"
    said(api.http.delete("/runs/x"), 405)


def test_a_field_that_does_not_fit_is_named(api: Api) -> None:
    answer = api.http.post("/runs/start", json={"run": {"run_id": "x", "token_cap": -1}, **plan([["docs"]])})
    assert said(answer, 422) == "run.token_cap: Input should be greater than or equal to 1"
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["body", "run", "token_cap"]


def test_announced_large_body_is_refused(api: Api) -> None:
    connection = http.client.HTTPConnection(urlsplit(str(api.http.base_url)).netloc, timeout=60)
    connection.putrequest("POST", "/runs/start")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(LIMIT_BYTES + 1))
    connection.endheaders(b"{")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type")) == (413, "application/problem+json")
    assert "larger than" in json.loads(answer.read())["detail"]
    connection.close()


def test_chunked_large_body_is_refused(api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"notes": "'
        for _ in range(LIMIT_BYTES // 1_000_000 + 2):
            yield b"x" * 1_000_000

    with httpx.Client(base_url=api.http.base_url, timeout=60) as client:
        said(client.post("/runs/start", content=chunks(), headers=JSON), 413)
    assert api.read("/health")["status"] == "healthy"
