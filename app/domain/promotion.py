"""Promotion: when a run's branch may be offered for merging. A person, or GitHub's auto-merge, merges it."""

from collections.abc import Iterable, Sequence

from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.budget import Cap
from app.domain.integrity import IntegrityReport, Level
from app.domain.requested_change import RequestedChange
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import PhaseView, TierView
from app.domain.strategy import Strategy


def blockers(
    state: RunState,
    tiers: Sequence[TierView],
    strategy: Strategy | None = None,
    *,
    ci_absent: bool = False,
    minor_issues: int = 0,
    late_objection: str = "",
    requested: Sequence[RequestedChange] = (),
    integrity: IntegrityReport | None = None,
) -> tuple[str, ...]:
    """Return every reason why the run may not be promoted; empty when it may.

    `minor_issues` are the distinct ones that are open in the run, `late_objection` is what an audit after its end
    says against it, `requested` are people's requested changes. Without a strategy the run was never planned.
    """
    reasons: list[str] = []
    if state is not RunState.DONE_SUCCESS:
        reasons.append(f"the run is {state}, not DONE_SUCCESS")
    for tier in tiers:
        reasons += _of_tier(tier, strategy)
    if strategy is not None and minor_issues > strategy.max_minor_issues:
        reasons.append(f"{minor_issues} minor issues are open, {strategy.max_minor_issues} are allowed in the run")
    if ci_absent and (strategy is None or strategy.promotion.require_ci):
        reasons.append("no CI judged the commits, as the notices say")
    if strategy is not None and strategy.promotion.require_other_vendor and not strategy.cross_vendor:
        reasons.append("Builder and Auditor are of the same vendor")
    if late_objection:
        reasons.append(late_objection)
    reasons += [one.words for one in requested if one.closes_promotion]
    if integrity is not None and integrity.needs_person:
        reasons.append(_unsettled(integrity))
    return tuple(reasons)


def _unsettled(report: IntegrityReport) -> str:
    """What the integrity rules found, and who settles it."""
    found = [flag.words for flag in report.flags if flag.level is not Level.NOTE]
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    what = "; ".join(found[:3]) + more if found else f"the branch could not be looked through ({report.trouble})"
    return f"{what}: an approving review of the pull request settles it"


def tier_outcome(
    phases: Sequence[PhaseState],
    *,
    major_issues: int,
    minor_issues: int,
    max_major: int,
    max_minor: int,
    budgets: Iterable[Cap] = (),
) -> TierState:
    """How a tier ends: BLOCKED with a failed phase, NOT_CLEAN over a cap of issues or of a budget, else COMPLETE."""
    if any(phase is PhaseState.FAILED for phase in phases):
        return TierState.BLOCKED
    overspent = any(cap.used > cap.limit for cap in budgets)
    if overspent or major_issues > max_major or minor_issues > max_minor:
        return TierState.NOT_CLEAN
    return TierState.COMPLETE


def debt_status(entries: Iterable[BacklogEntry]) -> str:
    """The state of a project's backlog in a few words: `clean`, or what is open and what needs a clean-up."""
    statuses = [entry.status for entry in entries]
    aged, still_open = statuses.count(BacklogStatus.NEEDS_CLEANUP), statuses.count(BacklogStatus.OPEN)
    parts: list[str] = []
    if aged:
        parts.append("1 issue needs clean-up" if aged == 1 else f"{aged} issues need clean-up")
    if still_open:
        parts.append("1 open issue" if still_open == 1 else f"{still_open} open issues")
    return ", ".join(parts) or "clean"


def _of_tier(tier: TierView, strategy: Strategy | None) -> list[str]:
    """An audit that comes when the tier has ended still counts: its findings can put a COMPLETE tier over its caps."""
    reasons: list[str] = []
    if tier.state is not TierState.COMPLETE:
        reasons.append(f"tier {tier.tier_id} ({tier.name}) is {tier.state}")
    elif strategy is not None:
        reasons += _late_issues(tier, strategy)
    if strategy is None or not strategy.promotion.allow_skipped:
        skipped = [one for one in tier.phases if one.state is PhaseState.SKIPPED]
        reasons += _listed("skipped", [one for one in skipped if not one.skipped_by])
    if strategy is not None and strategy.promotion.require_audit:
        done = [phase for phase in tier.phases if phase.state is PhaseState.COMPLETE]
        reasons += _listed("not audited", [phase for phase in done if phase.auditor_attempts == 0])
    return reasons


def _late_issues(tier: TierView, strategy: Strategy) -> list[str]:
    caps = strategy.of_tier(tier.tier_id)
    counted = (("major", tier.major_issues, caps.max_major_issues), ("minor", tier.minor_issues, caps.max_minor_issues))
    return [
        f"tier {tier.tier_id} ({tier.name}): {found} {severity} issues are open, {allowed} are allowed"
        for severity, found, allowed in counted
        if found > allowed
    ]


def _listed(what: str, phases: Sequence[PhaseView]) -> list[str]:
    return [f"{what}: {', '.join(phase.phase_id for phase in phases)}"] if phases else []
