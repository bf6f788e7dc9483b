"""A phase of Autopack's own Builder from start to end, also where a person has it left out while it is at work."""

from app.agents.tasks import Feedback
from app.domain.budget import PhaseSkipped
from app.domain.ci import CiState
from app.domain.states import RunState
from app.workflows import ci_wait, db_steps, github_status, publish
from app.workflows.build import AttemptStart
from app.workflows.own_engine import OwnEngine
from app.workflows.phase import run_phases
from app.workflows.run_context import PhaseContext, PhaseDeclined, RunContext

BUILDER = "the Builder, with its reasons"
"""Who skips a phase in which nothing that people requested needs to be done."""


def start_on(context: RunContext, head_sha: str) -> AttemptStart:
    """Where a phase on top of `head_sha` starts; what no audit saw before the run is audited with its first phase."""
    if head_sha != context.start_sha or context.unread_since is None:
        return AttemptStart(head_sha=head_sha)
    earlier = Feedback(
        title="An earlier run left work for this in the worktree. It ended because", text=context.earlier
    )
    return AttemptStart(
        head_sha=head_sha, unread_since=context.unread_since, feedback=(earlier,) if context.earlier else ()
    )


async def run_phase(own: OwnEngine) -> str:
    """Run the phase until it is complete or left out; the branch's head. Raises `RunEnded` where it fails."""
    start_sha = own.progress.start.head_sha
    try:
        await run_phases(own)
    except PhaseSkipped:
        return await _leave_out(own.phase, start_sha)
    except PhaseDeclined:
        return await _leave_out(own.phase, start_sha, BUILDER)
    return own.head_sha


async def _leave_out(phase: PhaseContext, start_sha: str, by: str = "") -> str:
    """Skip the phase, and take back what it has pushed: the branch's tree is what it was before."""
    context, run_id = phase.context, phase.run_id
    await db_steps.leave_out(run_id, phase.phase_id, by)
    pushed = await db_steps.read_head(run_id)
    if pushed is None or pushed == start_sha:
        return start_sha
    head_sha = await publish.take_back(phase, start_sha, pushed)
    await db_steps.record_push(run_id, None, head_sha)
    await github_status.supersede_check(run_id, pushed, head_sha)
    await db_steps.move_run(run_id, RunState.CI_RUNNING, f"{phase.phase_id} is taken back")
    verdict = await ci_wait.require_verdict(context, phase.strategy, head_sha)
    if verdict.state is CiState.RED:
        await db_steps.object_to_promotion(run_id, f"CI is red without {phase.phase_id}: {verdict.reason}")
    return head_sha
