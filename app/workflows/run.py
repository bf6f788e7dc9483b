"""The run: one durable workflow from the label to the terminal state."""

from dbos import DBOS, SetWorkflowID

from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, RunStopped
from app.domain.plan import Plan, Tier
from app.domain.states import RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.github import comments, text
from app.github.github_errors import BranchMoved, GitHubRefused, GitHubUnavailable
from app.queries import run_details
from app.workflows import db_steps, external_run, finish_run, github_status, promote, start_run
from app.workflows.build import Start
from app.workflows.phase import run_phase
from app.workflows.repositories import repo_of
from app.workflows.run_context import Job, RunEnded
from app.workflows.services import NotConfigured, in_db, stopping
from app.workflows.steps import optional_effect
from app.workflows.waiting import check_stop, patiently, wake
from app.workspace.workspace_errors import WorkspaceError

RUNS_QUEUE = "runs"


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run(run_id: str) -> None:
    """Lead a run to a terminal state, whatever happens on the way."""
    job: Job | None = None
    try:
        if await start_run.has_repository(run_id):
            await start_run.acknowledge(run_id)
            governed = await start_run.governed(run_id)
            if governed is None:
                await github_status.say(run_id, Headline.PLANNING, "The Planner reads the issue and the repository.")
            job = await start_run.read_job(run_id)
            await _playbook(job, governed)
            end = RunEnded(RunState.DONE_SUCCESS, "every phase is green and audited")
        else:
            await external_run.until_over(run_id)
            end = RunEnded(RunState.DONE_SUCCESS, "every phase has ended")
    except RunEnded as ended:
        end = ended
    except RunStopped:
        end = await _as_asked(run_id)
    except BudgetExhausted as spent:
        end = RunEnded(RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(spent), spent.exhausted)
    except ModelFailed as failed:
        end = RunEnded(_state_of(failed), str(failed))
    except (GitHubUnavailable, GitHubRefused, BranchMoved, WorkspaceError, NotConfigured) as trouble:
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(trouble))
    except Exception as defect:
        if stopping():
            raise
        DBOS.logger.exception("the run %s ended by a defect", run_id)
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"internal error, see the log: {type(defect).__name__}")
    following = await finish_run.finish(run_id, job, end)
    if following is not None and job is not None:  # without a repository it has no workflow until it is over
        with SetWorkflowID(following):
            await DBOS.enqueue_workflow_async(RUNS_QUEUE, run, following)


async def begin(run_id: str) -> None:
    """Set the run's workflow off; a second time changes nothing."""
    with SetWorkflowID(run_id):
        await DBOS.start_workflow_async(run, run_id)


async def go_on(run_id: str) -> None:
    """Have the run's workflow look at what was posted.

    One without a repository has none while it is built: there is nothing to push, and a workflow that waits costs a
    look at the database five times a second. It is begun when the run is over, to lead it to its end.
    """
    place = await in_db(run_details.place_of, run_id)
    if place.repository is not None:
        await wake(run_id)
    elif place.over:
        await begin(run_id)


async def _playbook(job: Job, governed: tuple[Plan, Strategy] | None) -> None:
    """Plan; for each tier and each phase of it, build, gate, audit, push, verify, snapshot; then promote.

    A plan that is too much for one run is divided: this one does the first part, and each part's run starts the next.
    """
    plan, strategy = governed or await _plan(job)
    if job.intent == "plan":
        return
    if strategy.engine is Engine.AUTOPACK and not strategy.cross_vendor:
        await db_steps.notice(
            job.run_id, "Builder and Auditor are of the same vendor: no key of a second one is configured."
        )
    head_sha = job.base_sha
    if strategy.engine is Engine.EXTERNAL:
        head_sha = await external_run.build(job, plan, strategy)
    else:
        for tier in plan.tiers:
            head_sha = await _run_tier(job, plan, strategy, tier, head_sha)
    await promote.bring_up_to_date(job, plan, strategy, head_sha)
    await check_stop(job.run_id)


async def _plan(job: Job) -> tuple[Plan, Strategy]:
    """Have the plan made, unless it came with the run; divide and govern it."""
    whole = await start_run.given_plan(job.run_id) or await patiently(job, lambda: start_run.make_plan(job))
    plan, *rest = await start_run.divide(job, whole)
    strategy = await start_run.govern(job, plan)
    await db_steps.store_strategy(job.run_id, plan, strategy, rest)
    if job.intent == "plan":
        await _post_plan(job, plan, strategy, rest)
    return plan, strategy


async def _run_tier(job: Job, plan: Plan, strategy: Strategy, tier: Tier, head_sha: str) -> str:
    await db_steps.move_tier(job.run_id, tier.tier_id, TierState.RUNNING, "its turn has come")
    for phase in plan.phases_of(tier.tier_id):
        await db_steps.move_run(job.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} is next")
        head_sha = await run_phase(job, strategy, phase, Start(head_sha=head_sha))
    outcome = await db_steps.tier_outcome(job.run_id, tier.tier_id)
    await db_steps.move_tier(job.run_id, tier.tier_id, outcome, "its last phase has ended")
    if outcome is TierState.NOT_CLEAN and strategy.not_clean_fails_run:
        raise RunEnded(
            RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
            f"tier {tier.tier_id} ({tier.name}) is not clean, "
            f"which the safety profile {strategy.safety_profile} does not allow",
        )
    return head_sha


async def _as_asked(run_id: str) -> RunEnded:
    """The ending that somebody asked for."""
    asked = await db_steps.stop_asked(run_id)
    return RunEnded(*asked) if asked else RunEnded(RunState.DONE_CANCELLED, "stopped")


def _state_of(failed: ModelFailed) -> RunState:
    """A model that gives no usable answer needs a person to look; one that is out of reach, its environment mended."""
    needs_person = failed.failure in {ModelFailure.REFUSED, ModelFailure.MALFORMED}
    return RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW if needs_person else RunState.DONE_FAILED_ENVIRONMENT


@optional_effect
async def _post_plan(job: Job, plan: Plan, strategy: Strategy, rest: list[Plan]) -> None:
    repo = await repo_of(job.repository, job.installation_id)
    body = text.plan_comment(plan, strategy, rest, run_id=job.run_id)
    await comments.post_once(repo, job.issue_number, f"plan:{job.run_id}", body)
