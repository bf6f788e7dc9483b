"""A branch is offered for merging only when the whole run is clean."""

from datetime import UTC, datetime

import pytest

from app.config.loader import default_ruleset
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.budget import Cap, Kind, Scope
from app.domain.findings import Severity
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.promotion import blockers, debt_status, tier_outcome
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import PhaseView, TierView
from app.domain.strategy import RunOptions, Strategy, compile_strategy


def tier(state: TierState = TierState.COMPLETE, *phases: PhaseState, tier_id: str = "T1") -> TierView:
    views = tuple(
        PhaseView(
            phase_id=f"P{number}",
            name="Step",
            state=one,
            task_category=TaskCategory.DOCS,
            complexity=Complexity.LOW,
        )
        for number, one in enumerate(phases, 1)
    )
    return TierView(tier_id=tier_id, name="Work", state=state, phases=views)


CLEAN = tier(TierState.COMPLETE, PhaseState.COMPLETE, PhaseState.COMPLETE)


def test_a_clean_run_may_be_promoted() -> None:
    assert blockers(RunState.DONE_SUCCESS, [CLEAN, CLEAN]) == ()


@pytest.mark.parametrize("state", [state for state in RunState if state is not RunState.DONE_SUCCESS])
def test_a_run_that_did_not_succeed_may_not(state: RunState) -> None:
    assert blockers(state, [CLEAN]) == (f"the run is {state}, not DONE_SUCCESS",)


@pytest.mark.parametrize("state", [state for state in TierState if state is not TierState.COMPLETE])
def test_one_unclean_tier_keeps_it_closed(state: TierState) -> None:
    unclean = tier(state, PhaseState.COMPLETE, tier_id="T2")
    assert blockers(RunState.DONE_SUCCESS, [CLEAN, unclean]) == (f"tier T2 (Work) is {state}",)


def test_a_skipped_phase_keeps_it_closed() -> None:
    skipped = tier(TierState.COMPLETE, PhaseState.COMPLETE, PhaseState.SKIPPED, PhaseState.SKIPPED)
    assert blockers(RunState.DONE_SUCCESS, [skipped]) == ("skipped: P2, P3",)


def test_commits_that_no_ci_judged_keep_it_closed() -> None:
    (reason,) = blockers(RunState.DONE_SUCCESS, [CLEAN], ci_absent=True)
    assert reason.startswith("no CI judged the commits")


def test_every_reason_is_told() -> None:
    bad = tier(TierState.BLOCKED, PhaseState.FAILED, PhaseState.SKIPPED)
    assert len(blockers(RunState.DONE_FAILED_ENVIRONMENT, [bad], ci_absent=True)) == 4


@pytest.mark.parametrize(
    ("phases", "major", "minor", "expected"),
    [
        ([PhaseState.COMPLETE], 0, 0, TierState.COMPLETE),
        ([PhaseState.COMPLETE, PhaseState.SKIPPED], 0, 2, TierState.COMPLETE),
        ([PhaseState.COMPLETE], 0, 3, TierState.NOT_CLEAN),
        ([PhaseState.COMPLETE], 1, 0, TierState.NOT_CLEAN),
        ([PhaseState.COMPLETE, PhaseState.FAILED], 0, 0, TierState.BLOCKED),
        ([PhaseState.FAILED], 5, 5, TierState.BLOCKED),
    ],
)
def test_how_a_tier_ends(phases: list[PhaseState], major: int, minor: int, expected: TierState) -> None:
    assert tier_outcome(phases, major_issues=major, minor_issues=minor, max_major=0, max_minor=2) is expected


# By the run's strategy


def strategy(**promotion: bool) -> Strategy:
    """Of one tier with one phase: at most 3 minor issues in the run, 2 in the tier, no major one."""
    plan = Plan(
        tiers=(PlannedTier(tier_id="T1", tier_index=0, name="Work"),),
        phases=(
            PlannedPhase(
                phase_id="P1", tier_id="T1", phase_index=0, name="Step", task_category=TaskCategory.FEATURE_SCAFFOLDING
            ),
        ),
    )
    rules = effective_rules(default_ruleset(), RepositorySettings())
    compiled = compile_strategy(rules, plan, RunOptions(), frozenset({"anthropic", "openai"}))
    return compiled.model_copy(update={"promotion": compiled.promotion.model_copy(update=promotion)})


