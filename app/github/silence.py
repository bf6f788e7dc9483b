"""What GitHub does not take for now: for some time it is not tried again, so that an outage does not slow the work."""

import time

SECONDS = 60.0


class Silence:
    """Kinds of texts by repository, each with the time (monotonic seconds) until which it is owed untried, and why."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], tuple[float, str]] = {}

    def begin(self, repository: str, what: str, why: str, seconds: float | None) -> None:
        """Do not try texts of this kind there for so long (a minute, where GitHub names no time)."""
        self._until[repository, what] = (time.monotonic() + (SECONDS if seconds is None else seconds), why)

    def of(self, repository: str, what: str) -> str | None:
        """Why texts of this kind are not tried there now; None when they are."""
        until, why = self._until.get((repository, what), (0.0, ""))
        if until > time.monotonic():
            return why
        self._until.pop((repository, what), None)
        return None

    def end(self) -> None:
        """Try everything again."""
        self._until.clear()
