"""Calls that only tell something on GitHub: comments, reviews, checks, threads, reactions, labels, pull request texts.

The work never depends on them, so they raise nothing of GitHub's: what is not told is returned as `Untold`, and the
caller decides whether to owe it. All other calls are work, and raise.
"""

import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Concatenate, ParamSpec, TypeVar

from app.github.client import Repo
from app.github.github_errors import GitHubRefused, GitHubUnavailable

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[Concatenate[Repo, P], Awaitable[R]]

TRIES = 4
TOTAL_SECONDS = 10.0
"""So often and so long a request that only tells something is tried while the work waits for it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Untold:
    """What GitHub does not show, in words, and why."""

    what: str
    cause: GitHubRefused | GitHubUnavailable

    @property
    def for_now(self) -> bool:
        """Whether it may be told later: an outage or a rate limit, and no refusal."""
        return isinstance(self.cause, GitHubUnavailable)

    def __str__(self) -> str:
        return f"{self.what} is {'owed' if self.for_now else 'left out'}: {self.cause}"


def told(result: R | Untold) -> R:
    """What a telling came to. Raises the cause where it came to nothing."""
    if isinstance(result, Untold):
        raise result.cause
    return result


def telling(what: str) -> Callable[[Call[P, R]], Call[P, R | Untold]]:
    """Mark a function as one that only tells `what`. It returns `Untold`, which is logged, instead of raising."""

    def mark(function: Call[P, R]) -> Call[P, R | Untold]:
        @functools.wraps(function)
        async def told(repo: Repo, *args: P.args, **kwargs: P.kwargs) -> R | Untold:
            if (why := repo.app.silence.of(repo.full_name, what)) is not None:
                return Untold(what, GitHubUnavailable(why))
            try:
                return await function(_impatient(repo), *args, **kwargs)
            except GitHubRefused as refusal:
                untold = Untold(what, refusal)
            except GitHubUnavailable as trouble:
                untold = Untold(what, trouble)
                repo.app.silence.begin(repo.full_name, what, trouble.reason, trouble.retry_after)
            log.warning("%s: %s", repo.full_name, untold)
            return untold

        return told

    return mark


def _impatient(repo: Repo) -> Repo:
    return replace(repo, patience=replace(repo.patience, total=min(repo.patience.total, TOTAL_SECONDS), tries=TRIES))
