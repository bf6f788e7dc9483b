"""Webhooks that go wrong on their way, one by one: lost without a trace, sent twice, or overtaken by the next.

GitHub promises neither once nor order: https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["lost", "doubled", "swapped"]
HOLD_SECONDS = 1.0
"""How long a delivery waits to be overtaken: the next may come only because of this one."""


@dataclass
class Disturbance:
    """What happens to the deliveries of a repository; `number` counts from 0 and names one, None all."""

    kind: Kind
    number: int | None
    seen: int = 0

    def meets(self) -> bool:
        """Whether it happens to the delivery that comes now."""
        number, self.seen = self.seen, self.seen + 1
        return self.number in (None, number)


@dataclass
class Disturbances:
    """By the id of the repository. Safe between threads."""

    _of: dict[int, Disturbance] = field(default_factory=dict[int, Disturbance])
    _held: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def set(self, repo_id: int, kind: Kind, number: int | None) -> None:
        with self._guard:
            self._of[repo_id] = Disturbance(kind, number)

    def meet(self, repo_id: int | None) -> Kind | None:
        """What happens to the delivery that comes now."""
        with self._guard:
            found = self._of.get(repo_id or 0)
            return found.kind if found is not None and found.meets() else None

    def hold(self, row_id: int, repo_id: int) -> None:
        """Keep a delivery back until the repository's next one is sent."""
        with self._guard:
            self._held[row_id] = repo_id, time.monotonic() + HOLD_SECONDS

    def let_go(self, overtaken_in: int | None = None) -> list[int]:
        """The deliveries that wait no longer: their time is over, or one of this repository was sent after them."""
        with self._guard:
            now = time.monotonic()
            free = [row for row, (repo, until) in self._held.items() if until < now or repo == overtaken_in]
            for row in free:
                del self._held[row]
            return free
