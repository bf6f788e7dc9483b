"""The three state machines of a run, its tiers and its phases.

A transition that is not listed here does not exist: `advance_*` refuses it with `IllegalTransition`.
"""

from collections.abc import Mapping
from enum import StrEnum


class RunState(StrEnum):
    """The state of a run. The value is the text shown on GitHub and in the API."""

    PLAN_BOOTSTRAP = "PLAN_BOOTSTRAP"
    """Settings, instructions and rulesets are read and the plan is made."""
    RUN_CREATED = "RUN_CREATED"
    """The plan and the frozen strategy are stored."""
    PHASE_QUEUEING = "PHASE_QUEUEING"
    """The next phase is being picked."""
    PHASE_EXECUTION = "PHASE_EXECUTION"
    """The Builder works on a phase."""
    GATE = "GATE"
    """The patch is judged: structure, scope, policy, probes, audit."""
    CI_RUNNING = "CI_RUNNING"
    """A pushed commit awaits the repository's CI."""
    SNAPSHOT_CREATED = "SNAPSHOT_CREATED"
    """The phase's commit is green, audited and recorded."""
    DONE_SUCCESS = "DONE_SUCCESS"
    DONE_FAILED_BUDGET_EXHAUSTED = "DONE_FAILED_BUDGET_EXHAUSTED"
    DONE_FAILED_POLICY_VIOLATION = "DONE_FAILED_POLICY_VIOLATION"
    DONE_FAILED_REQUIRES_HUMAN_REVIEW = "DONE_FAILED_REQUIRES_HUMAN_REVIEW"
    DONE_FAILED_ENVIRONMENT = "DONE_FAILED_ENVIRONMENT"
    DONE_CANCELLED = "DONE_CANCELLED"

    @property
    def terminal(self) -> bool:
        return self.value.startswith("DONE_")

    @property
    def failed(self) -> bool:
        return self.value.startswith("DONE_FAILED_")


class TierState(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    NOT_CLEAN = "NOT_CLEAN"
    """Ended with major issues or over one of its caps: never promoted."""
    BLOCKED = "BLOCKED"
    """A phase failed, so the tier cannot end."""


class PhaseState(StrEnum):
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    GATE = "GATE"
    """The patch is being judged; an audit or CI may be awaited."""
    RETRY = "RETRY"
    """The gate, the audit or CI sent the work back to the Builder."""
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"

    @property
    def ended(self) -> bool:
        return self in {PhaseState.COMPLETE, PhaseState.FAILED, PhaseState.SKIPPED}


class IllegalTransition(ValueError):
    """A transition that the machine does not have."""

    def __init__(self, machine: str, current: StrEnum, target: StrEnum) -> None:
        super().__init__(f"a {machine} cannot go from {current} to {target}")


_FAILURES = frozenset(state for state in RunState if state.failed)
_ENDS = _FAILURES | {RunState.DONE_CANCELLED}

_RUN: Mapping[RunState, frozenset[RunState]] = {
    RunState.PLAN_BOOTSTRAP: _ENDS | {RunState.RUN_CREATED},
    RunState.RUN_CREATED: _ENDS | {RunState.PHASE_QUEUEING, RunState.DONE_SUCCESS},
    RunState.PHASE_QUEUEING: _ENDS | {RunState.PHASE_EXECUTION, RunState.CI_RUNNING, RunState.DONE_SUCCESS},
    RunState.PHASE_EXECUTION: _ENDS | {RunState.GATE, RunState.PHASE_QUEUEING},
    RunState.GATE: _ENDS | {RunState.CI_RUNNING, RunState.PHASE_EXECUTION, RunState.PHASE_QUEUEING},
    RunState.CI_RUNNING: _ENDS
    | {RunState.SNAPSHOT_CREATED, RunState.PHASE_EXECUTION, RunState.PHASE_QUEUEING, RunState.DONE_SUCCESS},
    RunState.SNAPSHOT_CREATED: _ENDS | {RunState.PHASE_QUEUEING, RunState.CI_RUNNING, RunState.DONE_SUCCESS},
}

_TIER: Mapping[TierState, frozenset[TierState]] = {
    TierState.PENDING: frozenset({TierState.RUNNING, TierState.BLOCKED}),
    TierState.RUNNING: frozenset({TierState.COMPLETE, TierState.NOT_CLEAN, TierState.BLOCKED}),
}

_PHASE: Mapping[PhaseState, frozenset[PhaseState]] = {
    PhaseState.QUEUED: frozenset({PhaseState.EXECUTING, PhaseState.SKIPPED}),
    PhaseState.EXECUTING: frozenset({PhaseState.GATE, PhaseState.RETRY, PhaseState.FAILED, PhaseState.SKIPPED}),
    PhaseState.GATE: frozenset({PhaseState.COMPLETE, PhaseState.RETRY, PhaseState.FAILED, PhaseState.SKIPPED}),
    PhaseState.RETRY: frozenset({PhaseState.EXECUTING, PhaseState.FAILED, PhaseState.SKIPPED}),
}


def advance_run(current: RunState, target: RunState) -> RunState:
    """Return `target` if the run machine has the step; raise `IllegalTransition` otherwise."""
    if target not in _RUN.get(current, frozenset()):
        raise IllegalTransition("run", current, target)
    return target


def advance_tier(current: TierState, target: TierState) -> TierState:
    """Return `target` if the tier machine has the step; raise `IllegalTransition` otherwise."""
    if target not in _TIER.get(current, frozenset()):
        raise IllegalTransition("tier", current, target)
    return target


def advance_phase(current: PhaseState, target: PhaseState) -> PhaseState:
    """Return `target` if the phase machine has the step; raise `IllegalTransition` otherwise."""
    if target not in _PHASE.get(current, frozenset()):
        raise IllegalTransition("phase", current, target)
    return target


def route_run(current: RunState, target: RunState) -> tuple[RunState, ...]:
    """The fewest steps of the run machine from `current` to `target`, which is the last of them; none when it is there.

    Raises `IllegalTransition` when no way leads there. No step but the last ends the run.
    """
    ways: dict[RunState, tuple[RunState, ...]] = {current: ()}
    waiting = [current]
    while target not in ways and waiting:
        state = waiting.pop(0)
        for following in sorted(_RUN.get(state, ()), key=list(RunState).index):
            if following not in ways and (following is target or not following.terminal):
                ways[following] = (*ways[state], following)
                waiting.append(following)
    if target not in ways:
        raise IllegalTransition("run", current, target)
    return ways[target]
