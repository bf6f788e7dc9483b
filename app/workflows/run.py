"""The run: one durable workflow from the label to the terminal state."""

from datetime import timedelta

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

from app.db import run_rows
from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, RunStopped
from app.domain.outcome import why_success
from app.domain.plan import Plan, PlannedTier
from app.domain.states import RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.github import comments, text
from app.github.github_errors import OUT_OF_REACH, BranchMoved, GitHubRefused, GitHubUnavailable
from app.queries import phase_costs
from app.workflows import (
    audited_tree,
    db_steps,
    finish_run,
    github_status,
    integrity_gate,
    promote,
    requested_changes,
    run_queue,
    start_run,
)
from app.workflows.own_engine import OwnEngine
from app.workflows.own_phase import run_phase, start_on
from app.workflows.phase import run_phases
from app.workflows.phase_progress import PhaseProgress
from app.workflows.posted_engine import PostedEngine
from app.workflows.run_context import PhaseContext, RunContext, RunEnded
from app.workflows.run_telling import Telling
from app.workflows.services import NotConfigured, call_db, repo_of_run, stopping
from app.workflows.steps import now
from app.workflows.waiting import raise_if_stopped, wait_for_wake, with_provider_pauses
from app.workflows.workflow_names import RUN
from app.workspace.workspace_errors import WorkspaceError


@DBOS.workflow(name=RUN, max_recovery_attempts=None)
async def run(run_id: str) -> None:
    """Lead a run with a repository to a terminal state, also when something fails on the way."""
    context: RunContext | None = None
    try:
        await start_run.acknowledge(run_id)
        await start_run.take_over_pull(run_id)
        governed = await start_run.stored_plan_and_strategy(run_id)
        if governed is None:
            await db_steps.begin_planning(run_id)
            await github_status.set_headline(
                run_id, Headline.PLANNING, "The Planner reads the issue and the repository."
            )
        context = await start_run.read_context(run_id)
        await _playbook(context, governed)
        end = RunEnded(RunState.DONE_SUCCESS, why_success(await db_steps.read_view(run_id)))
    except Exception as error:  # every error ends the run here
        if stopping():
            raise
        end = await _end_of(run_id, error)
    following = await finish_run.finish_run(run_id, context, end)
    if following is not None:
        await enqueue_run(following)


async def enqueue_run(run_id: str) -> None:
    """Have the run begin in its turn; a second call changes nothing."""
    project = await run_queue.read_project(run_id)
    with SetWorkflowID(run_id), SetEnqueueOptions(queue_partition_key=project):
        await DBOS.enqueue_workflow_async(run_queue.RUNS_QUEUE, run, run_id)
    await run_queue.show_waiting(run_id)


EVENT_SECONDS = 5.0
"""An event may come so much later than the refusals that it explains."""
_ENDS: tuple[tuple[type[Exception], RunState], ...] = (
    (BudgetExhausted, RunState.DONE_FAILED_BUDGET_EXHAUSTED),
    (GitHubUnavailable, RunState.DONE_FAILED_ENVIRONMENT),
    (GitHubRefused, RunState.DONE_FAILED_ENVIRONMENT),
    (BranchMoved, RunState.DONE_FAILED_ENVIRONMENT),
    (WorkspaceError, RunState.DONE_FAILED_ENVIRONMENT),
    (NotConfigured, RunState.DONE_FAILED_ENVIRONMENT),
)
"""The state in which a run ends when this error leaves the playbook; the error's text is the reason."""


async def _end_of(run_id: str, error: Exception) -> RunEnded:
    """How the run ends by this error."""
    if isinstance(error, RunEnded):
        return error
    if isinstance(error, (RunStopped, GitHubRefused, WorkspaceError)):
        requested = await db_steps.get_stop_request(run_id)
        lost = isinstance(error, WorkspaceError) or (isinstance(error, GitHubRefused) and error.status in OUT_OF_REACH)
        until = await now() + timedelta(seconds=EVENT_SECONDS)
        while requested is None and lost and (left := (until - await now()).total_seconds()) > 0:
            # What a person did, such as archiving the repository, is why GitHub refuses; the event is on its way, and
            # others may come before it.
            await wait_for_wake(left)
            requested = await db_steps.get_stop_request(run_id)
        if requested or isinstance(error, RunStopped):
            return RunEnded(*requested) if requested else RunEnded(RunState.DONE_CANCELLED, "stopped")
    if isinstance(error, ModelFailed):
        return RunEnded(_state_of_failed_model(error.failure), str(error))
    for kind, state in _ENDS:
        if isinstance(error, kind):
            return RunEnded(state, str(error), error.exhausted if isinstance(error, BudgetExhausted) else None)
    DBOS.logger.error("the run %s ended by a defect", run_id, exc_info=error)
    return RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"internal error, see the log: {type(error).__name__}")


