"""Calls whose refusal ends nothing: they show something on GitHub, while the work goes on without them."""

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from app.github.client import Repo
from app.github.github_errors import GitHubRefused

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[Concatenate[Repo, P], Awaitable[R]]

log = logging.getLogger(__name__)


def optional(what: str) -> Callable[[Call[P, R]], Call[P, R | None]]:
    """Mark a function as one that only shows `what`: a refusal of GitHub is logged, and None returned.

    `GitHubUnavailable` leaves it: the caller decides how long to try again.
    """

    def mark(function: Call[P, R]) -> Call[P, R | None]:
        @functools.wraps(function)
        async def shown(repo: Repo, *args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return await function(repo, *args, **kwargs)
            except GitHubRefused as refusal:
                log.warning("%s: %s is left out: %s", repo.full_name, what, refusal)
                return None

        return shown

    return mark
