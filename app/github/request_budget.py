"""What each installation has left of GitHub's hourly limit, a share of which is kept for people's commands.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from app.github.github_errors import GitHubUnavailable

KEPT_SHARE = 0.1
"""Of the limit: runs leave it to people's commands."""


class RequestsSpent(GitHubUnavailable):
    """Runs have used up their share of the installation's requests until its hour ends."""


@dataclass(frozen=True, slots=True)
class _Left:
    requests: int
    limit: int
    reset: float
    """Seconds since the epoch."""


class RequestBudget:
    """By installation, as the newest answer of GitHub told it."""

    def __init__(self) -> None:
        self._left: dict[int, _Left] = {}

    def note(self, installation_id: int, headers: Mapping[str, str]) -> None:
        """Read the limit from an answer's headers; those of other limits, such as GraphQL's, say nothing here."""
        if headers.get("x-ratelimit-resource", "core") != "core":
            return
        try:
            requests, limit = int(headers["x-ratelimit-remaining"]), int(headers["x-ratelimit-limit"])
            self._left[installation_id] = _Left(requests, limit, float(headers["x-ratelimit-reset"]))
        except (KeyError, ValueError):
            return  # GitHub Enterprise Server has no limit unless it is turned on

    def require(self, installation_id: int) -> None:
        """Raise `RequestsSpent` while no more is left than what is kept for people."""
        left = self._left.get(installation_id)
        if left is None or left.requests > left.limit * KEPT_SHARE or left.reset <= time.time():
            return
        at = time.strftime("%H:%M UTC", time.gmtime(left.reset))
        reason = f"the installation has {left.requests} of {left.limit} requests left until {at}, kept for commands"
        raise RequestsSpent(reason, max(1.0, left.reset - time.time()))

    def fewest(self) -> int | None:
        """The requests left where fewest are; None before GitHub told any."""
        now = time.time()
        return min((one.requests if one.reset > now else one.limit for one in self._left.values()), default=None)
