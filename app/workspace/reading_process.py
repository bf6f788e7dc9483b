"""Reads hostile text in a process of its own, with a deadline: what is slow or crashes there costs nothing else.

Parsers in C and patterns over megabytes can hold the interpreter for seconds, or end it. The process has none of the
service's environment, and one call at a time; it ends with the service, or when it has had nothing to do for long.
"""

import asyncio
import contextlib
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
from typing import NoReturn, ParamSpec, TypeVar

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
            process = self._started()
            try:
                answer = _exchange(process, request, seconds)
            except TimeoutError:
                self._give_up(digest, f"it is not read within {seconds:g} s")
            if answer is not None:
                break
            if process.wait() != 0:
                self._give_up(digest, "reading it ends the process")
        else:
            raise Unreadable("the reading process does not answer")
        if answer[:1] != b"+":
            raise Unreadable(answer[1:].decode(errors="replace"))
        return answer[1:]

    def _give_up(self, digest: bytes, why: str) -> NoReturn:
        self._end()
        self._fatal[digest] = why
        if len(self._fatal) > MAX_REMEMBERED:
            self._fatal.popitem(last=False)
        raise Unreadable(why)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.workspace.reader"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env=_environment(),
            )
            with contextlib.suppress(TimeoutError):
                if _exchange(self._process, None, START_SECONDS) == READY:
                    return self._process
            self._end()
            raise Unreadable("the reading process does not start")
        return self._process


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = [str(Path(__file__).parents[2]), *kept.get("PYTHONPATH", "").split(os.pathsep)]
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _exchange(process: subprocess.Popen[bytes], request: bytes | None, seconds: float) -> bytes | None:
    """Send a request, and wait for the answer; None where the process ends first.

    Raises `TimeoutError`, once the process is killed, where that takes longer than `seconds`.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    answer = None
    try:
        with contextlib.suppress(OSError):  # it has ended
            if request is not None:
                write_frame(process.stdin, request)
            answer = read_frame(process.stdout, MAX_ANSWER)
    finally:
        timer.cancel()
    if answer is None and late.is_set():
        raise TimeoutError
    return answer


_reading = ReadingProcess()


async def read_apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of hostile text in the reading process. Raises `Unreadable`."""
    return await _reading.call(READ_SECONDS, function, *args, **kwargs)


async def close() -> None:
    """End the reading process."""
    await _reading.close()
