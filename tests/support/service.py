"""The real service in a process of its own, governed by environment variables only."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import httpx

from tests.support import processes

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
_RUNNING = "Uvicorn running on "
_WORKS = " works\n"


class ServiceDied(AssertionError):
    """The service did not start, or ended by itself; the text is the end of its log."""


class Service:
    """`autopack serve` on a port of its own. It can be killed and started again on the same port and data."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        by_command: bool = False,
        command: Sequence[str] = ("serve",),
    ) -> None:
        """`folder` is its working directory, home and place for its log; `environment` is all that it gets.

        `by_command` starts Python as a user does, which takes seconds; else the process has its imports already.
        `command` may also be `serve --web`, or `worker`, which has no port.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_file = folder / "service.log"
        self.log_file.touch()
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "HOST": "127.0.0.1",
            **environment,
        }
        self._by_command = by_command
        self._command = tuple(command)
        self._process: _Command | ForkServerProcess | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}/webhooks/github"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it answers. Raises `ServiceDied`."""
        assert not self.running
        logged = len(self.log())
        environment = {**self._environment, "PORT": str(self._port)}
        if self._by_command:
            self._process = _Command(self.folder, self.log_file, environment, self._command)
        else:
            self._process = processes.start(
                "app.cli", *self._command, folder=self.folder, log=self.log_file, environment=environment
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running:
            if self._command == ("worker",) and _WORKS in self.log()[logged:]:
                return
            _, found, rest = self.log()[logged:].partition(_RUNNING)
            if found and "\n" in rest:
                self._port = int(rest.split()[0].rpartition(":")[2])
                httpx.get(f"{self.url}/health", timeout=START_SECONDS).raise_for_status()
                return
            time.sleep(0.02)
        raise ServiceDied(f"the service did not start:\n{self.log()[logged:][-4000:]}")

    def give(self, variables: Mapping[str, str]) -> None:
        """Have more variables in the environment of the next start."""
        self._environment |= variables

    def forget(self, variable: str) -> None:
        """Take a variable out of the environment of the next start."""
        self._environment.pop(variable, None)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP."""
        os.kill(self.pid, number)

    def wait_ended(self) -> None:
        """Return when it has ended by itself. Raises `AssertionError` when it does not."""
        assert self._process is not None
        self._process.join(STOP_SECONDS)
        assert not self._process.is_alive()

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
        process, self._process = self._process, None
        if process is None or process.pid is None or not process.is_alive():
            return
        os.kill(process.pid, number)
        process.join(STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join(STOP_SECONDS)


class _Command:
    """The service as a user starts it, with the methods of a `multiprocessing` process."""

    def __init__(self, folder: Path, log: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "app.cli", *arguments]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()

    def join(self, timeout: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
