"""What a person or a client asks of a run, and the answer: the same for comments, the REST API and the command line."""

import hashlib
from datetime import timedelta

from app.domain.commands import CommandName
from app.domain.frozen import Frozen
from app.domain.strategy import RunOptions

PAUSED_AT_MOST = timedelta(days=14)
"""After that a paused run is cancelled, since a run ends without a person."""


class SteerRequest(Frozen):
    """A command for one run."""

    command: CommandName
    by: str
    """The person's login, or what gave the command instead."""
    by_id: int = 0
    phase_id: str = ""
    text: str = ""
    options: RunOptions = RunOptions()
    source_id: int
    """GitHub's id of the comment, or a number of its own: the same one twice is done once."""
    url: str = ""
    """Where it was said."""


class SteerAnswer(Frozen):
    """The answer, with commands between backquotes. Where it is not `done`, nothing has changed."""

    message: str
    done: bool
    starts: str = ""
    """The run that begins by it."""


def number_of(seed: str) -> int:
    """A number for a request that no comment of its own makes: the same seed, the same number."""
    return int(hashlib.sha256(seed.encode(errors="replace")).hexdigest()[:12], 16)


def refused(message: str) -> SteerAnswer:
    return SteerAnswer(message=message, done=False)


def done(message: str) -> SteerAnswer:
    return SteerAnswer(message=message, done=True)
