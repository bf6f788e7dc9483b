"""The process that reads hostile text: `python -m app.workspace.reader`. Requests and answers are frames on its pipes.

A request is a pickle of the service, an answer is JSON: what hostile text may have made of this process is not trusted.
"""

import contextlib
import pickle
import resource
import select
import signal
import struct
import sys
import typing
from collections.abc import Callable
from functools import cache
from typing import IO, Any

import pydantic

MAX_ANSWER = 50_000_000
"""Bytes."""
MAX_MEMORY = 2 * 1024**3
"""Bytes of address space."""
IDLE_SECONDS = 300.0
"""After so long without a request, the process ends: the next call starts another."""
LONGEST_SECONDS = 120
"""No request takes longer, also where the service that sent it is gone."""
MAX_ERROR = 300
READY = b"ready"
_LENGTH = struct.Struct(">Q")


@cache
def answer_of(function: Callable[..., Any]) -> pydantic.TypeAdapter[Any]:
    """The form of what a function returns."""
    return pydantic.TypeAdapter(typing.get_type_hints(function)["return"])


def write_frame(pipe: IO[bytes], payload: bytes) -> None:
    """Write a length and so many bytes. Raises `OSError` where they are not read."""
    pipe.write(_LENGTH.pack(len(payload)))
    pipe.write(payload)
    pipe.flush()


def read_frame(pipe: IO[bytes], limit: int | None = None) -> bytes | None:
    """What `write_frame` wrote; None at the end of the pipe. Raises `OSError` for a frame over `limit` bytes."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if limit is not None and length > limit:
        raise OSError(f"a frame of {length} bytes")
    payload = pipe.read(length)
    return payload if len(payload) == length else None


def _answer(request: bytes) -> bytes:
    try:
        function, args, kwargs = pickle.loads(request)  # noqa: S301 - the service's own
        return b"+" + answer_of(function).dump_json(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - what a text does to its reader is the answer
        return b"-" + f"{type(error).__name__}: {error}"[:MAX_ERROR].encode(errors="replace")


def main() -> None:
    """Answer requests until there are none any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all processes of the service: it ends with its pipe
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(BrokenPipeError):
        write_frame(answers, READY)
        while select.select([requests], [], [], IDLE_SECONDS)[0]:
            request = read_frame(requests)
            if request is None:
                break
            signal.alarm(LONGEST_SECONDS)
            answer = _answer(request)
            signal.alarm(0)
            write_frame(answers, answer)


if __name__ == "__main__":
    main()
