"""A hub with one repository that the App is installed on, and a receiver of its webhooks."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.hub import Hub
from tests.hub.world import REPOSITORY, Delivery, Receiver, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A hub with `octo/demo`, whose main branch has one commit."""
    hub = Hub(tmp_path / "hub")
    hub.start()
    hub.import_repository(REPOSITORY, owner_role={"maintainer": "maintain", "writer": "write", "outsider": "read"})
    hub.commit_files(REPOSITORY, "main", {"a.txt": "one\n", "docs/b.md": "text\n"}, "First", as_user="octo")
    made = World(hub, hub.install_app(REPOSITORY))
    yield made
    for client in made.clients.values():
        client.close()
    hub.stop()


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    """A web server that the hub's deliveries go to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.deliveries.append(Delivery({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Receiver(f"http://127.0.0.1:{server.server_port}/webhooks/github")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    world.hub.set_webhook_url(received.url)
    yield received
    server.shutdown()
    server.server_close()
    thread.join(5)
