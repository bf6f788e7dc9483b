"""What is reported of runs: figures of one or many, as read from the database. Tokens; money in US dollars."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer, computed_field

from app.domain.aging import BacklogStatus
from app.domain.budget import Exhausted, Kind, Scope
from app.domain.findings import Severity
from app.domain.frozen import Frozen
from app.domain.states import PhaseState, RunState, TierState

Money = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""US dollars; a number in JSON."""
_EXHAUSTED = Exhausted(scope=Scope.PHASE, name="P1.1", kind=Kind.TOKENS, limit=500_000, used=480_000, needs=30_000)


def share(part: float, whole: float) -> float:
    """`part` of `whole`, from 0 on, to four places; 0 of nothing."""
    return round(part / whole, 4) if whole > 0 else 0.0


class Report(Frozen):
    """Base of every report."""


class RunMetrics(Report):
    """One run in figures."""

    run_id: str = Field(examples=["run-001"])
    project_id: str = Field(examples=["acme/widgets"])
    state: RunState = Field(examples=[RunState.DONE_SUCCESS])
    safety_profile: str = Field(examples=["normal"])
    run_scope: str = Field(examples=["multi_tier"])
    engine: str = Field(examples=["autopack"])
    tokens_used: int = Field(examples=[1_250_000])
    token_cap: int = Field(examples=[5_000_000])
    cost_usd: Money | None = Field(examples=[4.21])
    """None where no call has a known price."""
    minor_issues_count: int = Field(examples=[3])
    major_issues_count: int = Field(examples=[0])
    max_minor_issues_total: int = Field(examples=[27])
    phase_count: int = Field(examples=[9])
    max_phases: int = Field(examples=[25])
    tier_count: int = Field(examples=[3])
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @computed_field(examples=[0.25])
    @property
    def token_utilization(self) -> float:
        """Share of the cap that was used: 1 is all of it."""
        return share(self.tokens_used, self.token_cap)


class TierMetrics(Report):
    """One tier in figures."""

    tier_id: str = Field(examples=["T1"])
    tier_index: int = Field(examples=[0])
    name: str = Field(examples=["Core Features"])
    state: TierState = Field(examples=[TierState.COMPLETE])
    minor_issues_count: int = Field(examples=[1])
    major_issues_count: int = Field(examples=[0])
    max_minor_issues: int | None = Field(default=None, examples=[6])
    phase_count: int = Field(examples=[3])
    phase_states: dict[PhaseState, int] = Field(examples=[{"COMPLETE": 2, "QUEUED": 1}])
    tokens_used: int = Field(examples=[420_000])
    token_cap: int | None = Field(default=None, examples=[4_500_000])
    """None while there is no strategy."""
    ci_runs: int = Field(default=0, examples=[3])
    max_ci_runs: int | None = Field(default=None, examples=[6])


class PhaseMetrics(Report):
    """One phase in figures."""

    phase_id: str = Field(examples=["P1.1"])
    phase_index: int = Field(examples=[0])
    tier_id: str = Field(examples=["T1"])
    name: str = Field(examples=["Implement user authentication"])
    state: PhaseState = Field(examples=[PhaseState.COMPLETE])
    task_category: str = Field(examples=["feature_scaffolding"])
    complexity: str = Field(examples=["medium"])
    builder_mode: str = Field(examples=["compose"])
    builder_attempts: int = Field(examples=[1])
    auditor_attempts: int = Field(examples=[1])
    ci_runs: int = Field(default=0, examples=[1])
    tokens_used: int = Field(examples=[140_000])
    token_cap: int | None = Field(default=None, examples=[500_000])
    minor_issues: int = Field(examples=[1])
    major_issues: int = Field(examples=[0])


