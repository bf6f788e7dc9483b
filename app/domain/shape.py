"""What a test function does, in any language."""

from app.domain.frozen import Frozen

MAX_PARSED = 400_000
"""Characters of a file that is parsed; larger ones are read line by line."""


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

    @property
    def exact(self) -> int:
        """Assertions that say which value is right."""
        return self.assertions - self.constant - self.weak


def add_shape(shapes: dict[str, TestShape], name: str, shape: TestShape) -> None:
    """Add a test; a further one of the same name gets a number."""
    number, key = 1, name
    while key in shapes:
        number += 1
        key = f"{name} ({number})"
    shapes[key] = shape