def ended(*, minor: int = 0, major: int = 0, audits: int = 1, state: PhaseState = PhaseState.COMPLETE) -> TierView:
    (view,) = tier(TierState.COMPLETE, state).phases
    audited = view.model_copy(update={"auditor_attempts": audits})
    return CLEAN.model_copy(update={"phases": (audited,), "minor_issues": minor, "major_issues": major})


def why(*tiers: TierView, rules: Strategy | None = None, minor: int = 0, ci_absent: bool = False) -> tuple[str, ...]:
    return blockers(RunState.DONE_SUCCESS, tiers, rules or strategy(), minor_issues=minor, ci_absent=ci_absent)


def test_minor_issues_within_cap_allow_promotion() -> None:
    assert why(ended(), minor=3) == ()


def test_minor_issues_over_cap_block_promotion() -> None:
    assert why(ended(), minor=4) == ("4 minor issues are open, 3 are allowed in the run",)


@pytest.mark.parametrize(("minor", "major", "named"), [(0, 1, "1 major"), (3, 0, "3 minor")])
def test_late_finding_blocks_promotion(minor: int, major: int, named: str) -> None:
    (reason,) = why(ended(minor=minor, major=major))
    assert reason.startswith(f"tier T1 (Work): {named} issues are open")


def test_a_phase_that_nobody_audited_keeps_it_closed() -> None:
    assert why(ended(audits=0)) == ("not audited: P1",)
    assert why(ended(audits=0), rules=strategy(require_audit=False)) == ()


def test_policy_decides_on_skipped_and_missing_ci() -> None:
    skipped = ended(audits=0, state=PhaseState.SKIPPED)
    assert why(skipped, rules=strategy(allow_skipped=False)) == ("skipped: P1",)
    assert why(skipped, rules=strategy(allow_skipped=True)) == ()
    assert len(why(ended(), rules=strategy(require_ci=True), ci_absent=True)) == 1
    assert why(ended(), rules=strategy(require_ci=False), ci_absent=True) == ()


def test_the_promotion_policy_can_demand_another_vendor() -> None:
    same = strategy(require_other_vendor=True).model_copy(update={"cross_vendor": False})
    assert why(ended(), rules=same) == ("Builder and Auditor are of the same vendor",)
    assert why(ended(), rules=strategy(require_other_vendor=True)) == ()


@pytest.mark.parametrize("kind", [Kind.TOKENS, Kind.CI_RUNS])
@pytest.mark.parametrize(("used", "expected"), [(10, TierState.COMPLETE), (11, TierState.NOT_CLEAN)])
def test_a_tier_over_a_cap_is_not_clean(kind: Kind, used: int, expected: TierState) -> None:
    cap = Cap(scope=Scope.TIER, name="T1", kind=kind, limit=10, used=used)
    outcome = tier_outcome(
        [PhaseState.COMPLETE], major_issues=0, minor_issues=0, max_major=0, max_minor=2, budgets=[cap]
    )
    assert outcome is expected


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ([], "clean"),
        (["resolved"], "clean"),
        (["open"], "1 open issue"),
        (["needs_cleanup", "open", "needs_cleanup"], "2 issues need clean-up, 1 open issue"),
        (["needs_cleanup"], "1 issue needs clean-up"),
    ],
)
def test_the_debt_in_a_few_words(statuses: list[str], told: str) -> None:
    entries = [
        BacklogEntry(
            issue_key=f"k{number}",
            category="docs",
            base_severity=Severity.MINOR,
            status=BacklogStatus(status),
            age_in_runs=1,
            age_in_tiers=1,
            seen_in_tiers=("T1",),
            first_seen_run_id="r1",
            last_seen_run_id="r1",
            last_seen_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
        for number, status in enumerate(statuses)
    ]
    assert debt_status(entries) == told
