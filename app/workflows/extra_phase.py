"""A phase that comes up while a run is at work, in a tier of its own: the newest base, or what people ask for."""

from typing import NamedTuple

from app.domain.findings import BuilderAnswer
from app.domain.plan import Plan, PlannedPhase, PlannedTier
from app.domain.states import RunState, TierState
from app.domain.strategy import Strategy
from app.workflows import db_steps
from app.workflows.build import AttemptStart
from app.workflows.own_engine import OwnEngine
from app.workflows.own_phase import run_phase
from app.workflows.phase_progress import PhaseProgress
from app.workflows.run_context import PhaseContext, RunContext
from app.workflows.start_run import compile_run_strategy


def next_extra_id(plan: Plan, kind: str) -> str:
    """The id of the plan's next phase of this kind, and of its tier."""
    return f"{kind}-{1 + sum(one.tier_id.startswith(kind) for one in plan.phases)}"


class ExtraPhase(NamedTuple):
    """The result: the plan with it, its rules, the branch's head, and what the Builder answered."""

    plan: Plan
    strategy: Strategy
    head_sha: str
    answer: BuilderAnswer | None


async def run_extra_phase(
    context: RunContext, plan: Plan, tier_name: str, phase: PlannedPhase, start: AttemptStart, cause: str
) -> ExtraPhase:
    """Run one more phase. Raises `RunEnded` where it fails."""
    tier = PlannedTier(tier_id=phase.tier_id, tier_index=len(plan.tiers), name=tier_name)
    plan = Plan(tiers=(*plan.tiers, tier), phases=(*plan.phases, phase))
    strategy = await compile_run_strategy(context, plan)
    await db_steps.append_phase(context.run_id, plan, strategy, phase.phase_id)
    await db_steps.move_run(context.run_id, RunState.PHASE_QUEUEING, cause)
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.RUNNING, phase.phase_id)
    own = OwnEngine(PhaseContext(context=context, strategy=strategy, phase=phase), PhaseProgress(start=start))
    head_sha = await run_phase(own)
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.COMPLETE, phase.phase_id)
    return ExtraPhase(plan, strategy, head_sha, own.answer)
