"""Names of workflows, as the workflow engine records them."""

from typing import Final

DELIVERY: Final = "delivery"
"""It acts on a delivery, whose id is its own."""
RUN: Final = "run"
"""It leads a run, whose id is its own."""
STARTED_DIRECTLY: Final = (
    RUN,
    "end_stranded",
    "reconsider_promotion",
    "audit_posted_patch",
)
"""Workflows that are no part of another one, except deliveries."""
