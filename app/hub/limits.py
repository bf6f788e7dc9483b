"""The primary rate limit of installations, and conditional requests, which count only when something has changed.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import hashlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from app.hub.github_problems import Refusal

HOUR = 3600.0


@dataclass(frozen=True)
class Asked:
    """A request of an installation. A 304 does not count."""

    method: str
    path: str
    status: int


@dataclass
class RateLimits:
    """How many requests each installation has left until its hour ends."""

    an_hour: int = 5_000
    asked: list[Asked] = field(default_factory=list[Asked])
    _used: Counter[int] = field(default_factory=Counter[int])
    _reset: dict[int, float] = field(default_factory=dict[int, float])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require(self, installation_id: int) -> None:
        """Refuse a request beyond the limit, in GitHub's words."""
        with self._lock:
            if self._reset.get(installation_id, 0.0) <= time.time():
                self._used[installation_id] = 0
                self._reset[installation_id] = time.time() + HOUR
            spent = self._used[installation_id] >= self.an_hour
        if spent:
            message = f"API rate limit exceeded for installation ID {installation_id}."
            raise Refusal(403, message, headers=self._headers(installation_id))

    def note(self, installation_id: int, asked: Asked) -> dict[str, str]:
        """Count an answered request; the headers that tell how many are left."""
        with self._lock:
            self.asked.append(asked)
            self._used[installation_id] += asked.status != 304
        return self._headers(installation_id)

    def use_up(self, installation_id: int, left: int, seconds: float = HOUR) -> None:
        """Leave so many requests for so long."""
        with self._lock:
            self._used[installation_id] = self.an_hour - left
            self._reset[installation_id] = time.time() + seconds

    def _headers(self, installation_id: int) -> dict[str, str]:
        used = min(self._used[installation_id], self.an_hour)
        return {
            "X-RateLimit-Limit": str(self.an_hour),
            "X-RateLimit-Remaining": str(self.an_hour - used),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Reset": str(int(self._reset[installation_id]) + 1),
            "X-RateLimit-Resource": "core",
        }


def entity_tag(body: bytes) -> str:
    """The weak tag of an answer's text."""
    return f'W/"{hashlib.sha256(body).hexdigest()}"'
