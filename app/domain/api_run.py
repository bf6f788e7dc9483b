"""What the REST API shows of a run, its tiers and phases."""

from datetime import datetime
from typing import Any

from pydantic import Field

from app.domain.findings import Severity, Side
from app.domain.frozen import Frozen
from app.domain.outcome import Outcome
from app.domain.requested_change import RequestedChange
from app.domain.states import PhaseState, RunState, TierState


class OpenFinding(Frozen):
    """A problem of a phase that is not settled, with its place where it has one."""

    issue_key: str
    severity: Severity
    source: str
    category: str
    problem: str
    path: str | None
    start_line: int | None
    line: int | None
    side: Side
    replacement: str | None


class FailedJobs(Frozen):
    """The CI jobs that failed on a phase's newest commit."""

    log: str
    """Trimmed to the failure, 6,000 characters at most."""
    url: str | None
    """The page of the first one."""


class PhaseCard(Frozen):
    """A phase as stored, with its sums."""

    id: int
    """Its number in the run, from 1."""
    run_id: str
    phase_id: str
    tier_id: str
    phase_index: int
    name: str
    description: str
    state: PhaseState
    task_category: str
    complexity: str
    builder_mode: str
    builder_attempts: int
    auditor_attempts: int
    max_builder_attempts: int
    max_auditor_attempts: int
    tokens_used: int
    token_cap: int
    ci_runs_used: int
    minor_issues_count: int
    major_issues_count: int
    head_sha: str | None
    """The phase's newest commit on the run's branch."""
    snapshot: bool
    """Whether that commit is green and audited, which makes it a snapshot."""
    awaiting: str
    """What an externally built phase waits for: `audit`, `work` (the push, or CI), or nothing."""
    note: str
    acceptance_criteria: list[str]
    expected_paths: list[str]
    open_findings: list[OpenFinding]
    failed_jobs: FailedJobs | None


class TierCard(Frozen):
    id: int
    tier_id: str
    name: str
    description: str
    state: TierState
    tier_index: int
    cleanliness: str
    """`clean`, or `not_clean` when an issue cap of the tier is crossed."""
    minor_issues_count: int
    major_issues_count: int
    tokens_used: int
    token_cap: int
    phases: list[PhaseCard]


class FollowingRun(Frozen):
    """A run of the same plan, which was too long for one."""

    run_id: str
    part: int
    phase_ids: list[str]


class RunCard(Frozen):
    """A run with its tiers and phases."""

    id: str
    run_id: str
    state: RunState
    project_id: str
    repository: str | None
    installation_id: int = Field(exclude=True)
    base_branch: str | None
    issue_number: int | None
    builder: str
    safety_profile: str
    run_scope: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    tokens_used: int
    token_cap: int
    max_phases: int | None
    max_duration_minutes: float | None
    active_minutes: float
    ci_runs_used: int
    minor_issues_count: int
    major_issues_count: int
    promotion_eligible_to_main: bool
    promotion_blockers: list[str]
    debt_status: str | None
    failure_reason: str | None
    reason: str
    """Why it waits, or how it ended."""
    outcome: Outcome
    """What GitHub's pages say of the run, as values."""
    branch: str
    head_sha: str | None
    pull_number: int | None
    part: int
    parts: int
    follows: str | None
    requests: list[RequestedChange]
    """What people ask for in reviews, comments and commands, with the answers."""
    linked_runs: list[FollowingRun]
    """The runs that follow this one."""
    strategy: dict[str, Any] | None
    """The frozen rules of the run; null until there is a plan."""
    tiers: list[TierCard]
