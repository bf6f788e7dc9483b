"""The external engine: what any other agent posts takes the part of the Builder and the Auditor.

What is posted is judged and stored when it comes (`app.db`). The run's workflow waits for it; where the run has a
repository, it applies, pushes, has CI judge and keeps as a snapshot what was posted, phase by phase, by the same
governed path.
"""

from app.domain.ci import CiState
from app.domain.findings import BuilderAnswer, Severity
from app.domain.frozen import Frozen
from app.domain.plan import Plan, PlannedPhase
from app.domain.ruleset import RepositorySettings, Ruleset
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, RunOptions, Strategy, compile_strategy
from app.runs import pending_work
from app.runs.pending_work import CompletionResult, PendingPhases, PendingWork
from app.workflows import ci_wait, db_steps, github_status, publish
from app.workflows.build import AttemptResult, AttemptStart, fetch_start, open_worktree
from app.workflows.publish import GatedPatch
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.services import services
from app.workflows.steps import db_step, effect
from app.workflows.waiting import raise_if_stopped, wait_for_wake
from app.workspace.workspace_errors import PatchError, PathError


def strategy_for(rules: Ruleset, plan: Plan, options: RunOptions, settings: RepositorySettings) -> Strategy:
    """The strategy of an externally built run without a repository: no pull request, so nothing is required of one."""
    strategy = compile_strategy(rules, plan, options, settings, services().vendors, engine=Engine.EXTERNAL)
    free = strategy.promotion.model_copy(update={"require_ci": False, "require_audit": False})
    return strategy.model_copy(update={"promotion": free})


async def build(context: RunContext, plan: Plan, strategy: Strategy) -> str:
    """Land what is posted, as it comes, until every phase has ended; return the branch's head."""
    phases = {phase.phase_id: phase for phase in plan.phases}
    said = ""
    while not (look := raise_if_ended(await _read_pending(context.run_id))).over:
        if look.phase_id is not None:
            await _work(context, strategy, phases[look.phase_id], look.head_sha or context.base_sha)
            said = ""
            continue
        if look.awaited != said:
            until = pending_work.post_deadline(look, strategy.external_deadline_minutes)
            await github_status.set_headline(context.run_id, Headline.WAITING_FOR_YOU, look.awaited, deadline=until)
            said = look.awaited
        await _sleep(context.run_id)
    return look.head_sha or context.base_sha


async def _work(context: RunContext, strategy: Strategy, phase: PlannedPhase, head_sha: str) -> None:
    """Bring a phase as far as it can be: to its audit, to CI, to its snapshot, or back to its builder."""
    work = await _next_work(context.run_id, phase.phase_id)
    if work is None:
        return
    landed: str | None = work.head_sha
    if landed is None or work.suggested:
        landed = await _land(context, strategy, phase, work, head_sha)
    if landed is not None:
        await _verify(context, strategy, phase, work, landed)


async def _land(
    context: RunContext, strategy: Strategy, phase: PlannedPhase, work: PendingWork, head_sha: str
) -> str | None:
    """Push what is posted as one commit: the builder's patch, and what the auditor suggests. None when it is refused.

    A suggestion that does not apply is left out and recorded.
    """
    start = AttemptStart(head_sha=head_sha)
    await fetch_start(context, start)
    own = () if work.head_sha is not None else (work.patch,)
    applied = await _apply(context, start, own + work.suggested)
    if applied.built is None or applied.count < len(own):
        await _send_back(
            context.run_id,
            phase.phase_id,
            work,
            (pending_work.patch_conflict_finding(phase.phase_id, applied.trouble),),
        )
        return None
    if applied.trouble:
        unused = pending_work.patch_conflict_finding(phase.phase_id, applied.trouble, Severity.MINOR)
        await _record_findings(context.run_id, phase.phase_id, (unused,), f"attempt {work.attempt}")
    if applied.count == 0:  # no suggestion could be used: the commit stays as it is
        await _record_pushed(context.run_id, phase.phase_id, work, head_sha, 0)
        return work.head_sha
    gated = publish.gate_patch(applied.built, phase, strategy.patch)
    if not isinstance(gated, GatedPatch):
        await _send_back(context.run_id, phase.phase_id, work, gated)
        return None
    raise_if_ended(await _read_pending(context.run_id))  # nothing is pushed for a run that has ended
    await db_steps.claim_ci_run(context.run_id, phase.phase_id)
    head_sha = await publish.push(context, strategy, phase, work.attempt, start, gated, work.summary)
    await db_steps.record_push(context.run_id, phase.phase_id, head_sha, gated.patch.paths)
    await github_status.supersede_check(context, start.head_sha, head_sha)
    await db_steps.record_pull(context.run_id, await publish.ensure_pull(context))
    await _record_pushed(context.run_id, phase.phase_id, work, head_sha, applied.count - len(own))
    return head_sha


