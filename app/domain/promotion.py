"""Promotion: when a run's branch may be offered for merging. A person, or GitHub's auto-merge, merges it."""

from collections.abc import Sequence

from app.domain.states import PhaseState, RunState, TierState
from app.domain.view import TierView


def blockers(state: RunState, tiers: Sequence[TierView], *, ci_absent: bool = False) -> tuple[str, ...]:
    """Return every reason why the run may not be promoted; empty when it may."""
    reasons: list[str] = []
    if state is not RunState.DONE_SUCCESS:
        reasons.append(f"the run is {state}, not DONE_SUCCESS")
    for tier in tiers:
        if tier.state is not TierState.COMPLETE:
            reasons.append(f"tier {tier.tier_id} ({tier.name}) is {tier.state}")
        skipped = [phase.phase_id for phase in tier.phases if phase.state is PhaseState.SKIPPED]
        if skipped:
            reasons.append(f"skipped: {', '.join(skipped)}")
    if ci_absent:
        reasons.append("no CI judged the commits: the repository has none")
    return tuple(reasons)


def tier_outcome(
    phases: Sequence[PhaseState], *, major_issues: int, minor_issues: int, max_major: int, max_minor: int
) -> TierState:
    """How a tier ends: BLOCKED with a failed phase, NOT_CLEAN over an issue cap, else COMPLETE."""
    if any(phase is PhaseState.FAILED for phase in phases):
        return TierState.BLOCKED
    if major_issues > max_major or minor_issues > max_minor:
        return TierState.NOT_CLEAN
    return TierState.COMPLETE