class CapUse(Report):
    """One cap of a run and what counts towards it."""

    scope: Scope = Field(examples=[Scope.TIER])
    name: str = Field(examples=["T1"])
    kind: Kind = Field(examples=[Kind.TOKENS])
    used: int | float = Field(examples=[420_000])
    limit: int | float = Field(examples=[4_500_000])
    """Whole but for minutes."""

    @computed_field(examples=[0.0933])
    @property
    def utilization(self) -> float:
        return share(self.used, self.limit)


class RunBudgets(Report):
    """What a run may spend and has spent."""

    tokens_used: int = Field(examples=[1_250_000])
    token_cap: int = Field(examples=[5_000_000])
    token_utilization: float = Field(examples=[0.25])
    cost_usd: Money | None = Field(examples=[4.21])
    phase_count: int = Field(examples=[9])
    max_phases: int = Field(examples=[25])
    active_minutes: float = Field(examples=[31.5])
    """Of active work: waiting for CI or a person is not counted."""
    max_minutes: float | None = Field(examples=[120])
    ci_runs: int = Field(examples=[11])
    caps: tuple[CapUse, ...]
    """The run's own caps, then its tiers' and its phases'."""


class RunIssues(Report):
    """How many issues a run has; a key counts once, in however many places it was seen."""

    minor_count: int = Field(examples=[3])
    major_count: int = Field(examples=[0])
    max_minor_total: int = Field(examples=[27])
    distinct_issues: int = Field(examples=[4])
    """Fixed ones included."""


class TierSummary(Report):
    """A tier in the summary of its run."""

    tier_id: str = Field(examples=["T1"])
    tier_index: int = Field(examples=[0])
    name: str = Field(examples=["Core Features"])
    state: TierState = Field(examples=[TierState.COMPLETE])
    phase_count: int = Field(examples=[3])
    minor_issues: int = Field(examples=[1])
    major_issues: int = Field(examples=[0])
    tokens_used: int = Field(examples=[420_000])


class RunSummary(Report):
    """A run as a lead reads it: outcome, budgets, issues, tiers and phases."""

    run_id: str = Field(examples=["run-001"])
    project_id: str = Field(examples=["acme/widgets"])
    repository: str | None = Field(examples=["acme/widgets"])
    issue_number: int | None = Field(examples=[7])
    pull_number: int | None = Field(examples=[8])
    engine: str = Field(examples=["autopack"])
    state: RunState = Field(examples=[RunState.DONE_SUCCESS])
    safety_profile: str = Field(examples=["normal"])
    run_scope: str = Field(examples=["multi_tier"])
    reason: str = Field(examples=[""])
    """Why it waits, failed or was cancelled."""
    next_action: str = Field(examples=["Review and merge the pull request; merging is yours."])
    promotion_eligible: bool = Field(examples=[True])
    promotion_blockers: tuple[str, ...] = Field(examples=[()])
    """Why it may not be promoted; empty while it has not ended."""
    budgets: RunBudgets
    issues: RunIssues
    tiers: tuple[TierSummary, ...]
    phases: tuple[PhaseMetrics, ...]
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class BudgetFailure(RunMetrics):
    """A run that ended on a cap: which one, and where."""

    failure_reason: str | None = Field(examples=[_EXHAUSTED.reason])
    cap: Exhausted | None = Field(examples=[_EXHAUSTED])
    """None where the reason alone is known."""
    phase_id: str | None = Field(examples=["P1.1"])
    """The phase at which it ended, by the cap or by the work it bounded."""
    tier_id: str | None = Field(examples=["T1"])


class SliceSpending(Report):
    """What all phases of one category and complexity have spent, over all runs."""

    task_category: str = Field(examples=["security_auth_change"])
    complexity: str = Field(examples=["high"])
    phases: int = Field(examples=[4])
    completed: int = Field(examples=[3])
    builder_attempts: int = Field(examples=[7])
    tokens_used: int = Field(examples=[1_900_000])
    cost_usd: Money | None = Field(default=None, examples=[9.5])

    @computed_field(examples=[475_000])
    @property
    def tokens_per_phase(self) -> int:
        """On average."""
        return self.tokens_used // self.phases if self.phases else 0


