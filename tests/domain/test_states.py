"""The three machines have exactly the steps of the playbook."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any

import pytest

from app.domain.states import (
    IllegalTransition,
    PhaseState,
    RunState,
    TierState,
    advance_phase,
    advance_run,
    advance_tier,
)

FAILURES = {
    RunState.DONE_FAILED_BUDGET_EXHAUSTED,
    RunState.DONE_FAILED_POLICY_VIOLATION,
    RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
    RunState.DONE_FAILED_ENVIRONMENT,
}
DONE = FAILURES | {RunState.DONE_CANCELLED, RunState.DONE_SUCCESS}

# What a working run may do next; it may fail or be cancelled at any time.
RUN: Mapping[RunState, set[RunState]] = {
    RunState.PLAN_BOOTSTRAP: {RunState.RUN_CREATED},
    # A run that only posts its plan has done its work once it is created.
    RunState.RUN_CREATED: {RunState.PHASE_QUEUEING, RunState.DONE_SUCCESS},
    # Phases that are all skipped leave nothing to execute; a merge of the base goes straight to CI.
    RunState.PHASE_QUEUEING: {RunState.PHASE_EXECUTION, RunState.CI_RUNNING, RunState.DONE_SUCCESS},
    # A phase that is skipped while it is worked on gives way to the next.
    RunState.PHASE_EXECUTION: {RunState.GATE, RunState.PHASE_QUEUEING},
    RunState.GATE: {RunState.CI_RUNNING, RunState.PHASE_EXECUTION, RunState.PHASE_QUEUEING},
    RunState.CI_RUNNING: {
        RunState.SNAPSHOT_CREATED,
        RunState.PHASE_EXECUTION,
        RunState.PHASE_QUEUEING,
        RunState.DONE_SUCCESS,
    },
    RunState.SNAPSHOT_CREATED: {RunState.PHASE_QUEUEING, RunState.CI_RUNNING, RunState.DONE_SUCCESS},
}
TIER: Mapping[TierState, set[TierState]] = {
    TierState.PENDING: {TierState.RUNNING, TierState.BLOCKED},
    TierState.RUNNING: {TierState.COMPLETE, TierState.NOT_CLEAN, TierState.BLOCKED},
}
PHASE: Mapping[PhaseState, set[PhaseState]] = {
    PhaseState.QUEUED: {PhaseState.EXECUTING, PhaseState.SKIPPED},
    PhaseState.EXECUTING: {PhaseState.GATE, PhaseState.RETRY, PhaseState.FAILED, PhaseState.SKIPPED},
    PhaseState.GATE: {PhaseState.COMPLETE, PhaseState.RETRY, PhaseState.FAILED, PhaseState.SKIPPED},
    PhaseState.RETRY: {PhaseState.EXECUTING, PhaseState.FAILED, PhaseState.SKIPPED},
}


def run_steps(state: RunState) -> set[RunState]:
    return RUN[state] | FAILURES | {RunState.DONE_CANCELLED} if state in RUN else set()


Advance = Callable[[Any, Any], StrEnum]


def allowed(advance: Advance, current: StrEnum, target: StrEnum) -> bool:
    try:
        return advance(current, target) is target
    except IllegalTransition:
        return False


@pytest.mark.parametrize("current", list(RunState))
def test_a_run_has_these_steps_and_no_others(current: RunState) -> None:
    assert {target for target in RunState if allowed(advance_run, current, target)} == run_steps(current)


@pytest.mark.parametrize("current", list(TierState))
def test_a_tier_has_these_steps_and_no_others(current: TierState) -> None:
    assert {target for target in TierState if allowed(advance_tier, current, target)} == TIER.get(current, set())


@pytest.mark.parametrize("current", list(PhaseState))
def test_a_phase_has_these_steps_and_no_others(current: PhaseState) -> None:
    assert {target for target in PhaseState if allowed(advance_phase, current, target)} == PHASE.get(current, set())


ENDS: list[tuple[type[StrEnum], Advance, set[StrEnum]]] = [
    (RunState, advance_run, set(DONE)),
    (TierState, advance_tier, {TierState.COMPLETE, TierState.NOT_CLEAN, TierState.BLOCKED}),
    (PhaseState, advance_phase, {PhaseState.COMPLETE, PhaseState.FAILED, PhaseState.SKIPPED}),
]


@pytest.mark.parametrize(("machine", "advance", "ends"), ENDS)
def test_end_is_reachable_and_final(machine: type[StrEnum], advance: Advance, ends: set[StrEnum]) -> None:
    for start in machine:
        reached: set[StrEnum] = {start}
        while more := {n for s in reached for n in machine if allowed(advance, s, n)} - reached:
            reached |= more
        assert reached & ends
        if start in ends:
            assert reached == {start}


def test_a_run_goes_through_the_playbook_to_success() -> None:
    story = [
        RunState.PLAN_BOOTSTRAP,
        RunState.RUN_CREATED,
        RunState.PHASE_QUEUEING,
        RunState.PHASE_EXECUTION,
        RunState.GATE,
        RunState.PHASE_EXECUTION,
        RunState.GATE,
        RunState.CI_RUNNING,
        RunState.SNAPSHOT_CREATED,
        RunState.PHASE_QUEUEING,
        RunState.PHASE_EXECUTION,
        RunState.GATE,
        RunState.CI_RUNNING,
        RunState.SNAPSHOT_CREATED,
        RunState.DONE_SUCCESS,
    ]
    assert [advance_run(current, target) for current, target in pairwise(story)] == story[1:]


def test_the_properties_agree_with_the_machines() -> None:
    assert {state for state in RunState if state.terminal} == DONE
    assert {state for state in RunState if state.failed} == FAILURES
    assert {state for state in PhaseState if state.ended} == {
        PhaseState.COMPLETE,
        PhaseState.FAILED,
        PhaseState.SKIPPED,
    }


def test_a_refusal_names_the_machine_and_both_states() -> None:
    with pytest.raises(IllegalTransition, match="a run cannot go from DONE_SUCCESS to GATE"):
        advance_run(RunState.DONE_SUCCESS, RunState.GATE)
    with pytest.raises(IllegalTransition, match="a tier cannot go from COMPLETE to RUNNING"):
        advance_tier(TierState.COMPLETE, TierState.RUNNING)
    with pytest.raises(IllegalTransition, match="a phase cannot go from QUEUED to COMPLETE"):
        advance_phase(PhaseState.QUEUED, PhaseState.COMPLETE)
