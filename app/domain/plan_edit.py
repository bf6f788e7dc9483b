"""What a person changed of a posted plan, in words."""

from app.domain.plan import Plan, PlannedPhase


class PlanUnreadable(ValueError):
    """The edited text is no plan; the message says where, and what to write."""


def changes(before: Plan, after: Plan) -> tuple[str, ...]:
    """What `after` changes of `before`, one sentence each; none where they are the same."""
    old = {phase.phase_id: phase for phase in before.phases}
    new = {phase.phase_id: phase for phase in after.phases}
    gone, added = [one for one in old if one not in new], [one for one in new if one not in old]
    kept = [one for one in old if one in new]
    said = [f"{', '.join(gone)} left out"] if gone else []
    said += [f"{one} added ({new[one].name})" for one in added]
    if [one for one in new if one in old] != kept:
        said.append(f"in the order {', '.join(new)}")
    for one in kept:
        said += _of_phase(old[one], new[one])
    return tuple(said)


def _of_phase(old: PlannedPhase, new: PlannedPhase) -> list[str]:
    said = [f"{new.phase_id} is now: {new.name}"] if old.name != new.name else []
    if old.acceptance_criteria != new.acceptance_criteria:
        more = [one for one in new.acceptance_criteria if one not in old.acceptance_criteria]
        less = sum(one not in new.acceptance_criteria for one in old.acceptance_criteria)
        said += [f"{new.phase_id} must also: {one}" for one in more]
        said += [f"{new.phase_id} has {less} criteria less"] if less else []
    if old.tier_id != new.tier_id:
        said.append(f"{new.phase_id} is in {new.tier_id}")
    return said


def joined(parts: tuple[Plan, ...]) -> Plan:
    """The plan whose parts these are, in order."""
    tiers = {tier.tier_id: tier for part in parts for tier in part.tiers}
    phases = [phase for part in parts for phase in part.phases]
    return Plan(
        tiers=tuple(tier.model_copy(update={"tier_index": number}) for number, tier in enumerate(tiers.values())),
        phases=tuple(phase.model_copy(update={"phase_index": number}) for number, phase in enumerate(phases)),
    )