class AuditedPhases(Report):
    """How phases with so many audits have ended. Those still under way are left out."""

    ended: int = Field(default=0, examples=[12])
    completed: int = Field(default=0, examples=[9])

    @computed_field(examples=[0.75])
    @property
    def completed_share(self) -> float:
        return share(self.completed, self.ended)


class AuditorTries(Report):
    """Whether another audit helps: phases sent back and audited again, against those with one audit."""

    one_audit: AuditedPhases
    several_audits: AuditedPhases

    @computed_field(examples=["Of phases audited more than once 75% completed, of those audited once 97%."])
    @property
    def verdict(self) -> str:
        if not self.several_audits.ended:
            return "No phase has been audited more than once yet."
        again, once = self.several_audits.completed_share, self.one_audit.completed_share
        beside = f"of those audited once {once:.0%}" if self.one_audit.ended else "none was audited just once"
        return f"Of phases audited more than once {again:.0%} completed, {beside}."


class BudgetAnalysis(Report):
    """Where budgets ran out, and what they went into."""

    total_budget_failures: int = Field(examples=[1])
    average_token_utilization: float = Field(examples=[0.87])
    """Of the runs that failed for their budget; 0 when there is none."""
    average_token_utilization_all_runs: float = Field(examples=[0.31])
    failures: list[BudgetFailure]
    """The newest first."""
    failures_by_cap: dict[str, int] = Field(examples=[{"phase tokens": 1}])
    """How many of `failures` ended on which kind of cap: scope and what it counts."""
    spending: list[SliceSpending]
    """What spent most first."""
    auditor_tries: AuditorTries


class AgingIssue(Report):
    """An issue of a project's backlog."""

    project_id: str = Field(examples=["acme/widgets"])
    issue_key: str = Field(examples=["test_failure__auth_missing"])
    category: str = Field(examples=["test_failure"])
    base_severity: Severity = Field(examples=[Severity.MINOR])
    effective_severity: Severity = Field(examples=[Severity.MAJOR])
    """Major for all that need a clean-up."""
    problem: str = Field(examples=["The token's audience is not checked."])
    age_in_runs: int = Field(examples=[3])
    age_in_tiers: int = Field(examples=[4])
    occurrences: int = Field(examples=[7])
    status: BacklogStatus = Field(examples=[BacklogStatus.NEEDS_CLEANUP])
    seen_in_tiers: tuple[str, ...] = Field(examples=[("T1", "T2")])
    first_seen_run_id: str = Field(examples=["run-001"])
    last_seen_run_id: str = Field(examples=["run-004"])
    last_seen_at: datetime


class BacklogSummary(Report):
    """The open issues of a project, or of all projects."""

    project_id: str | None = Field(examples=[None])
    """None: all projects. Issues of two projects are counted apart, also under the same key."""
    total_issues: int = Field(examples=[13])
    """Resolved ones included."""
    open_count: int = Field(examples=[8])
    needs_cleanup_count: int = Field(examples=[1])
    resolved_count: int = Field(examples=[4])
    top_aging_issues: list[tuple[str, AgingIssue]]
    """At most ten pairs of key and issue: those that most runs, then most tiers, have left; then the most frequent."""
    needs_cleanup: list[AgingIssue]
    """In the same order."""


def failures_by_cap(failures: Iterable[BudgetFailure]) -> dict[str, int]:
    """How many failures there are of each scope and kind of cap, the most frequent first."""
    names = [f"{one.cap.scope} {one.cap.kind}" if one.cap else "unknown" for one in failures]
    return dict(Counter(sorted(names)).most_common())


def most_expensive(slices: Iterable[SliceSpending]) -> list[SliceSpending]:
    """What spent most first; ties by name, so that equal figures give equal reports."""
    return sorted(slices, key=lambda one: (-one.tokens_used, one.task_category, one.complexity))