def _state_of_failed_model(failure: ModelFailure) -> RunState:
    """Refused or malformed answers need human review; other failures are environment failures."""
    needs_person = failure in {ModelFailure.REFUSED, ModelFailure.MALFORMED}
    return RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW if needs_person else RunState.DONE_FAILED_ENVIRONMENT


async def _playbook(context: RunContext, governed: tuple[Plan, Strategy] | None) -> None:
    """Plan; for each tier and each phase of it, build, gate, audit, push, verify, snapshot; then promote.

    A plan that is too much for one run is divided: this one does the first part, and each part's run starts the next.
    """
    plan, strategy = governed or await _plan(context)
    if context.intent == "plan":
        return
    if strategy.engine is Engine.AUTOPACK and not strategy.cross_vendor:
        await db_steps.add_notice(
            context.run_id, "Builder and Auditor are of the same vendor: no key of a second one is configured."
        )
    head_sha = context.start_sha
    if strategy.engine is Engine.EXTERNAL:
        posted = PostedEngine(context, plan, strategy, head_sha)
        await run_phases(posted)
        head_sha = posted.head_sha
    else:
        for tier in plan.tiers:
            plan, strategy, head_sha = await _run_tier(context, plan, strategy, tier, head_sha)
    plan, strategy, head_sha = await requested_changes.settle(context, plan, strategy, head_sha)
    await integrity_gate.judge_branch(context, strategy, head_sha)
    await audited_tree.require_audited_tree(context, strategy, head_sha)
    await promote.judge_out_of_draft(context, plan, strategy, head_sha)
    await raise_if_stopped(context.run_id)


async def _plan(context: RunContext) -> tuple[Plan, Strategy]:
    """Have the plan made, unless it came with the run; divide and govern it."""
    whole = await start_run.given_plan(context.run_id) or await with_provider_pauses(
        context, lambda: start_run.make_plan(context)
    )
    plan, *rest = await start_run.split_plan(context, whole)
    strategy = await start_run.compile_run_strategy(context, plan)
    await db_steps.store_strategy(context.run_id, plan, strategy, rest)
    if context.intent == "plan":
        await _post_plan(context.run_id)
    return plan, strategy


async def _run_tier(
    context: RunContext, plan: Plan, strategy: Strategy, tier: PlannedTier, head_sha: str
) -> tuple[Plan, Strategy, str]:
    """Run the tier's phases; return the branch's head, and the plan with its rules as repairs have added to them."""
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.RUNNING, "its turn has come")
    for phase in plan.phases_of(tier.tier_id):
        if await db_steps.has_ended(context.run_id, phase.phase_id):
            # skipped by a person, or kept from the run with which this one goes on
            await db_steps.move_run(context.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} has ended already")
            continue
        await db_steps.move_run(context.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} is next")
        start = PhaseProgress(start=start_on(context, head_sha))
        own = OwnEngine(PhaseContext(context=context, strategy=strategy, phase=phase), start)
        head_sha = await run_phase(own)
        if own.in_conflict:  # no workflow starts until the base is merged
            plan, strategy, head_sha = await promote.merge_base(context, plan, strategy, head_sha)
    outcome = await db_steps.tier_outcome_of(context.run_id, tier.tier_id)
    await db_steps.move_tier(context.run_id, tier.tier_id, outcome, "its last phase has ended")
    if outcome is TierState.NOT_CLEAN and strategy.not_clean_fails_run:
        raise RunEnded(
            RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
            f"tier {tier.tier_id} ({tier.name}) is not clean, "
            f"which the safety profile {strategy.safety_profile} does not allow",
        )
    return plan, strategy, head_sha


@Telling
async def _post_plan(run_id: str) -> list[object]:
    run = await call_db(run_rows.get, run_id)
    if run.plan is None or run.strategy is None:
        return []
    repo = await repo_of_run(run.run_id)
    costs = await call_db(phase_costs.read_phase_costs, run.project_id)
    body = text.plan_comment(run.plan, run.strategy, run.rest, run_id=run_id, costs=costs)
    return [await comments.post_once(repo, run.issue_number, f"plan:{run_id}", body)]
