"""What phases of one kind have cost so far."""

from app.domain.frozen import Frozen

FEWEST = 3
"""Phases that there must be before a mean says anything."""


class PhaseCost(Frozen):
    """The mean of the newest phases of one category and complexity that were completed."""

    phases: int
    tokens: int
    usd: float | None
    """None where no price is known."""
