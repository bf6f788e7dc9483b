"""The run: one durable workflow from the label to the terminal state."""

from dbos import DBOS, SetWorkflowID

from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, RunStopped
from app.domain.plan import Plan, PlannedTier
from app.domain.states import RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.github import comments, text
from app.github.github_errors import BranchMoved, GitHubRefused, GitHubUnavailable
from app.queries import run_details
from app.workflows import db_steps, external_run, finish_run, github_status, promote, start_run
from app.workflows.build import AttemptStart
from app.workflows.phase import run_phase
from app.workflows.repositories import repo_of
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.services import NotConfigured, call_db, stopping
from app.workflows.steps import optional_effect
from app.workflows.waiting import raise_if_stopped, wake, with_provider_pauses
from app.workspace.workspace_errors import WorkspaceError

RUNS_QUEUE = "runs"


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run(run_id: str) -> None:
    """Lead a run to a terminal state, whatever happens on the way."""
    context: RunContext | None = None
    try:
        if await start_run.has_repository(run_id):
            await start_run.acknowledge(run_id)
            governed = await start_run.stored_plan_and_strategy(run_id)
            if governed is None:
                await github_status.set_headline(
                    run_id, Headline.PLANNING, "The Planner reads the issue and the repository."
                )
            context = await start_run.read_context(run_id)
            await _playbook(context, governed)
            end = RunEnded(RunState.DONE_SUCCESS, "every phase is green and audited")
        else:
            await external_run.until_over(run_id)
            end = RunEnded(RunState.DONE_SUCCESS, "every phase has ended")
    except RunEnded as ended:
        end = ended
    except RunStopped:
        end = await _requested_end(run_id)
    except BudgetExhausted as spent:
        end = RunEnded(RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(spent), spent.exhausted)
    except ModelFailed as failed:
        end = RunEnded(_failure_state(failed), str(failed))
    except (GitHubUnavailable, GitHubRefused, BranchMoved, WorkspaceError, NotConfigured) as trouble:
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(trouble))
    except Exception as defect:
        if stopping():
            raise
        DBOS.logger.exception("the run %s ended by a defect", run_id)
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"internal error, see the log: {type(defect).__name__}")
    following = await finish_run.finish_run(run_id, context, end)
    if following is not None and context is not None:  # without a repository it has no workflow until it is over
        with SetWorkflowID(following):
            await DBOS.enqueue_workflow_async(RUNS_QUEUE, run, following)


async def start_workflow(run_id: str) -> None:
    """Set the run's workflow off; a second time changes nothing."""
    with SetWorkflowID(run_id):
        await DBOS.start_workflow_async(run, run_id)


async def notify_run(run_id: str) -> None:
    """Have the run's workflow look at what was posted.

    One without a repository has none while it is built: there is nothing to push, and a workflow that waits costs a
    look at the database five times a second. It is begun when the run is over, to lead it to its end.
    """
    place = await call_db(run_details.get_run_location, run_id)
    if place.repository is not None:
        await wake(run_id)
    elif place.over:
        await start_workflow(run_id)


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
    head_sha = context.base_sha
    if strategy.engine is Engine.EXTERNAL:
        head_sha = await external_run.build(context, plan, strategy)
    else:
        for tier in plan.tiers:
            head_sha = await _run_tier(context, plan, strategy, tier, head_sha)
    await promote.merge_base(context, plan, strategy, head_sha)
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
        await _post_plan(context, plan, strategy, rest)
    return plan, strategy


async def _run_tier(context: RunContext, plan: Plan, strategy: Strategy, tier: PlannedTier, head_sha: str) -> str:
    await db_steps.move_tier(context.run_id, tier.tier_id, TierState.RUNNING, "its turn has come")
    for phase in plan.phases_of(tier.tier_id):
        await db_steps.move_run(context.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} is next")
        head_sha = await run_phase(context, strategy, phase, AttemptStart(head_sha=head_sha))
    outcome = await db_steps.tier_outcome(context.run_id, tier.tier_id)
    await db_steps.move_tier(context.run_id, tier.tier_id, outcome, "its last phase has ended")
    if outcome is TierState.NOT_CLEAN and strategy.not_clean_fails_run:
        raise RunEnded(
            RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
            f"tier {tier.tier_id} ({tier.name}) is not clean, "
            f"which the safety profile {strategy.safety_profile} does not allow",
        )
    return head_sha


async def _requested_end(run_id: str) -> RunEnded:
    """The ending that somebody asked for."""
    asked = await db_steps.get_stop_request(run_id)
    return RunEnded(*asked) if asked else RunEnded(RunState.DONE_CANCELLED, "stopped")


def _failure_state(failed: ModelFailed) -> RunState:
    """A model that gives no usable answer needs a person to look; one that is out of reach, its environment mended."""
    needs_person = failed.failure in {ModelFailure.REFUSED, ModelFailure.MALFORMED}
    return RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW if needs_person else RunState.DONE_FAILED_ENVIRONMENT


@optional_effect
async def _post_plan(context: RunContext, plan: Plan, strategy: Strategy, rest: list[Plan]) -> None:
    repo = await repo_of(context.repository, context.installation_id)
    body = text.plan_comment(plan, strategy, rest, run_id=context.run_id)
    await comments.post_once(repo, context.issue_number, f"plan:{context.run_id}", body)
