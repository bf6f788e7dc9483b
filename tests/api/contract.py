"""The answers that existing clients read, field by field and strict in their types. More fields may be there."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

RunStateName = Literal[
    "PLAN_BOOTSTRAP",
    "RUN_CREATED",
    "PHASE_QUEUEING",
    "PHASE_EXECUTION",
    "GATE",
    "CI_RUNNING",
    "SNAPSHOT_CREATED",
    "DONE_SUCCESS",
    "DONE_FAILED_BUDGET_EXHAUSTED",
    "DONE_FAILED_POLICY_VIOLATION",
    "DONE_FAILED_REQUIRES_HUMAN_REVIEW",
    "DONE_FAILED_ENVIRONMENT",
    "DONE_CANCELLED",
]
TierStateName = Literal["PENDING", "RUNNING", "COMPLETE", "NOT_CLEAN", "BLOCKED"]
PhaseStateName = Literal["QUEUED", "EXECUTING", "GATE", "COMPLETE", "RETRY", "FAILED", "SKIPPED"]
SeverityName = Literal["minor", "major"]


def _with_zone(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


Time = Annotated[datetime, AfterValidator(_with_zone)]


class Answer(BaseModel):
    model_config = ConfigDict(strict=True)


class Health(Answer):
    status: Literal["healthy"]


class PhaseOfRun(Answer):
    id: int
    phase_id: str
    name: str
    state: PhaseStateName
    task_category: str
    complexity: str
    builder_mode: str
    phase_index: int


class TierOfRun(Answer):
    id: int
    tier_id: str
    name: str
    state: TierStateName
    tier_index: int
    cleanliness: str
    minor_issues_count: int
    major_issues_count: int
    phases: list[PhaseOfRun]


class Run(Answer):
    id: str
    run_id: str
    state: RunStateName
    safety_profile: str
    run_scope: str
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    tokens_used: int
    ci_runs_used: int
    minor_issues_count: int
    major_issues_count: int
    promotion_eligible_to_main: bool
    debt_status: str | None
    failure_reason: str | None
    tiers: list[TierOfRun]


class PhaseIssue(Answer):
    issue_key: str
    severity: SeverityName
    effective_severity: SeverityName
    source: str
    category: str
    task_category: str
    complexity: str
    expected_fail: bool
    occurrence_count: int
    first_seen_run: str
    last_seen_run: str
    evidence_refs: list[str]


class PhaseFile(Answer):
    phase_id: str
    tier_id: str
    issues: list[PhaseIssue]
    minor_issue_count: int
    major_issue_count: int
    issue_state: Literal["no_issues", "has_minor_issues", "has_major_issues"]


class IndexEntry(Answer):
    category: str
    severity: SeverityName
    effective_severity: SeverityName
    first_phase_index: int
    last_phase_index: int
    occurrence_count: int
    seen_in_tiers: list[str]
    seen_in_phases: list[str]


class BacklogEntry(Answer):
    category: str
    base_severity: SeverityName
    age_in_runs: int
    age_in_tiers: int
    first_seen_run_id: str
    last_seen_run_id: str
    last_seen_at: Time
    seen_in_tiers: list[str]
    status: Literal["open", "needs_cleanup", "resolved"]


class RecordedIssue(Answer):
    message: str
    phase_file: PhaseFile
    run_index_entry: IndexEntry
    project_backlog_entry: BacklogEntry


class Index(Answer):
    run_id: str
    issues_by_key: dict[str, IndexEntry]


class Backlog(Answer):
    project_id: str
    issues_by_key: dict[str, BacklogEntry]


class UpdatedPhase(Answer):
    message: str
    phase: PhaseOfRun


class BuilderReceipt(Answer):
    message: str
    commit_sha: str | None
    phase_state: PhaseStateName


class AuditRequestReceipt(Answer):
    message: str
    review_focus: str
    auditor_profile: str | None


class AuditReceipt(Answer):
    message: str
    recommendation: Literal["approve", "revise", "escalate"]
    patches_applied: int
    commit_shas: list[str]
    phase_state: PhaseStateName


class IntegrationStatus(Answer):
    branch: str
    exists: Literal[False]
    message: str


class RunMetrics(Answer):
    run_id: str
    state: RunStateName
    safety_profile: str
    tokens_used: int
    token_cap: int
    token_utilization: float
    minor_issues_count: int
    major_issues_count: int
    max_minor_issues_total: int
    phase_count: int
    tier_count: int
    started_at: Time | None
    completed_at: Time | None


class RunsMetrics(Answer):
    total_runs: int
    runs: list[RunMetrics]


class TierMetrics(Answer):
    tier_id: str
    tier_index: int
    name: str
    state: TierStateName
    minor_issues_count: int
    major_issues_count: int
    phase_count: int
    phase_states: dict[PhaseStateName, int]
    tokens_used: int


class TiersMetrics(Answer):
    run_id: str
    tier_count: int
    tiers: list[TierMetrics]


class AgingIssue(Answer):
    issue_key: str
    base_severity: SeverityName
    age_in_runs: int
    age_in_tiers: int
    status: Literal["open", "needs_cleanup", "resolved"]
    seen_in_tiers: list[str]
    first_seen_run_id: str
    last_seen_run_id: str


class BacklogSummary(Answer):
    total_issues: int
    open_count: int
    needs_cleanup_count: int
    top_aging_issues: list[tuple[str, BacklogEntry]]
    needs_cleanup: list[AgingIssue]


class BudgetFailure(RunMetrics):
    max_phases: int


class BudgetAnalysis(Answer):
    total_budget_failures: int
    average_token_utilization: float
    failures: list[BudgetFailure]


class Budgets(Answer):
    tokens_used: int
    token_cap: int
    token_utilization: float
    phase_count: int
    max_phases: int


class IssueCounts(Answer):
    minor_count: int
    major_count: int
    max_minor_total: int
    distinct_issues: int


class TierSummary(Answer):
    tier_id: str
    name: str
    state: TierStateName
    phase_count: int
    minor_issues: int
    major_issues: int
    tokens_used: int


class PhaseSummary(Answer):
    phase_id: str
    phase_index: int
    name: str
    state: PhaseStateName
    task_category: str
    complexity: str
    builder_attempts: int
    auditor_attempts: int
    tokens_used: int
    minor_issues: int
    major_issues: int


class RunSummary(Answer):
    run_id: str
    state: RunStateName
    safety_profile: str
    run_scope: str
    budgets: Budgets
    issues: IssueCounts
    tiers: list[TierSummary]
    phases: list[PhaseSummary]
    started_at: Time | None
    completed_at: Time | None
