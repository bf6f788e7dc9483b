"""The playbook of a phase: build, gate, audit, push, audit, CI, snapshot, for every engine."""

from app.domain.ci import CiState
from app.domain.findings import Finding
from app.workflows import ci_reading, ci_wait, db_steps, github_status, integrity_gate, publish
from app.workflows.audit import Audit
from app.workflows.build import AttemptResult
from app.workflows.phase_engine import Attempt, AttemptOutcome, PhaseEngine
from app.workflows.publish import GatedPatch
from app.workflows.run_context import PushedByHand


async def run_phases(engine: PhaseEngine) -> None:
    """Judge every attempt that the engine makes, until none is left. Raises `RunEnded` when the run cannot go on."""
    async for attempt in engine.attempts():
        outcome = await _judge(engine, attempt)
        if outcome.passed:
            await _complete(engine, attempt, outcome)
        else:
            await engine.send_back(attempt, outcome)


async def _judge(engine: PhaseEngine, attempt: Attempt) -> AttemptOutcome:
    """Gate, audit, push and verify one attempt, in the order that its category demands."""
    built, early, head_sha = await engine.build(attempt), None, None
    if built.pushed_sha is None:
        gated = publish.gate_patch(attempt.phase, built)
        if isinstance(gated, GatedPatch):
            gated = await integrity_gate.scan_attempt(attempt.phase, attempt.start, gated.patch) or gated
        refused = () if isinstance(gated, GatedPatch) else gated
        await engine.record_gate(attempt, built, refused)
        if not isinstance(gated, GatedPatch):
            return AttemptOutcome(built=built, refused=gated)
        early = await engine.audit_patch(attempt, built)
        if early is not None and not early.accepted:
            return AttemptOutcome(built=built, audit=early)
        pushed = await _push(engine, attempt, built, gated)
        if isinstance(pushed, Finding):
            await engine.record_gate(attempt, built, (pushed,))
            return AttemptOutcome(built=built, refused=(pushed,), audit=early)
        if isinstance(pushed, PushedByHand):
            return AttemptOutcome(built=built, audit=early, by_hand=pushed)
        head_sha = pushed
    return await _verify(engine, attempt, built, head_sha or built.pushed_sha or attempt.start.head_sha, early)


async def _push(
    engine: PhaseEngine, attempt: Attempt, built: AttemptResult, gated: GatedPatch
) -> str | Finding | PushedByHand:
    """Commit, and open the draft pull request with the first commit; what GitHub refuses in the commit's content.

    Raises `BudgetExhausted` before one too many.
    """
    phase, start = attempt.phase, attempt.start
    await db_steps.claim_ci_run(phase.run_id, phase.phase_id)
    head_sha = await publish.push(phase, attempt.number, start, gated, built.answer.summary)
    if isinstance(head_sha, (Finding, PushedByHand)):
        return head_sha
    before = await db_steps.read_head(phase.run_id)
    await db_steps.record_push(phase.run_id, phase.phase_id, head_sha, gated.patch.paths, built.answer.summary)
    await github_status.supersede_check(phase.run_id, before or start.head_sha, head_sha)
    await db_steps.record_pull(phase.run_id, await publish.ensure_pull(phase.context))
    await integrity_gate.judge_branch(phase.context, phase.strategy, head_sha)
    await engine.record_push(attempt, built, head_sha)
    return head_sha


async def _verify(
    engine: PhaseEngine, attempt: Attempt, built: AttemptResult, head_sha: str, early: Audit | None
) -> AttemptOutcome:
    """Have the commit audited, and wait for CI's verdict on it."""
    context, strategy = attempt.phase.context, attempt.phase.strategy
    audit = await engine.audit_commit(attempt, head_sha, early)
    verdict = await ci_wait.require_verdict(context, strategy, head_sha, lambda: engine.superseded(attempt))
    if audit is not None and not audit.accepted:
        audit = await engine.reread(attempt, audit)
    red = verdict.state is CiState.RED
    feedback = await ci_reading.failure_feedback(context, head_sha, verdict, attempt.phase.phase_id) if red else None
    return AttemptOutcome(built=built, head_sha=head_sha, audit=audit, ci=verdict, ci_feedback=feedback)


_JUDGED = {CiState.GREEN: "is green", CiState.CONFLICT: "conflicts with its base, so that no CI judged it"}


async def _complete(engine: PhaseEngine, attempt: Attempt, outcome: AttemptOutcome) -> None:
    """Complete the phase, and keep its commit as a snapshot where CI found it green."""
    if outcome.head_sha is None or outcome.ci is None:
        return
    cause = f"{outcome.head_sha[:7]} {_JUDGED.get(outcome.ci.state, 'was judged by no CI')}, and is audited"
    if await engine.complete(attempt, outcome, cause) and outcome.ci.state is CiState.GREEN:
        run_id, phase_id = attempt.phase.run_id, attempt.phase.phase_id
        await publish.keep_snapshot(run_id, phase_id, outcome.head_sha)
        await db_steps.mark_snapshot(run_id, phase_id)
