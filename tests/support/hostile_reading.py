"""What hostile text may make of a process that reads it."""

import os
import signal


def echo(text: str) -> str:
    """Well-behaved."""
    return text


def spin(text: str) -> str:
    """Too slow."""
    while True:
        text = text[::-1]


def crash(text: str) -> str:
    """As a fault in a parser written in C."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return text


def eat(text: str) -> str:
    """Too large."""
    return str(len(bytearray(8 * 1024**3))) + text


def get_pid() -> int:
    """Of the process that reads."""
    return os.getpid()


def leave() -> int:
    """Ends the process as if nothing were wrong."""
    os._exit(0)


def lie() -> int:
    """Answers in another form than it says."""
    return "no number"  # pyright: ignore[reportReturnType]


def look_around() -> dict[str, str]:
    """Looks for secrets."""
    return dict(os.environ)
