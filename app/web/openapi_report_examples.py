"""What the API's documentation shows as reports: figures of the run in `examples.py`."""

from datetime import timedelta
from decimal import Decimal

from app.domain.aging import BacklogStatus
from app.domain.budget import Exhausted, Kind, Role, Scope
from app.domain.findings import Severity
from app.domain.metrics import (
    AgingIssue,
    AuditedPhases,
    AuditorTries,
    BacklogSummary,
    BudgetAnalysis,
    BudgetFailure,
    CapUse,
    PhaseMetrics,
    RunBudgets,
    RunIssues,
    RunMetrics,
    RunSummary,
    SliceSpending,
    TierMetrics,
    TierSummary,
)
from app.domain.states import PhaseState, RunState, TierState
from app.web.openapi_examples import BEGUN, ISSUE, MADE, PHASE, PHASE_NAME, RUN, TIER, TIER_NAME

PROJECT = "acme/widgets"

RUN_METRICS = RunMetrics(
    run_id=RUN,
    project_id=PROJECT,
    state=RunState.PHASE_EXECUTION,
    safety_profile="normal",
    run_scope="multi_tier",
    engine="autopack",
    tokens_used=420_000,
    token_cap=5_000_000,
    cost_usd=Decimal("4.21"),
    minor_issues_count=1,
    major_issues_count=0,
    max_minor_issues_total=3,
    phase_count=1,
    max_phases=25,
    tier_count=1,
    created_at=MADE,
    started_at=BEGUN,
    completed_at=None,
)
TIER_METRICS = TierMetrics(
    tier_id=TIER,
    tier_index=0,
    name=TIER_NAME,
    state=TierState.RUNNING,
    minor_issues_count=1,
    major_issues_count=0,
    max_minor_issues=2,
    phase_count=1,
    phase_states={PhaseState.EXECUTING: 1},
    tokens_used=420_000,
    token_cap=1_500_000,
    ci_runs=1,
    max_ci_runs=2,
)
RUN_SUMMARY = RunSummary(
    run_id=RUN,
    project_id=PROJECT,
    repository=PROJECT,
    issue_number=7,
    pull_number=8,
    engine="autopack",
    state=RunState.PHASE_EXECUTION,
    safety_profile="normal",
    run_scope="multi_tier",
    reason="",
    next_action="Nothing to do: the Builder is at work.",
    promotion_eligible=False,
    promotion_blockers=(),
    budgets=RunBudgets(
        tokens_used=420_000,
        token_cap=5_000_000,
        token_utilization=0.084,
        cost_usd=Decimal("4.21"),
        phase_count=1,
        max_phases=25,
        active_minutes=2.5,
        max_minutes=120,
        ci_runs=1,
        caps=(CapUse(scope=Scope.PHASE, name=PHASE, kind=Kind.TOKENS, used=420_000, limit=500_000),),
    ),
    issues=RunIssues(minor_count=1, major_count=0, max_minor_total=3, distinct_issues=1),
    tiers=(
        TierSummary(
            tier_id=TIER,
            tier_index=0,
            name=TIER_NAME,
            state=TierState.RUNNING,
            phase_count=1,
            minor_issues=1,
            major_issues=0,
            tokens_used=420_000,
        ),
    ),
    phases=(
        PhaseMetrics(
            phase_id=PHASE,
            phase_index=0,
            tier_id=TIER,
            name=PHASE_NAME,
            state=PhaseState.EXECUTING,
            task_category="feature_scaffolding",
            complexity="medium",
            builder_mode="compose",
            builder_attempts=1,
            auditor_attempts=1,
            ci_runs=1,
            tokens_used=420_000,
            token_cap=500_000,
            minor_issues=1,
            major_issues=0,
        ),
    ),
    created_at=MADE,
    started_at=BEGUN,
    completed_at=None,
)

_AGED = AgingIssue(
    project_id=PROJECT,
    issue_key=ISSUE,
    category="test_failure",
    base_severity=Severity.MINOR,
    effective_severity=Severity.MAJOR,
    problem="The token's audience is not checked.",
    age_in_runs=3,
    age_in_tiers=2,
    occurrences=4,
    status=BacklogStatus.NEEDS_CLEANUP,
    seen_in_tiers=(TIER, "T2"),
    first_seen_run_id=RUN,
    last_seen_run_id="run-003",
    last_seen_at=BEGUN,
)
BACKLOG_SUMMARY = BacklogSummary(
    project_id=None,
    total_issues=2,
    open_count=0,
    needs_cleanup_count=1,
    resolved_count=1,
    top_aging_issues=[(ISSUE, _AGED)],
    needs_cleanup=[_AGED],
)

_CAP = Exhausted(
    scope=Scope.PHASE,
    name=PHASE,
    kind=Kind.TOKENS,
    limit=500_000,
    used=480_000,
    needs=30_000,
    role=Role.BUILDER,
    phase_id=PHASE,
    attempt=2,
)
BUDGET_ANALYSIS = BudgetAnalysis(
    total_budget_failures=1,
    average_token_utilization=0.096,
    average_token_utilization_all_runs=0.096,
    failures=[
        BudgetFailure(
            **RUN_METRICS.model_dump(exclude={"token_utilization", "state", "tokens_used", "completed_at"}),
            state=RunState.DONE_FAILED_BUDGET_EXHAUSTED,
            tokens_used=480_000,
            completed_at=BEGUN + timedelta(minutes=40),
            failure_reason=_CAP.reason,
            cap=_CAP,
            phase_id=PHASE,
            tier_id=TIER,
        )
    ],
    failures_by_cap={"phase tokens": 1},
    spending=[
        SliceSpending(
            task_category="feature_scaffolding",
            complexity="medium",
            phases=1,
            completed=0,
            builder_attempts=2,
            tokens_used=480_000,
            cost_usd=Decimal("4.80"),
        )
    ],
    auditor_tries=AuditorTries(
        one_audit=AuditedPhases(ended=12, completed=9), several_audits=AuditedPhases(ended=4, completed=2)
    ),
)
