"""Promotion: the base is merged into the branch, CI judges again, and the pull request is offered to a person."""

from app.agents.tasks import Feedback
from app.db import run_rows
from app.domain.budget import MAX_MERGES
from app.domain.ci import CiState, CiVerdict, CiWait, RequiredCheck, decide
from app.domain.outcome import after_success
from app.domain.plan import BuilderMode, Plan, PlannedPhase, TaskCategory
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.github import ci_facts, commits, pulls, text
from app.github.client import Repo
from app.github.commits import Merge, MergeState, WorkBranch
from app.github.github_errors import GitHubRefused, breaks_rule, refuses_workflow
from app.workflows import ci_reading, ci_wait, db_steps, github_status, integrity_gate
from app.workflows.build import AttemptStart
from app.workflows.extra_phase import next_extra_id, run_extra_phase
from app.workflows.publish import pushed_by_hand
from app.workflows.repositories import mirror_at
from app.workflows.run_context import ForeignCommits, RunContext, RunEnded
from app.workflows.run_telling import Telling
from app.workflows.services import call_db, repo_of_run
from app.workflows.start_run import read_base_commit, rules_of
from app.workflows.steps import effect
from app.workflows.waiting import raise_if_stopped

_FRESH_BASE = "FRESH-BASE"


async def merge_base(context: RunContext, plan: Plan, strategy: Strategy, head_sha: str) -> tuple[Plan, Strategy, str]:
    """Merge the base into the branch until nothing is missing and CI is green.

    Return the branch's head, and the plan with its rules: each repair is a phase of its own.
    """
    for _ in range(MAX_MERGES):
        await raise_if_stopped(context.run_id)
        base_sha = await _base_head(context)
        if await _is_behind(context, base_sha, head_sha):
            await db_steps.claim_ci_run(context.run_id, None)
        try:
            merge = await _merge(context, base_sha, head_sha)
        except GitHubRefused as refusal:
            if not (refuses_workflow(refusal) or breaks_rule(refusal)):
                raise
            await db_steps.object_to_promotion(context.run_id, _unmergeable(context, refusal))
            return plan, strategy, head_sha
        if merge.state is MergeState.UP_TO_DATE or merge.sha == head_sha:
            return plan, strategy, head_sha
        if merge.state is MergeState.CONFLICT:
            start = AttemptStart(head_sha=head_sha, merging=base_sha, feedback=(_conflict(context),))
        else:
            before, head_sha = head_sha, merge.sha or head_sha
            await db_steps.record_push(context.run_id, None, head_sha)
            await github_status.supersede_check(context.run_id, before, head_sha)
            failure = await _judge_merge(context, strategy, head_sha)
            if failure is None:
                continue
            start = AttemptStart(head_sha=head_sha, feedback=(failure,))
        if strategy.engine is Engine.EXTERNAL:
            raise RunEnded(
                RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
                f"{context.base_branch} moved and conflicts with the branch: update {context.branch} by hand",
            )
        phase = _fresh_base_phase(context, plan)
        cause = f"{phase.phase_id} came up while merging the base"
        extra = await run_extra_phase(context, plan, "Up to date with the base", phase, start, cause)
        plan, strategy, head_sha = extra.plan, extra.strategy, extra.head_sha
    raise RunEnded(
        RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
        f"{context.base_branch} moved {MAX_MERGES} times while the run was ending",
    )


@effect
async def _base_head(context: RunContext) -> str:
    repo = await repo_of_run(context.run_id)
    run = await call_db(run_rows.get, context.run_id)
    return (await read_base_commit(repo, run)).sha


@effect
async def _is_behind(context: RunContext, base_sha: str, head_sha: str) -> bool:
    mirror = await mirror_at(context.run_id, base_sha, head_sha)
    return await mirror.merge_base(base_sha, head_sha) != base_sha


