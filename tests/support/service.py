"""The real service in a process of its own, governed by environment variables only."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
_RUNNING = "Uvicorn running on "


class ServiceDied(AssertionError):
    """The service did not start, or ended by itself; the text is the end of its log."""


class Service:
    """`autopack serve` on a port of its own. It can be killed and started again on the same port and data."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` is its working directory, home and place for its log; `environment` is all that it is told."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_file = folder / "service.log"
        self.log_file.touch()
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOST": "127.0.0.1",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/webhooks/github"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and return when it answers. Raises `ServiceDied`."""
        assert not self.running
        logged = len(self.log())
        environment = {**self._environment, "PORT": str(self._port)}
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "serve"],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running:
            _, found, rest = self.log()[logged:].partition(_RUNNING)
            if found and "\n" in rest:
                self._port = int(rest.split()[0].rpartition(":")[2])
                httpx.get(f"{self.url}/health", timeout=START_SECONDS).raise_for_status()
                return
            time.sleep(0.02)
        raise ServiceDied(f"the service did not start:\n{self.log()[logged:][-4000:]}")

    def forget(self, variable: str) -> None:
        """Take a variable out of the environment of the next start."""
        self._environment.pop(variable, None)

    def kill(self) -> None:
        """SIGKILL: it can save nothing."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def log(self) -> str:
        """All that it has written since it was first started."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
        self._process = None
