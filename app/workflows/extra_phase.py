"""A phase that comes up while a run is at work, in a tier of its own: the newest base, or what a review asks for."""

from app.domain.plan import Plan, PlannedPhase, PlannedTier
from app.domain.states import RunState, TierState
from app.domain.strategy import Strategy
from app.workflows import db_steps
from app.workflows.build import AttemptStart
from app.workflows.own_engine import OwnEngine, PhaseProgress
from app.workflows.phase import run_phases
from app.workflows.run_context import PhaseContext, RunContext
from app.workflows.start_run import compile_run_strategy

EXTRA_TIERS = frozenset({"FRESH-BASE", "REVIEW"})
"""Their phases do not count against the cap on a plan's phases."""


async def run_extra_phase(
    context: RunContext, plan: Plan, tier: PlannedTier, phase: PlannedPhase, start: AttemptStart, cause: str
) -> tuple[Plan, Strategy, str]:
    """Run one more phase; the plan with it, its rules, and the branch's head. Raises `RunEnded` where it fails."""
    known = any(one.tier_id == tier.tier_id for one in plan.tiers)
    added = () if known else (tier.model_copy(update={"tier_index": len(plan.tiers)}),)
    plan = Plan(tiers=(*plan.tiers, *added), phases=(*plan.phases, phase))
    extra = sum(one.tier_id in EXTRA_TIERS for one in plan.phases)
    strategy = await compile_run_strategy(context, plan, extra=extra)
    await db_steps.append_phase(context.run_id, plan, strategy, phase.phase_id)
    await db_steps.move_run(context.run_id, RunState.PHASE_QUEUEING, cause)
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.RUNNING, phase.phase_id)
    own = OwnEngine(PhaseContext(context=context, strategy=strategy, phase=phase), PhaseProgress(start=start))
    await run_phases(own)
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.COMPLETE, phase.phase_id)
    return plan, strategy, own.head_sha
