"""A branch is offered for merging only when the whole run is clean."""

import pytest

from app.domain.plan import Complexity, TaskCategory
from app.domain.promotion import blockers, tier_outcome
from app.domain.states import PhaseState, RunState, TierState
from app.domain.view import PhaseView, TierView


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
