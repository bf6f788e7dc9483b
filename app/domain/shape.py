"""What a test function does, in any language."""

import hashlib
from typing import NamedTuple

from app.domain.frozen import Frozen

MAX_PARSED = 400_000
"""Characters of a file that is parsed; larger ones are read line by line."""

HELPER_DEPTH = 2
"""How far calls are followed to functions of the same file that assert."""


class TestShape(Frozen):
    """What a test function does, of which only what is reached counts."""

    __test__ = False

    assertions: int
    constant: int = 0
    """Of them, those that are true in every case."""
    weak: int = 0
    """Of them, those that hold for nearly any value: that there is one, or that it is true."""
    cases: int = 0
    """The sets of values with which it runs, where they are listed; else 0."""
    skipped: bool
    empty: bool
    body: str = ""
    """The digest of its body, by which a test with a new name is known; empty where it has none."""

    @property
    def exact(self) -> int:
        """Assertions that say which value is right."""
        return self.assertions - self.constant - self.weak


class NamedShape(NamedTuple):
    """A test of a file: its name, which others may have too, and what it does."""

    name: str
    shape: TestShape


def digest_of(body: str) -> str:
    """The digest of a test's body."""
    return hashlib.sha256(body.encode(errors="replace")).hexdigest()[:16]