@effect
async def _merge(context: RunContext, base_sha: str, head_sha: str) -> Merge:
    """Merge on top of `head_sha` alone: GitHub's merge compares nothing, so what it merged is looked at.

    Raises `ForeignCommits` when someone else's commits are on the branch: they are not offered unseen.
    """
    repo = await repo_of_run(context.run_id)
    message = text.merge_message(context.run_id, f"{context.base_branch} ({base_sha[:7]})")
    merge = await commits.merge_base_into(repo, WorkBranch(context.branch), base_sha, message)
    if merge.state is MergeState.MERGED and merge.sha is not None and merge.sha != head_sha:
        built_on: str | None = (await commits.read_commit(repo, merge.sha)).parents[0]
    else:
        built_on = await commits.branch_head(repo, context.branch)
    if built_on != head_sha:
        newest = merge.sha if merge.state is MergeState.MERGED else built_on
        raise ForeignCommits(await pushed_by_hand(context, head_sha, newest))
    return merge


async def _judge_merge(context: RunContext, strategy: Strategy, head_sha: str) -> Feedback | None:
    """The failure where CI finds the merge red, else None. Raises `RunEnded` at the deadline."""
    await db_steps.move_run(context.run_id, RunState.CI_RUNNING, f"{context.base_branch} merged into the branch")
    await github_status.set_headline(
        context.run_id,
        Headline.WAITING_FOR_CI,
        f"CI judges {head_sha[:7]}, the branch with {context.base_branch} merged.",
    )
    verdict = await ci_wait.await_verdict(context, head_sha, strategy.ci)
    return await _red(context, strategy, head_sha, verdict)


async def _red(context: RunContext, strategy: Strategy, head_sha: str, verdict: CiVerdict) -> Feedback | None:
    if verdict.state is CiState.RED:
        return await ci_reading.failure_feedback(context, head_sha, verdict)
    await ci_wait.record_verdict(context, strategy, head_sha, verdict)
    return None


def _unmergeable(context: RunContext, refusal: GitHubRefused) -> str:
    why = (
        f"{context.base_branch} has a changed workflow file, which the App may not merge into the branch"
        if refuses_workflow(refusal)
        else f"GitHub refuses the merge of {context.base_branch} into the branch ({' '.join(refusal.words.split())})"
    )
    return f"{why}: merge {context.base_branch} into {context.branch} by hand, wait for CI, then merge the pull request"


def _conflict(context: RunContext) -> Feedback:
    return Feedback(
        title="Solve the merge conflicts",
        text=f"{context.base_branch} is merged into your worktree. Files with conflict markers (<<<<<<<) need a "
        "decision that keeps the meaning of both sides. Remove every marker. Change nothing else.",
    )


def _fresh_base_phase(context: RunContext, plan: Plan) -> PlannedPhase:
    phase_id = next_extra_id(plan, _FRESH_BASE)
    return PlannedPhase(
        phase_id=phase_id,
        tier_id=phase_id,
        phase_index=len(plan.phases),
        name=f"Make the branch work with the newest {context.base_branch}",
        description=f"{context.base_branch} moved while the run was working, and the two do not fit together.",
        acceptance_criteria=(
            "No conflict marker is left.",
            "All tests pass.",
            "Both sides' changes keep their meaning.",
        ),
        task_category=TaskCategory.FEATURE_SCAFFOLDING,
        complexity=rules_of(context).complexities[TaskCategory.FEATURE_SCAFFOLDING],
        builder_mode=BuilderMode.COMPOSE,
    )


async def judge_out_of_draft(context: RunContext, plan: Plan, strategy: Strategy, head_sha: str) -> None:
    """Where all of CI was skipped, the pull request leaves draft before its last verdict: such jobs wait for that.

    Red there, it goes back into draft and the run ends: what CI says of later attempts would be skipped again.
    """
    if not await _is_skipped_in_draft(context, strategy, head_sha):
        return
    await db_steps.move_run(context.run_id, RunState.CI_RUNNING, "CI waits for the pull request to leave draft")
    await _set_draft(context, False)
    verdict = await ci_wait.require_verdict(context, strategy, head_sha)
    failure = await _red(context, strategy, head_sha, verdict)
    if failure is None:
        return
    await _set_draft(context, True)
    last = plan.phases[-1].phase_id
    await db_steps.record_findings(context.run_id, last, ci_reading.as_findings(verdict.failed), f"ci {head_sha[:7]}")
    reason = f"CI is red once the pull request is out of draft ({verdict.reason}); before, its jobs were skipped"
    raise RunEnded(RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW, reason)


