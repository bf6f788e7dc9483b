"""The run: one durable workflow from the label to the terminal state."""

from dbos import DBOS

from app.domain import promotion
from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, RunStopped
from app.domain.plan import Plan, Tier
from app.domain.states import RunState, TierState
from app.domain.strategy import Strategy
from app.domain.view import Headline
from app.github import comments, text
from app.github.errors import BranchMoved, GitHubRefused, GitHubUnavailable, TagTaken
from app.lifecycle import bootstrap, ending, promote, record, show
from app.lifecycle.bootstrap import repo_of
from app.lifecycle.build import Start
from app.lifecycle.job import Job, RunEnded
from app.lifecycle.patience import check_stop, patiently
from app.lifecycle.phase import run_phase
from app.lifecycle.services import NotConfigured, stopping
from app.lifecycle.steps import effect
from app.workspace.errors import WorkspaceError


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run(run_id: str) -> None:
    """Lead a run to a terminal state, whatever happens on the way."""
    job: Job | None = None
    try:
        await bootstrap.acknowledge(run_id)
        await show.say(run_id, Headline.PLANNING, "The Planner reads the issue and the repository.")
        job = await bootstrap.read_job(run_id)
        await _playbook(job)
        end = RunEnded(RunState.DONE_SUCCESS, "every phase is green and audited")
    except RunEnded as ended:
        end = ended
    except RunStopped:
        end = await _as_asked(run_id)
    except BudgetExhausted as spent:
        end = RunEnded(RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(spent))
    except ModelFailed as failed:
        end = RunEnded(_state_of(failed), str(failed))
    except (GitHubUnavailable, GitHubRefused, BranchMoved, TagTaken, WorkspaceError, NotConfigured) as trouble:
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, str(trouble))
    except Exception as defect:
        if stopping():
            raise
        DBOS.logger.exception("the run %s ended by a defect", run_id)
        end = RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"internal error, see the log: {type(defect).__name__}")
    await ending.finish(run_id, job, end)


async def _playbook(job: Job) -> None:
    """Plan; for each tier and each phase of it, build, gate, audit, push, verify, snapshot; then promote."""
    plan = await patiently(job, lambda: bootstrap.make_plan(job))
    strategy = await bootstrap.govern(job, plan)
    await record.store_strategy(job.run_id, plan, strategy)
    if job.intent == "plan":
        await _post_plan(job, plan, strategy)
        return
    if not strategy.cross_vendor:
        await record.notice(
            job.run_id, "Builder and Auditor are of the same vendor: no key of a second one is configured."
        )
    head_sha = job.base_sha
    for tier in plan.tiers:
        head_sha = await _run_tier(job, plan, strategy, tier, head_sha)
    await promote.bring_up_to_date(job, plan, strategy, head_sha)
    await check_stop(job.run_id)


async def _run_tier(job: Job, plan: Plan, strategy: Strategy, tier: Tier, head_sha: str) -> str:
    await record.move_tier(job.run_id, tier.tier_id, TierState.RUNNING, "its turn has come")
    for phase in plan.phases_of(tier.tier_id):
        await record.move_run(job.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} is next")
        head_sha = await run_phase(job, strategy, phase, Start(head_sha=head_sha))
    await record.move_tier(
        job.run_id, tier.tier_id, await _tier_outcome(job, strategy, tier), "its last phase has ended"
    )
    return head_sha


async def _tier_outcome(job: Job, strategy: Strategy, tier: Tier) -> TierState:
    """Whether the tier is clean, by the findings that are still open in it."""
    caps = strategy.of_tier(tier.tier_id)
    phases = next(one for one in (await record.view(job.run_id)).tiers if one.tier_id == tier.tier_id).phases
    return promotion.tier_outcome(
        [phase.state for phase in phases],
        major_issues=sum(phase.major_issues for phase in phases),
        minor_issues=sum(phase.minor_issues for phase in phases),
        max_major=caps.max_major_issues,
        max_minor=caps.max_minor_issues,
    )


async def _as_asked(run_id: str) -> RunEnded:
    """The ending that somebody asked for."""
    asked = await record.stop_asked(run_id)
    return RunEnded(*asked) if asked else RunEnded(RunState.DONE_CANCELLED, "stopped")


def _state_of(failed: ModelFailed) -> RunState:
    """A model that gives no usable answer needs a person to look; one that is out of reach, its environment mended."""
    needs_person = failed.failure in {ModelFailure.REFUSED, ModelFailure.MALFORMED}
    return RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW if needs_person else RunState.DONE_FAILED_ENVIRONMENT


@effect
async def _post_plan(job: Job, plan: Plan, strategy: Strategy) -> None:
    repo = await repo_of(job.repository, job.installation_id)
    await comments.post_once(
        repo, job.issue_number, f"plan:{job.run_id}", text.plan_comment(plan, strategy, run_id=job.run_id)
    )