async def _verify(
    context: RunContext, strategy: Strategy, phase: PlannedPhase, work: PendingWork, head_sha: str
) -> None:
    """CI judges the commit: red goes back to the builder, green waits for its audit or is kept as a snapshot."""
    verdict = await ci_wait.require_verdict(
        context, strategy, head_sha, lambda: _is_superseded(context.run_id, phase.phase_id, work)
    )
    if verdict.state is CiState.WAITING:
        return
    if verdict.state is CiState.RED:
        await ci_wait.failure_feedback(context, head_sha, verdict)
        await _send_back(context.run_id, phase.phase_id, work, ci_wait.as_findings(verdict.failed))
        return
    cause = f"{head_sha[:7]} is {verdict.state} and audited"
    if (
        await _complete(context.run_id, phase.phase_id, work, cause) is CompletionResult.COMPLETE
        and verdict.state is CiState.GREEN
    ):
        await publish.keep_snapshot(context, phase, head_sha)
        await _keep_snapshot(context.run_id, phase.phase_id)


class _Applied(Frozen):
    """Posted diffs on top of the branch: how many of them, and why the next one does not apply."""

    built: AttemptResult | None = None
    count: int = 0
    trouble: str = ""


@effect
async def _apply(context: RunContext, start: AttemptStart, diffs: tuple[str, ...]) -> _Applied:
    worktree, _ = await open_worktree(context, start)
    count, trouble = 0, ""
    for diff in diffs:
        try:
            if diff:
                await worktree.apply(diff)
        except (PatchError, PathError) as misfit:
            trouble = str(misfit)
            break
        count += 1
    answer = BuilderAnswer(status="done", summary="posted")
    return _Applied(built=AttemptResult(answer=answer, patch=await worktree.patch()), count=count, trouble=trouble)


async def _sleep(run_id: str) -> None:
    """Wait for something to be posted, or for the deadline. Raises `RunStopped` and `RunEnded`."""
    await raise_if_stopped(run_id)
    left = await _seconds_left(run_id)
    if left <= 0:
        raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, pending_work.NOTHING_POSTED)
    await wait_for_wake(left)


def raise_if_ended(pending: PendingPhases) -> PendingPhases:
    """Return what is pending. Raises `RunEnded` when what was posted has ended the run."""
    if pending.state.terminal and pending.state is not RunState.DONE_SUCCESS:
        raise RunEnded(pending.state, pending.reason)
    return pending


_read_pending = db_step(pending_work.read_pending)
_next_work = db_step(pending_work.next_work)
_seconds_left = db_step(pending_work.seconds_left)
_send_back = db_step(pending_work.send_back_work)
_record_findings = db_step(pending_work.record_work_findings)
_record_pushed = db_step(pending_work.record_pushed)
_complete = db_step(pending_work.complete_work)
_is_superseded = db_step(pending_work.is_superseded)
_keep_snapshot = db_step(pending_work.mark_snapshot)
