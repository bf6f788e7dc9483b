"""Reads hostile text in a process of its own, with a deadline: what is slow or crashes there costs nothing else.

Parsers in C and patterns over megabytes can hold the interpreter for seconds, or end it. The process has none of the
service's environment, and one call at a time; it ends with the service, or when it has had nothing to do for long.
"""

import asyncio
import hashlib
import os
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, ParamSpec, TypeVar

import pydantic

from app.workspace.reader import MAX_ANSWER, READY, answer_of, read_frame, write_frame
from app.workspace.workspace_errors import WorkspaceError

P = ParamSpec("P")
R = TypeVar("R")

READ_SECONDS = 20.0
"""For one call."""
START_SECONDS = 60.0
MAX_REMEMBERED = 1_000
_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL")
"""Of the service's environment: no secret is in these."""


class Unreadable(WorkspaceError):
    """A text was too slow to read, or ended the process that read it. It is not tried again."""


class ReadingProcess:
    """One process that reads, started by the first call. Calls wait for each other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "reading")
        self._process: subprocess.Popen[bytes] | None = None
        self._fatal: OrderedDict[bytes, str] = OrderedDict()
        """What ended the process before, by digest, and how."""

    async def call(self, seconds: float, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a function returns; it is pure, of a module, and its return type is one that pydantic knows.

        Raises `Unreadable` where that takes longer than `seconds`, or fails in any way.
        """
        request = pickle.dumps((function, args, kwargs))
        loop = asyncio.get_running_loop()
        payload = await loop.run_in_executor(self._thread, self._ask, request, seconds)
        try:
            return answer_of(function).validate_json(payload)
        except pydantic.ValidationError as error:
            raise Unreadable("the reading process gave no answer of the expected form") from error

    async def close(self) -> None:
        """End the process; the next call would start another."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, request: bytes, seconds: float) -> bytes:
        digest = hashlib.sha256(request).digest()
        if (known := self._fatal.get(digest)) is not None:
            raise Unreadable(known)
        for _ in range(2):  # it may just have ended by itself
            process, pipes = self._started()
            slow = threading.Event()
            answer = _exchange(process, pipes, request, seconds, slow)
            if answer is not None:
                break
            ended = process.wait()
            self._end()
            if slow.is_set() or ended != 0:
                why = f"it is not read within {seconds:g} s" if slow.is_set() else "reading it ends the process"
                self._remember(digest, why)
                raise Unreadable(why)
        else:
            raise Unreadable("the reading process does not answer")
        if answer[:1] != b"+":
            raise Unreadable(answer[1:].decode(errors="replace"))
        return answer[1:]

    def _remember(self, digest: bytes, why: str) -> None:
        self._fatal[digest] = why
        if len(self._fatal) > MAX_REMEMBERED:
            self._fatal.popitem(last=False)

    def _started(self) -> tuple[subprocess.Popen[bytes], tuple[IO[bytes], IO[bytes]]]:
        process = self._process
        if process is None or process.poll() is not None:
            self._end()
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.workspace.reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env=_environment(),
            )
            ready = _exchange(process, _pipes(process), None, START_SECONDS, threading.Event())
            if ready != READY:
                self._end()
                raise Unreadable("the reading process does not start")
        return process, _pipes(process)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = [str(Path(__file__).parents[2]), *kept.get("PYTHONPATH", "").split(os.pathsep)]
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _exchange(
    process: subprocess.Popen[bytes],
    pipes: tuple[IO[bytes], IO[bytes]],
    request: bytes | None,
    seconds: float,
    slow: threading.Event,
) -> bytes | None:
    """Send a request, and wait for the answer; None where the process ends first. `slow` is set at the deadline."""

    def end() -> None:
        slow.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        if request is not None:
            write_frame(pipes[0], request)
        return read_frame(pipes[1], MAX_ANSWER)
    except OSError:
        return None
    finally:
        timer.cancel()


_reading = ReadingProcess()


async def read_apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of hostile text in the reading process. Raises `Unreadable`."""
    return await _reading.call(READ_SECONDS, function, *args, **kwargs)


async def close() -> None:
    """End the reading process."""
    await _reading.close()
