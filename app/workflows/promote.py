"""Promotion: the base is merged into the branch, CI judges once more, and the pull request is offered to a person."""

from app.agents.tasks import Feedback
from app.domain.budget import MOST_MERGES
from app.domain.ci import CiState
from app.domain.plan import BuilderMode, Complexity, Phase, Plan, TaskCategory, Tier
from app.domain.states import RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.github import commits, pulls, text
from app.github.commits import Merge, MergeState, WorkBranch
from app.github.github_errors import BranchMoved
from app.workflows import ci_wait, db_steps, github_status
from app.workflows.build import Start
from app.workflows.phase import run_phase
from app.workflows.repositories import repo_of
from app.workflows.run_context import Job, RunEnded
from app.workflows.start_run import find_base, govern
from app.workflows.steps import effect
from app.workflows.waiting import check_stop

FRESH_BASE = Tier(tier_id="FRESH-BASE", tier_index=0, name="Up to date with the base")


async def bring_up_to_date(job: Job, plan: Plan, strategy: Strategy, head_sha: str) -> str:
    """Merge the base into the branch until nothing is missing and CI is green; return the branch's head."""
    for number in range(1, MOST_MERGES + 1):
        await check_stop(job.run_id)
        base_sha = await _base_head(job)
        if await _is_behind(job, base_sha, head_sha):
            await db_steps.claim_ci_run(job.run_id, None)
        merge = await _merge(job, base_sha, head_sha)
        if merge.state is MergeState.UP_TO_DATE or merge.sha == head_sha:
            return head_sha
        if merge.state is MergeState.CONFLICT:
            start = Start(head_sha=head_sha, merging=base_sha, feedback=(_conflict(job),))
        else:
            before, head_sha = head_sha, merge.sha or head_sha
            await db_steps.pushed(job.run_id, None, head_sha)
            await github_status.supersede(job, before, head_sha)
            mended = await _judge_merge(job, strategy, head_sha)
            if mended is None:
                continue
            start = Start(head_sha=head_sha, feedback=(mended,))
        if strategy.engine is Engine.EXTERNAL:
            raise RunEnded(
                RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
                f"{job.base_branch} moved, and the branch does not fit it: bring {job.branch} up to date by hand",
            )
        plan, phase = _with_extra_phase(job, plan, number)
        strategy = await govern(job, plan, extra=number)
        await db_steps.append_phase(job.run_id, plan, strategy, phase.phase_id)
        await db_steps.move_run(job.run_id, RunState.PHASE_QUEUEING, f"{phase.phase_id} came up while merging the base")
        await db_steps.move_tier(job.run_id, FRESH_BASE.tier_id, TierState.RUNNING, phase.phase_id)
        head_sha = await run_phase(job, strategy, phase, start)
        await db_steps.move_tier(job.run_id, FRESH_BASE.tier_id, TierState.COMPLETE, phase.phase_id)
    raise RunEnded(
        RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
        f"{job.base_branch} moved {MOST_MERGES} times while the run was ending",
    )


@effect
async def _base_head(job: Job) -> str:
    repo = await repo_of(job.repository, job.installation_id)
    return (await find_base(repo, job)).sha


@effect
async def _is_behind(job: Job, base_sha: str, head_sha: str) -> bool:
    repo = await repo_of(job.repository, job.installation_id)
    return (await commits.compare(repo, base_sha, head_sha)).behind_by > 0


@effect
async def _merge(job: Job, base_sha: str, head_sha: str) -> Merge:
    """Merge on top of `head_sha` alone: GitHub's merge compares nothing, so what it merged is looked at.

    Raises `RunEnded` when somebody else's commit was on the branch: it is never offered for merging.
    """
    repo = await repo_of(job.repository, job.installation_id)
    message = text.merge_message(job.run_id, f"{job.base_branch} ({base_sha[:7]})")
    merge = await commits.merge_base_into(repo, WorkBranch.of_run(job.run_id), base_sha, message)
    if merge.state is MergeState.MERGED and merge.sha is not None and merge.sha != head_sha:
        built_on: str | None = (await commits.read_commit(repo, merge.sha)).parents[0]
    else:
        built_on = await commits.branch_head(repo, job.branch)
    if built_on != head_sha:
        reason = f"somebody else wrote to the run's branch: {BranchMoved(job.branch, head_sha, built_on)}"
        raise RunEnded(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason)
    return merge


async def _judge_merge(job: Job, strategy: Strategy, head_sha: str) -> Feedback | None:
    """Wait for CI on the merge; None when it is not red. Raises `RunEnded` when it never comes."""
    await db_steps.move_run(job.run_id, RunState.CI_RUNNING, f"{job.base_branch} merged into the branch")
    await github_status.say(
        job.run_id, Headline.WAITING_FOR_CI, f"CI judges {head_sha[:7]}, the branch with {job.base_branch} merged."
    )
    verdict = await ci_wait.await_verdict(job, head_sha, strategy.ci)
    if verdict.state is CiState.NEVER_CAME:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, f"CI did not judge {head_sha[:7]} in time: {verdict.reason}")
    if verdict.state is CiState.RED:
        return await ci_wait.failure_feedback(job, head_sha, verdict)
    return None


def _conflict(job: Job) -> Feedback:
    return Feedback(
        title="Solve the merge conflicts",
        text=f"{job.base_branch} is merged into your worktree. Files with conflict markers (<<<<<<<) need a decision "
        "that keeps the meaning of both sides. Remove every marker. Change nothing else.",
    )


def _with_extra_phase(job: Job, plan: Plan, number: int) -> tuple[Plan, Phase]:
    """The plan with one more phase, in a tier of its own."""
    phase = Phase(
        phase_id=f"FRESH-BASE-{number}",
        tier_id=FRESH_BASE.tier_id,
        phase_index=len(plan.phases),
        name=f"Make the branch work with the newest {job.base_branch}",
        description=f"{job.base_branch} moved while the run was working, and the two do not fit together.",
        acceptance_criteria=(
            "No conflict marker is left.",
            "All tests pass.",
            "Both sides' changes keep their meaning.",
        ),
        task_category=TaskCategory.FEATURE_SCAFFOLDING,
        complexity=Complexity.MEDIUM,
        builder_mode=BuilderMode.COMPOSE,
    )
    tier = FRESH_BASE.model_copy(update={"tier_index": len(plan.tiers)})
    tiers = plan.tiers if any(t.tier_id == tier.tier_id for t in plan.tiers) else (*plan.tiers, tier)
    return Plan(tiers=tiers, phases=(*plan.phases, phase)), phase


@effect
async def offer(job: Job) -> None:
    """Set the promotion check; where nothing stands against it, take the pull request out of draft."""
    view = await github_status.take(job.run_id)
    await github_status.show_promotion(job.run_id)
    if view.promotion_blockers or view.pull_number is None:
        return
    repo = await repo_of(job.repository, job.installation_id)
    if (await pulls.read_pull(repo, view.pull_number)).head_sha == view.head_sha:
        await pulls.mark_ready(repo, view.pull_number)
