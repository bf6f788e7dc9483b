"""What the API's documentation shows as answers: one run on its way. Its reports: `report_examples.py`."""

from datetime import UTC, datetime
from typing import Any

from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.api_run import PhaseCard, RunCard, TierCard
from app.domain.finding_counts import IndexEntry, IssueState, PhaseIssue, PhaseIssues
from app.domain.findings import Severity
from app.domain.states import PhaseState, RunState, TierState
from app.runs.api_commands import IssueReceipt

RUN, TIER, PHASE, ISSUE = "run-001", "T1", "P1.1", "test_failure__auth_missing"
MADE, BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 5, 0, tzinfo=UTC)
TIER_NAME, PHASE_NAME = "Core Features", "Implement user authentication"

ROOT = {"service": "Autopack", "version": "1.0.0", "description": "Labeled issues become reviewed pull requests."}
HEALTH: dict[str, Any] = {
    "status": "healthy",
    "database": {"status": "ok", "kind": "sqlite"},
    "workflow_engine": {"status": "ok", "version": "1"},
    "github": {"status": "configured", "missing": []},
    "background": {"status": "ok", "failing": []},
    "models": ["anthropic", "openai"],
}

PHASE_CARD = PhaseCard(
    id=1,
    run_id=RUN,
    phase_id=PHASE,
    tier_id=TIER,
    phase_index=0,
    name=PHASE_NAME,
    description="Add JWT-based authentication",
    state=PhaseState.EXECUTING,
    task_category="feature_scaffolding",
    complexity="medium",
    builder_mode="compose",
    builder_attempts=1,
    auditor_attempts=0,
    max_builder_attempts=3,
    max_auditor_attempts=2,
    tokens_used=1200,
    token_cap=500_000,
    ci_runs_used=0,
    minor_issues_count=1,
    major_issues_count=0,
    head_sha=None,
    snapshot=False,
    awaiting="",
    note="",
)
RUN_CARD = RunCard(
    id=RUN,
    run_id=RUN,
    state=RunState.PHASE_EXECUTION,
    project_id="autopack",
    repository=None,
    installation_id=0,
    base_branch=None,
    issue_number=None,
    builder="external",
    safety_profile="normal",
    run_scope="multi_tier",
    created_at=MADE,
    started_at=BEGUN,
    completed_at=None,
    tokens_used=1200,
    token_cap=5_000_000,
    max_phases=25,
    max_duration_minutes=120,
    active_minutes=2.5,
    ci_runs_used=0,
    minor_issues_count=1,
    major_issues_count=0,
    promotion_eligible_to_main=False,
    promotion_blockers=[],
    debt_status="1 open issue",
    failure_reason=None,
    branch=f"autonomous/{RUN}",
    head_sha=None,
    pull_number=None,
    part=1,
    parts=1,
    follows=None,
    linked_runs=[],
    strategy={"engine": "external", "safety_profile": "normal", "token_cap": 5_000_000, "warn_at": 0.8},
    tiers=[
        TierCard(
            id=1,
            tier_id=TIER,
            name=TIER_NAME,
            description="The base",
            state=TierState.RUNNING,
            tier_index=0,
            cleanliness="clean",
            minor_issues_count=1,
            major_issues_count=0,
            tokens_used=1200,
            token_cap=1_500_000,
            phases=[PHASE_CARD],
        )
    ],
)
STARTED = RUN_CARD.model_copy(
    update={"state": RunState.RUN_CREATED, "started_at": None, "active_minutes": 0.0, "tokens_used": 0, "tiers": []}
)

RECORDED_ISSUE = IssueReceipt(
    message=f"{ISSUE} is recorded for {PHASE}",
    phase_file=PhaseIssues(
        phase_id=PHASE,
        tier_id=TIER,
        issues=(
            PhaseIssue(
                issue_key=ISSUE,
                severity=Severity.MINOR,
                effective_severity=Severity.MINOR,
                source="test",
                category="test_failure",
                task_category="feature_scaffolding",
                complexity="medium",
                expected_fail=False,
                occurrence_count=1,
                first_seen_run=RUN,
                last_seen_run=RUN,
                evidence_refs=("tests/test_auth.py::test_jwt_validation",),
            ),
        ),
        minor_issue_count=1,
        major_issue_count=0,
        issue_state=IssueState.HAS_MINOR_ISSUES,
    ),
    run_index_entry=IndexEntry(
        category="test_failure",
        severity=Severity.MINOR,
        effective_severity=Severity.MINOR,
        first_phase_index=0,
        last_phase_index=0,
        occurrence_count=1,
        seen_in_tiers=(TIER,),
        seen_in_phases=(PHASE,),
    ),
    project_backlog_entry=BacklogEntry(
        issue_key=ISSUE,
        category="test_failure",
        base_severity=Severity.MINOR,
        status=BacklogStatus.OPEN,
        occurrences=1,
        age_in_runs=1,
        age_in_tiers=1,
        seen_in_tiers=(TIER,),
        first_seen_run_id=RUN,
        last_seen_run_id=RUN,
        last_seen_at=BEGUN,
    ),
)
