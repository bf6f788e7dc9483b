"""Whether a Builder repeats itself: the same patch, or the same failure, time after time."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from app.domain.findings import Finding
from app.domain.frozen import Frozen


class AttemptRecord(Frozen):
    """What an attempt that did not pass came to, as digests: its patch, and what was wrong with it."""

    patch: str
    failure: str

    @classmethod
    def of(cls, diff: str, findings: Iterable[Finding], note: str) -> "AttemptRecord":
        """The failure is known by its findings, or where there are none by the note on it."""
        failure = "\n".join(sorted({finding.fingerprint for finding in findings})) or note
        return cls(patch=_digest(diff), failure=_digest(failure))


def find_repetition(tries: Sequence[AttemptRecord], times: int) -> str | None:
    """What came up `times` times or more, in words; None while nothing did."""
    for kind, digests in (("patch", [one.patch for one in tries]), ("failure", [one.failure for one in tries])):
        most = max(Counter(digests).values(), default=0)
        if most >= times:
            return f"the same {kind} {most} times"
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
