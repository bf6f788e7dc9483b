"""The service as it is started: a process of its own, governed by environment variables only."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

import app
from app.web import http_protocol
from app.web.http_protocol import HttpProtocol
from tests.support.service import Service


@pytest.fixture(scope="module")
def untold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that no variable tells anything."""
    service = Service(tmp_path_factory.mktemp("service"), {}, by_command=True)
    service.start()
    yield service
    service.stop()


def test_unconfigured_service_names_what_is_missing(untold: Service) -> None:
    health = httpx.get(f"{untold.url}/health").json()
    assert health["status"] == "healthy"
    assert health["database"] == {"status": "ok", "kind": "sqlite"}
    assert health["workflow_engine"]["status"] == "ok"
    assert health["github"] == {
        "status": "missing",
        "missing": ["GITHUB_APP_ID", "GITHUB_PRIVATE_KEY", "GITHUB_WEBHOOK_SECRET"],
    }
    assert health["background"] == {"status": "ok", "failing": []}
    assert health["models"] == []


def test_untold_it_keeps_its_data_beside_the_artifacts(untold: Service) -> None:
    assert (untold.folder / ".autopack" / "autopack.db").is_file()


def test_untold_it_takes_no_delivery(untold: Service) -> None:
    assert httpx.post(f"{untold.url}/webhooks/github", content=b"{}").status_code == 503


def test_it_says_what_it_is_and_documents_itself(untold: Service) -> None:
    assert httpx.get(untold.url).json().items() >= {"service": "Autopack", "version": app.__version__}.items()
    assert httpx.get(f"{untold.url}/docs").status_code == 200
    assert "/webhooks/github" in httpx.get(f"{untold.url}/openapi.json").json()["paths"]


def test_it_starts_again_on_what_it_left(tmp_path: Path) -> None:
    service = Service(tmp_path, {})
    service.start()
    try:
        service.restart()
        assert httpx.get(f"{service.url}/health").json()["status"] == "healthy"
    finally:
        service.stop()


def modes(paths: Iterable[Path]) -> dict[str, int]:
    """By name, of those that are there still: the service clears away what is left over."""
    found: dict[str, int] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mode
    return found


def test_what_it_keeps_is_its_users_alone(tmp_path: Path) -> None:
    old = [tmp_path / name for name in (".autopack/worktrees/old/tool", ".autonomous_runs/r1/run_summary.md")]
    for path in old:
        path.parent.mkdir(parents=True)
        path.touch()
        path.chmod(0o4755)
    service = Service(tmp_path, {})
    service.start()
    try:
        kept = [
            path
            for name in (".autopack", ".autonomous_runs")
            for path in (tmp_path / name, *(tmp_path / name).rglob("*"))
        ]
        assert {"autopack.db", "autopack.db-wal", "autopack.db-shm", "run_summary.md"} <= {path.name for path in kept}
        assert {name: oct(mode) for name, mode in modes(kept).items() if mode & 0o7077} == {}
    finally:
        service.stop()


def test_second_service_waits_for_the_first(tmp_path: Path) -> None:
    told = {"DATABASE_URL": f"sqlite:///{tmp_path / 'autopack.db'}"}
    first, second = Service(tmp_path / "first", told), Service(tmp_path / "second", told)
    first.start()
    starting = threading.Thread(target=second.start)
    starting.start()
    try:
        deadline = time.monotonic() + 20
        while "another process serves this database" not in second.log():
            assert time.monotonic() < deadline, second.log()
            starting.join(0.05)
        assert "startup complete" not in second.log()
        first.kill()
        starting.join(40)
        assert httpx.get(f"{second.url}/health").json()["status"] == "healthy"
    finally:
        first.stop()
        starting.join(40)
        second.stop()


def test_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a connection's second request; one whose head is whole is left alone."""
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    async def serve() -> None:
        config = uvicorn.Config(echo, port=0, http=HttpProtocol, lifespan="off", log_level="warning")
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await server.shutdown()

    asyncio.run(serve())
