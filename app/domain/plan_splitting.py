"""What is done to a plan before it is governed: clean-up of aged issues goes in, and what is too large is split."""

from collections.abc import Iterator, Sequence
from itertools import count

from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.repository_rules import EffectiveRules
from app.domain.strategy import RunOptions, max_phases_of, scope_of

DEBT = "DEBT"
"""The tier of clean-up phases, and the prefix of their ids."""
ID_LENGTH = 100
MAX_CLEANUP_PHASES = 5
"""In one run; the issues that are left wait for the next one."""


def with_debt_cleanup(plan: Plan, backlog: Sequence[BacklogEntry], rules: EffectiveRules) -> Plan:
    """The plan with a last tier that fixes what has aged past its threshold, oldest first, one phase an issue.

    An issue that a phase of the plan is there to fix already gets no second one.
    """
    cared_for = {key for phase in plan.phases for key in phase.mends}
    room = max(0, MAX_CLEANUP_PHASES - sum(bool(phase.mends) for phase in plan.phases))
    aged = [entry for entry in backlog if entry.status is BacklogStatus.NEEDS_CLEANUP]
    waiting = [entry for entry in sorted(aged, key=_oldest_first) if entry.issue_key not in cared_for]
    taken = {phase.phase_id for phase in plan.phases}
    free = (name for name in map(f"{DEBT}-{{}}".format, count(1)) if name not in taken)
    first = 1 + max(phase.phase_index for phase in plan.phases)
    complexity = rules.complexities[TaskCategory.DEBT_CLEANUP]
    added = tuple(
        _cleanup_phase(entry, next(free), first + number, complexity) for number, entry in enumerate(waiting[:room])
    )
    if not added:
        return plan
    known = any(tier.tier_id == DEBT for tier in plan.tiers)
    last = 1 + max(tier.tier_index for tier in plan.tiers)
    tier = PlannedTier(
        tier_id=DEBT, tier_index=last, name="Debt clean-up", description="Issues that earlier runs left open."
    )
    return Plan(tiers=plan.tiers if known else (*plan.tiers, tier), phases=(*plan.phases, *added))


def parts_of(plan: Plan, rules: EffectiveRules, options: RunOptions) -> tuple[Plan, ...]:
    """The plan as the runs that the rules allow: its phases within the cap, and one tier each under `single_tier`."""
    return split(plan, max_phases_of(rules, options), one_tier_each=scope_of(rules, options).one_tier_each)


def split(plan: Plan, max_phases: int, *, one_tier_each: bool = False) -> tuple[Plan, ...]:
    """Cut a plan into parts of at most `max_phases` phases, tier by tier in order; a plan that fits stays as it is.

    A tier that is larger than a part is cut into pieces, `T1`, `T1-2`, … Ids and the order of phases are kept, indexes
    begin at 0 in every part. Tiers without phases go with the tier before them. Raises `ValueError` for a cap under 1.
    """
    if max_phases < 1:
        raise ValueError("a part holds at least one phase")
    tiers_with_work = len({phase.tier_id for phase in plan.phases})
    if len(plan.phases) <= max_phases and not (one_tier_each and tiers_with_work > 1):
        return (plan,)
    parts: list[list[tuple[PlannedTier, tuple[PlannedPhase, ...]]]] = []
    for tier, phases in _pieces(plan, max_phases):
        room = max_phases - sum(len(held) for _, held in parts[-1]) if parts else -1
        if len(phases) > room or (one_tier_each and phases and any(held for _, held in parts[-1])):
            parts.append([])
        parts[-1].append((tier, phases))
    return tuple(_part(pieces) for pieces in parts)


def _pieces(plan: Plan, most: int) -> Iterator[tuple[PlannedTier, tuple[PlannedPhase, ...]]]:
    taken = {tier.tier_id for tier in plan.tiers}
    for tier in sorted(plan.tiers, key=lambda one: one.tier_index):
        phases = plan.phases_of(tier.tier_id)
        yield tier, phases[:most]
        for number, start in enumerate(range(most, len(phases), most), 2):
            piece = tier.model_copy(update={"tier_id": _free_id(tier.tier_id, number, taken)})
            taken.add(piece.tier_id)
            yield piece, phases[start : start + most]


def _free_id(base: str, number: int, taken: set[str]) -> str:
    """`T1-2`, unless a tier of the plan is called that; then the next number that is free."""
    names = (base[: ID_LENGTH - len(suffix)] + suffix for suffix in map("-{}".format, count(number)))
    return next(name for name in names if name not in taken)


def _part(pieces: list[tuple[PlannedTier, tuple[PlannedPhase, ...]]]) -> Plan:
    tiers = tuple(tier.model_copy(update={"tier_index": index}) for index, (tier, _) in enumerate(pieces))
    listed = [(tier.tier_id, phase) for tier, phases in pieces for phase in phases]
    phases = tuple(
        phase.model_copy(update={"tier_id": tier_id, "phase_index": index})
        for index, (tier_id, phase) in enumerate(listed)
    )
    return Plan(tiers=tiers, phases=phases)


def _oldest_first(entry: BacklogEntry) -> tuple[int, int, str]:
    return (-entry.age_in_runs, -entry.age_in_tiers, entry.issue_key)


def _cleanup_phase(entry: BacklogEntry, phase_id: str, index: int, complexity: Complexity) -> PlannedPhase:
    seen = f"It was first seen in run {entry.first_seen_run_id} and last in run {entry.last_seen_run_id}"
    lines = (
        f"Earlier runs left the issue `{entry.issue_key}` open: {entry.problem or 'no description was recorded.'}",
        f"It is a {entry.base_severity} issue of category {entry.category}, found {entry.occurrences} times, "
        f"{entry.age_in_runs} runs and {entry.age_in_tiers} tiers old.",
        f"{seen}, in tiers {', '.join(entry.seen_in_tiers) or 'unknown'}.",
        "Fix its cause with the smallest change that does. Change nothing else.",
    )
    return PlannedPhase(
        phase_id=phase_id,
        tier_id=DEBT,
        phase_index=index,
        name=f"Clean up {entry.issue_key}"[:200],
        description="\n".join(lines)[:20_000],
        acceptance_criteria=(f"The issue {entry.issue_key} is gone.", "All tests pass."),
        task_category=TaskCategory.DEBT_CLEANUP,
        complexity=complexity,
        mends=(entry.issue_key,),
    )
