"""The backlog of a project: issues over all its runs, how they age, and when they need a clean-up."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from app.domain.findings import Severity


class BacklogStatus(StrEnum):
    OPEN = "open"
    NEEDS_CLEANUP = "needs_cleanup"
    """Aged past the threshold: it counts as major, and the next run of the project gets a phase that mends it."""
    RESOLVED = "resolved"


class BacklogEntry(BaseModel):
    """One issue of a project. Ages are counts of distinct runs and tiers that left it open."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    issue_key: str
    category: str
    base_severity: Severity
    task_category: str = ""
    complexity: str = ""
    problem: str = ""
    status: BacklogStatus
    occurrences: int = 0
    age_in_runs: int
    age_in_tiers: int
    seen_in_tiers: tuple[str, ...]
    first_seen_run_id: str
    last_seen_run_id: str
    last_seen_at: datetime
    resolved_by_run_id: str | None = None

    @property
    def effective_severity(self) -> Severity:
        return Severity.MAJOR if self.status is BacklogStatus.NEEDS_CLEANUP else self.base_severity
