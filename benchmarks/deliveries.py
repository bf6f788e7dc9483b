"""Signed webhook deliveries accepted and stored per second, against a bare server that only checks the signature.

Both servers run under uvicorn in a process of their own; the load comes from this process over kept-alive connections.
Usage: python benchmarks/deliveries.py [--deliveries 4000] [--connections 32] [--rounds 3]
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = b"benchmark"
START_SECONDS = 30.0
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


def request(path: str, body: bytes) -> bytes:
    """One signed delivery as it goes over the wire, under an id of its own."""
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-GitHub-Event: status",
        f"X-GitHub-Delivery: {uuid.uuid4()}",
        f"X-Hub-Signature-256: sha256={signature}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def payload() -> bytes:
    """A `status` event of a repository that has no run: about 8 kB, as GitHub's are."""
    repository = {"id": 1, "full_name": "octo/none", "default_branch": "main", "private": False, "filler": "x" * 7_500}
    event = {"sha": "0" * 40, "state": "success", "context": "ci", "repository": repository, "installation": {"id": 1}}
    return json.dumps(event).encode()


async def load(port: int, path: str, deliveries: int, connections: int) -> tuple[float, list[float]]:
    """Send all deliveries; seconds for all, and the seconds that each took. Raises on any answer but 202."""
    queue = [request(path, payload()) for _ in range(deliveries)]
    taken: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            message = queue.pop()
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
        writer.close()

    began = time.perf_counter()
    await asyncio.wait_for(asyncio.gather(*(connection() for _ in range(connections))), 300)
    return time.perf_counter() - began, taken


@contextmanager
def server(application: str, folder: Path, environment: dict[str, str]) -> Generator[int]:
    """Serve an ASGI application on a free port until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})
    try:
        _wait_for(port, process)
        yield port
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


def measure(name: str, port: int, path: str, options: argparse.Namespace) -> float:
    """Median deliveries per second over the rounds; prints it with the latencies."""
    rates: list[float] = []
    latencies: list[float] = []
    for _ in range(options.rounds):
        seconds, taken = asyncio.run(load(port, path, options.deliveries, options.connections))
        rates.append(options.deliveries / seconds)
        latencies += taken
    cuts = statistics.quantiles(latencies, n=100)
    rate = statistics.median(rates)
    print(f"{name:28} {rate:8,.0f} deliveries/s   p50 {cuts[49] * 1000:6.1f} ms   p99 {cuts[98] * 1000:6.1f} ms")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=4_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "bare.py").write_text(BARE)
        with server("bare:app", folder, {}) as port:
            bare = measure("HMAC only", port, "/", options)
        with server("app.main:app", folder, environment(folder)) as port:
            stored = measure("HMAC, stored, acknowledged", port, "/webhooks/github", options)
    print(f"ratio: {stored / bare:.2f} of the bare server")


if __name__ == "__main__":
    main()
