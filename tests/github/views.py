"""A run, a plan and a commit to write about."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.config.loader import default_ruleset
from app.domain.budget import Cap, ModelUse, Role, Scope, Usage
from app.domain.findings import Finding, Severity, Source
from app.domain.phase_cost import PhaseCost
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import FindingView, Headline, PhaseView, RunView, TierView
from app.domain.strategy import RunOptions, compile_strategy
from app.github import text

SHA = "1a2b3c4" + "0" * 33
PLANNED_PHASE = PlannedPhase(
    phase_id="P2",
    tier_id="T1",
    phase_index=1,
    name="Test the parser",
    task_category=TaskCategory.TESTS,
    complexity=Complexity.LOW,
)


def plan_comment(criterion: str, *vendors: str, parts: int = 1) -> str:
    """The comment on a plan of one phase, done when `criterion` holds, in equal parts; `vendors` have keys."""
    phases = (PLANNED_PHASE.model_copy(update={"acceptance_criteria": (criterion,)}),)
    plan = Plan(tiers=(PlannedTier(tier_id="T1", tier_index=0, name="Dates"),), phases=phases)
    rules = effective_rules(default_ruleset(), RepositorySettings())
    strategy = compile_strategy(rules, plan, RunOptions(), frozenset(vendors))
    later = [
        Plan(
            tiers=(PlannedTier(tier_id=f"T{number}", tier_index=0, name="Later"),),
            phases=(phases[0].model_copy(update={"phase_id": f"P{number + 1}", "tier_id": f"T{number}"}),),
        )
        for number in range(2, parts + 1)
    ]
    costs = {("tests", "low"): PhaseCost(phases=4, tokens=31_000, usd=0.12)}
    return text.plan_comment(plan, strategy, later, run_id="r1", costs=costs if parts > 1 else {})


def message(summary: str, **other: Any) -> str:
    """The message of a phase's commit."""
    given: dict[str, Any] = {
        "run_id": "r1",
        "phase": PLANNED_PHASE,
        "attempt": 2,
        "strict": True,
        "requester_login": "maintainer",
        "requester_id": 4,
        "summary": summary,
    }
    return text.commit_message(**{**given, **other})


def phase(phase_id: str, name: str, state: PhaseState, **other: Any) -> PhaseView:
    given = {"task_category": TaskCategory.TESTS, "complexity": Complexity.LOW, "token_cap": 300_000}
    return PhaseView.model_validate({"phase_id": phase_id, "name": name, "state": state, **given, **other})


def finding(problem: str, **other: Any) -> FindingView:
    found = Finding(
        issue_key="correctness__parse__wrong",
        severity=Severity.MAJOR,
        source=Source.AUDITOR,
        category="correctness",
        problem=problem,
        path="app/parse.py",
        line=12,
    )
    return FindingView.model_validate({"finding": found, "phase_id": "P2", "open": True, **other})


def run(**other: Any) -> RunView:
    first = phase("P1", "Write the parser", PhaseState.COMPLETE, builder_attempts=1, tokens=41_250, head_sha=SHA)
    second = phase(
        "P2",
        "Test the parser",
        PhaseState.RETRY,
        builder_attempts=2,
        auditor_attempts=1,
        major_issues=1,
        note="test failed",
    )
    planner = Usage(input=10_000, output=2_300, cost_usd=Decimal("0.0561"))
    builder = Usage(input=380_000, cached=300_000, output=20_000, cost_usd=Decimal("1.2"))
    given: dict[str, Any] = {
        "run_id": "r1",
        "repository": "acme/widgets",
        "issue_number": 3,
        "issue_title": "Parse dates",
        "requester": "maintainer",
        "state": RunState.CI_RUNNING,
        "headline": Headline.WAITING_FOR_CI,
        "next_action": "CI decides; nothing to do for you.",
        "since": datetime(2026, 1, 2, 10, 0, tzinfo=UTC),
        "deadline": datetime(2026, 1, 2, 10, 45, tzinfo=UTC),
        "after_deadline": "the run ends without CI's verdict",
        "branch": "autonomous/r1",
        "base_branch": "main",
        "pull_number": 7,
        "head_sha": SHA,
        "tiers": (TierView(tier_id="T1", name="Dates", state=TierState.RUNNING, phases=(first, second)),),
        "run_cap": Cap(scope=Scope.RUN, name="r1", limit=500_000, used=412_300),
        "usage": {Role.PLANNER: planner, Role.BUILDER: builder},
        "models": {Role.PLANNER: "one:planner", Role.BUILDER: "one:builder", Role.AUDITOR: "two:auditor"},
        "model_uses": (
            ModelUse(role=Role.PLANNER, model="one:planner", usage=planner),
            ModelUse(role=Role.BUILDER, model="one:builder", usage=builder),
            ModelUse(role=Role.AUDITOR, model="two:auditor", usage=Usage()),
        ),
        "findings": (finding("Leap days are lost"), finding("Old", open=False, resolution="fixed in 1a2b3c4")),
        "server_url": "https://github.test",
    }
    return RunView.model_validate({**given, **other})
