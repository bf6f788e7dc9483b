"""Signed webhook deliveries accepted and stored per second, against a bare server that only checks the signature.

Both servers run under uvicorn in a process of their own; the load comes from this process over kept-alive connections.
Then it kills the service in a flood (SIGKILL), and checks that the database has every acknowledged delivery.
Usage: python benchmarks/deliveries.py [--deliveries 4000] [--connections 32] [--rounds 3] [--kills 3]
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.processes import processor

SECRET = b"benchmark"
START_SECONDS = 30.0
IDLE_SECONDS = 1.0
KILL_SECONDS = 3.0
"""The longest time in a flood until the service is killed."""
BARE = """
import hashlib, hmac
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    given = dict(scope["headers"]).get(b"x-hub-signature-256", b"")
    good = hmac.compare_digest(b"sha256=" + hmac.new(b"benchmark", body, hashlib.sha256).hexdigest().encode(), given)
    await send({"type": "http.response.start", "status": 202 if good else 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
"""


def request(path: str, body: bytes, signature: str, delivery_id: str) -> bytes:
    """One signed delivery as it goes over the wire."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-GitHub-Event: status",
        f"X-GitHub-Delivery: {delivery_id}",
        f"X-Hub-Signature-256: sha256={signature}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def payload() -> bytes:
    """A `status` event of a repository that has no run: about 8 kB, as GitHub's are."""
    repository = {"id": 1, "full_name": "octo/none", "default_branch": "main", "private": False, "filler": "x" * 7_500}
    event = {"sha": "0" * 40, "state": "success", "context": "ci", "repository": repository, "installation": {"id": 1}}
    return json.dumps(event).encode()


async def load(
    port: int, path: str, deliveries: int, connections: int, acknowledged: list[str] | None = None
) -> tuple[float, list[float]]:
    """Send all deliveries; seconds for all, and the seconds that each took. Raises on any answer but 202.

    The ids of those that were answered go to `acknowledged`, also where the server dies on the way.
    """
    queue = [str(uuid.uuid4()) for _ in range(deliveries)]
    body = payload()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    taken: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            delivery_id = queue.pop()
            message = request(path, body, signature, delivery_id)
            began = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
            if b" 202 " not in head.split(b"\r\n", 1)[0]:
                raise RuntimeError(head.decode())
            if acknowledged is not None:
                acknowledged.append(delivery_id)
        writer.close()

    began = time.perf_counter()
    await asyncio.wait_for(asyncio.gather(*(connection() for _ in range(connections))), 300)
    return time.perf_counter() - began, taken


class Server(NamedTuple):
    """A server under measurement."""

    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def server(application: str, folder: Path, environment: dict[str, str]) -> Generator[Server]:
    """Serve an ASGI application on a free port until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})
    try:
        _wait_for(port, process)
        yield Server(port, process)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


def environment(folder: Path) -> dict[str, str]:
    """The service's settings: an App with a key made for this measurement."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return {
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "AUTONOMOUS_RUNS_DIR": str(folder / "runs"),
        "DATABASE_URL": "",
        "GITHUB_APP_ID": "1",
        "GITHUB_PRIVATE_KEY": pem.decode(),
        "GITHUB_WEBHOOK_SECRET": SECRET.decode(),
    }


def measure(name: str, served: Server, path: str, options: argparse.Namespace) -> float:
    """Median deliveries per second of processor time over the rounds; prints it with pace and latencies."""
    rates: list[float] = []
    costs: list[float] = []
    latencies: list[float] = []
    for _ in range(options.rounds):
        used = processor(served.process.pid)
        seconds, taken = asyncio.run(load(served.port, path, options.deliveries, options.connections))
        time.sleep(IDLE_SECONDS)  # what is left to do after the answers costs too
        rates.append(options.deliveries / seconds)
        costs.append(options.deliveries / (processor(served.process.pid) - used))
        latencies += taken
    cuts = statistics.quantiles(latencies, n=100)
    cost = statistics.median(costs)
    print(
        f"{name:28} {cost:8,.0f} per CPU second   {statistics.median(rates):8,.0f} per second"
        f"   p50 {cuts[49] * 1000:6.1f} ms   p99 {cuts[98] * 1000:6.1f} ms"
    )
    return cost


def survive(folder: Path, options: argparse.Namespace) -> None:
    """Kill the service in a flood, time and again, and count which acknowledged deliveries its database lacks."""
    acknowledged: list[str] = []
    for kill in range(options.kills):
        with server("app.main:app", folder, environment(folder)) as served:
            after = KILL_SECONDS * (kill + 1) / options.kills
            threading.Timer(after, served.process.kill).start()
            try:
                asyncio.run(load(served.port, "/webhooks/github", 100_000, options.connections, acknowledged))
            except (OSError, asyncio.IncompleteReadError):
                continue
            raise RuntimeError("the flood ended before the service was killed")
    with sqlite3.connect(folder / ".autopack" / "autopack.db") as database:
        stored = {row[0] for row in database.execute("SELECT id FROM deliveries")}
    lost = set(acknowledged) - stored
    print(f"{options.kills} kills in a flood: {len(acknowledged):,} deliveries acknowledged, {len(lost)} of them lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=4_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "bare.py").write_text(BARE)
        with server("bare:app", folder, {}) as served:
            bare = measure("HMAC only", served, "/", options)
        with server("app.main:app", folder, environment(folder)) as served:
            stored = measure("HMAC, stored, acknowledged", served, "/webhooks/github", options)
        print(f"ratio: {stored / bare:.2f} of the bare server, by processor time")
    with tempfile.TemporaryDirectory() as made:
        survive(Path(made), options)


if __name__ == "__main__":
    main()