@effect
async def _is_skipped_in_draft(context: RunContext, strategy: Strategy, head_sha: str) -> bool:
    view = await github_status.read_view(context.run_id)
    if view.pull_number is None or view.head_sha != head_sha:
        return False
    repo = await repo_of_run(context.run_id)
    if not (await pulls.read_pull(repo, view.pull_number)).draft:
        return False
    return (await _verdict_now(repo, head_sha, (), strategy)).all_skipped


async def _verdict_now(repo: Repo, head_sha: str, required: tuple[RequiredCheck, ...], strategy: Strategy) -> CiVerdict:
    """What CI says of a commit now, without waiting for more."""
    wait = CiWait(waited_seconds=1, grace_seconds=0, deadline_seconds=2, workflows_present=True)
    return decide(await ci_facts.read_ci(repo, head_sha, required), wait, strategy.ci.policy)


@effect
async def _set_draft(context: RunContext, draft: bool) -> None:
    view = await github_status.read_view(context.run_id)
    repo = await repo_of_run(context.run_id)
    if view.pull_number is not None:
        pull = await pulls.read_pull(repo, view.pull_number)
        await (pulls.mark_draft if draft else pulls.mark_ready)(repo, pull)


async def note_late_verdict(run_id: str) -> None:
    """Where no CI judged the branch by the run's end, take note of a CI that has since."""
    run = await call_db(run_rows.get, run_id)
    view = await github_status.read_view(run_id)
    if view.strategy is None or view.head_sha is None or not run.ci_absent:
        return
    repo = await repo_of_run(run_id)
    required = await ci_facts.required_checks(repo, run.base_branch)
    if (await _verdict_now(repo, view.head_sha, required, view.strategy)).state is CiState.GREEN:
        await call_db(run_rows.set_ci_absent, run_id, absent=False)


async def foreign_head(run_id: str) -> str:
    """The branch's commit, where someone else has moved it since the run's end; else empty."""
    run = await call_db(run_rows.get, run_id)
    actual = await commits.branch_head(await repo_of_run(run_id), run.branch)
    return actual if actual is not None and run.head_sha is not None and actual != run.head_sha else ""


@Telling
async def reconsider(run_id: str) -> list[object]:
    """After the end: the promotion check says what is known now; a pull request that may not be merged is a draft."""
    view = await github_status.read_view(run_id)
    if view.promoted or view.state is not RunState.DONE_SUCCESS or view.continued_by is not None:
        return []
    await call_db(run_rows.update, run_id, {"next_action": after_success(view)})
    if not view.promotion_blockers:
        await offer_promotion.at_once(run_id)
        return []
    await github_status.show_promotion.at_once(run_id)
    run = await call_db(run_rows.get, run_id)
    if view.pull_number is None:
        return []
    repo = await repo_of_run(run.run_id)
    return [await pulls.mark_draft(repo, await pulls.read_pull(repo, view.pull_number))]


@Telling
async def offer_promotion(run_id: str) -> list[object]:
    """Set the promotion check; where nothing prevents promotion, take the pull request out of draft."""
    view = await github_status.read_view(run_id)
    await integrity_gate.show_integrity.at_once(run_id)
    await github_status.show_promotion.at_once(run_id)
    if view.promotion_blockers or view.pull_number is None or not view.state.terminal:
        return []
    run = await call_db(run_rows.get, run_id)
    repo = await repo_of_run(run.run_id)
    pull = await pulls.read_pull(repo, view.pull_number)
    if pull.open and pull.head_sha == view.head_sha:
        await pulls.mark_ready(repo, pull)
    return []
