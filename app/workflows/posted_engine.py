"""Results and audits that other agents post: attempts in the order in which they come, newer before older."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from app.domain.ci import CiState
from app.domain.findings import BuilderAnswer, Finding, Severity
from app.domain.frozen import Frozen
from app.domain.patch import Patch
from app.domain.plan import Plan
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Strategy
from app.runs import pending_work
from app.runs.pending_work import CompletionResult, PendingPhases, PendingWork
from app.workflows import audit_reviews, ci_reading, github_status
from app.workflows.answers import announce_answers
from app.workflows.audit import Audit
from app.workflows.build import AttemptResult, AttemptStart, fetch_start, open_worktree
from app.workflows.phase_engine import Attempt, AttemptOutcome
from app.workflows.run_context import ForeignCommits, PhaseContext, RunContext, RunEnded
from app.workflows.steps import db_step, effect
from app.workflows.waiting import raise_if_stopped, wait_for_wake
from app.workspace.workspace_errors import PatchError, PathError


@dataclass
class PostedEngine:
    """What is posted for the phases of a run, until every phase has ended."""

    context: RunContext
    plan: Plan
    strategy: Strategy
    head_sha: str
    """The branch's head."""
    work: PendingWork = field(init=False)
    """What the attempt in hand consists of."""
    suggested: int = 0
    """How many of the auditor's suggestions the attempt in hand holds."""

    async def attempts(self) -> AsyncIterator[Attempt]:
        """Posted work that is ready to push or in CI. Raises `RunEnded` when nothing is posted in time."""
        phases = {phase.phase_id: phase for phase in self.plan.phases}
        shown = ""
        while not (pending := raise_if_ended(await _read_pending(self.context.run_id))).over:
            self.head_sha = pending.head_sha or self.context.base_sha
            if pending.unshown:
                await audit_reviews.show_posted_audits(self.context.run_id)
            work = await _next_work(self.context.run_id, pending.phase_id) if pending.phase_id is not None else None
            if pending.phase_id is not None and work is not None:
                phase = PhaseContext(context=self.context, strategy=self.strategy, phase=phases[pending.phase_id])
                self.work = work
                start = AttemptStart(head_sha=self.head_sha)
                yield Attempt(phase=phase, number=work.attempt, start=start)
                shown = ""
                continue
            if pending.awaited != shown:
                until = pending_work.post_deadline(pending, self.strategy.external_deadline_minutes)
                await github_status.set_headline(
                    self.context.run_id, Headline.WAITING_FOR_YOU, pending.awaited, deadline=until
                )
                shown = pending.awaited
            await self._wait()
        self.head_sha = pending.head_sha or self.context.base_sha

    async def build(self, attempt: Attempt) -> AttemptResult:
        """The builder's patch and what the auditor suggests, as one patch on top of the branch.

        A suggestion that does not apply is left out and recorded.
        """
        work, phase, self.suggested = self.work, attempt.phase, 0
        if work.head_sha is not None and not work.suggested:
            return _unchanged(work.head_sha)
        await fetch_start(self.context, attempt.start)
        own = () if work.head_sha is not None else (work.patch,)
        applied = await _apply(self.context, attempt.start, own + work.suggested)
        answer = BuilderAnswer(status="done", summary=work.summary)
        if applied.count < len(own):
            conflict = pending_work.patch_conflict_finding(phase.phase_id, applied.problem)
            return AttemptResult(answer=answer, patch=applied.patch, refused=(conflict,))
        if applied.problem:
            unused = pending_work.patch_conflict_finding(phase.phase_id, applied.problem, Severity.MINOR)
            await _record_work_findings(phase.run_id, phase.phase_id, (unused,), f"attempt {work.attempt}")
        if applied.count == 0 and work.head_sha is not None:
            await self._record_pushed(phase, self.head_sha)
            return _unchanged(work.head_sha)
        self.suggested = applied.count - len(own)
        raise_if_ended(await _read_pending(phase.run_id))  # nothing is pushed for a run that has ended
        return AttemptResult(answer=answer, patch=applied.patch)

    async def record_gate(self, attempt: Attempt, built: AttemptResult, refused: tuple[Finding, ...]) -> None:
        """Nothing: the gate judged the result when it was posted; what it finds now is recorded by `send_back`."""

    async def audit_patch(self, attempt: Attempt, built: AttemptResult) -> Audit | None:  # noqa: ARG002
        """None: work that needs an audit first is ready to push only once that is posted."""
        return None

    async def record_push(self, attempt: Attempt, built: AttemptResult, head_sha: str) -> None:  # noqa: ARG002
        """Answer those who posted the work: it is pushed."""
        await self._record_pushed(attempt.phase, head_sha)

    async def audit_commit(self, attempt: Attempt, head_sha: str, early: Audit | None) -> Audit | None:  # noqa: ARG002
        """None: an audit is posted when its auditor is ready, also after CI's verdict."""
        return None

    async def reread(self, attempt: Attempt, audit: Audit) -> Audit:  # noqa: ARG002
        """As it is: an audit is posted for the phase as a whole, and read when it comes."""
        return audit

    async def superseded(self, attempt: Attempt) -> bool:
        """Whether something newer was posted, or the phase was taken back."""
        return await _is_superseded(attempt.phase.run_id, attempt.phase.phase_id, self.work)

    async def send_back(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Send the phase back to its builder, unless something newer took the attempt's place."""
        if outcome.by_hand is not None:
            raise ForeignCommits(outcome.by_hand)
        if outcome.ci is not None and outcome.ci.state is CiState.WAITING:
            return
        found = ci_reading.as_findings(outcome.ci.failed) if outcome.ci is not None else outcome.refused
        await _send_back_work(attempt.phase.run_id, attempt.phase.phase_id, self.work, found)
        announce_answers(self.context.run_id)

    async def complete(self, attempt: Attempt, outcome: AttemptOutcome, cause: str) -> bool:  # noqa: ARG002
        """Complete the phase if it is audited and nothing newer was posted."""
        phase = attempt.phase
        result = await _complete_work(phase.run_id, phase.phase_id, self.work, cause)
        announce_answers(self.context.run_id)
        return result is CompletionResult.COMPLETE

    async def _record_pushed(self, phase: PhaseContext, head_sha: str) -> None:
        await _record_pushed(phase.run_id, phase.phase_id, self.work, head_sha, self.suggested)
        announce_answers(self.context.run_id)

    async def _wait(self) -> None:
        """Wait for something to be posted, or for the deadline. Raises `RunStopped` and `RunEnded`."""
        await raise_if_stopped(self.context.run_id)
        left = await _seconds_left(self.context.run_id)
        if left <= 0:
            raise RunEnded(RunState.DONE_FAILED_ENVIRONMENT, pending_work.NOTHING_POSTED)
        await wait_for_wake(left)


def raise_if_ended(pending: PendingPhases) -> PendingPhases:
    """Return what is pending. Raises `RunEnded` when what was posted has ended the run."""
    if pending.state.terminal and pending.state is not RunState.DONE_SUCCESS:
        raise RunEnded(pending.state, pending.reason)
    return pending


class _Applied(Frozen):
    """Posted diffs on top of the branch: how many of them, and why the next one does not apply."""

    patch: Patch
    count: int
    problem: str


@effect
async def _apply(context: RunContext, start: AttemptStart, diffs: tuple[str, ...]) -> _Applied:
    worktree, _ = await open_worktree(context, start)
    count, problem = 0, ""
    for diff in diffs:
        try:
            if diff:
                await worktree.apply(diff)
        except (PatchError, PathError) as conflict:
            problem = str(conflict)
            break
        count += 1
    return _Applied(patch=await worktree.patch(), count=count, problem=problem)


def _unchanged(head_sha: str) -> AttemptResult:
    """Nothing is left to push: CI judges the commit that is there."""
    answer = BuilderAnswer(status="done", summary="")
    return AttemptResult(answer=answer, patch=Patch(base_sha=head_sha, diff="", changes=()), pushed_sha=head_sha)


_read_pending = db_step(pending_work.read_pending)
_next_work = db_step(pending_work.next_work)
_seconds_left = db_step(pending_work.seconds_left)
_send_back_work = db_step(pending_work.send_back_work)
_record_work_findings = db_step(pending_work.record_work_findings)
_record_pushed = db_step(pending_work.record_pushed)
_complete_work = db_step(pending_work.complete_work)
_is_superseded = db_step(pending_work.is_superseded)
