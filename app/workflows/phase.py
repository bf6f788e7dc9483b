"""One phase: build, gate, audit, push, verify, snapshot; and again, with what was learnt, while tries are left."""

from app.agents.tasks import Feedback
from app.domain import patch_policy
from app.domain.ci import CiState, CiVerdict
from app.domain.findings import BuilderAnswer, Finding, Severity, Source, issue_key
from app.domain.frozen import Frozen
from app.domain.patch import FileChange
from app.domain.plan import PlannedPhase
from app.domain.repetition import AttemptRecord, find_repetition
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Strategy
from app.workflows import ci_wait, db_steps, github_status, publish
from app.workflows.audit import Audit, audit
from app.workflows.build import AttemptResult, AttemptStart, build_attempt, fetch_start
from app.workflows.publish import GatedPatch
from app.workflows.run_context import RunContext, RunEnded
from app.workflows.waiting import with_provider_pauses


class AuditCounts(Frozen):
    """How often the phase was audited, and how often the Auditor sent it back."""

    rounds: int = 0
    rejections: int = 0

    def after(self, done: Audit) -> "AuditCounts":
        return AuditCounts(rounds=done.number, rejections=self.rejections + (not done.accepted))


class SentBackAttempt(Frozen):
    """The attempt did not pass: why, and where the next one starts."""

    note: str
    start: AttemptStart
    state: RunState = RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    """How the run ends if this was the last try."""
    audits: AuditCounts


class PassedPhase(Frozen):
    """The phase's work is on the branch, green and audited."""

    head_sha: str
    ci: CiVerdict


async def run_phase(context: RunContext, strategy: Strategy, phase: PlannedPhase, start: AttemptStart) -> str:
    """Bring the phase to its snapshot and return the branch's head. Raises `RunEnded` when no try is left."""
    rules = strategy.of_phase(phase.phase_id)
    audits, note, ending = AuditCounts(), "", RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    tries: list[AttemptRecord] = []
    for attempt in range(1, rules.builder_tries + 1):
        await db_steps.check_ci_budget(context.run_id, phase.phase_id)
        await db_steps.start_attempt(context.run_id, phase.phase_id, attempt)
        await github_status.set_headline(
            context.run_id,
            Headline.BUILDING,
            f"The Builder works on {phase.phase_id} ({phase.name}), attempt {attempt} of {rules.builder_tries}.",
        )
        built = await _build(context, strategy, phase, attempt, start)
        await db_steps.move_to_gate(context.run_id, phase.phase_id, f"attempt {attempt} built")
        outcome = await _judge(context, strategy, phase, attempt, start, built, audits)
        if isinstance(outcome, PassedPhase):
            await _snapshot(context, phase, outcome)
            return outcome.head_sha
        start, audits, note, ending = outcome.start, outcome.audits, outcome.note, outcome.state
        if audits.rejections > rules.auditor_tries:
            note = f"the Auditor asked for changes {audits.rejections} times, at last: {note}"
            break
        tries.append(AttemptRecord.of(built.patch.diff, start.findings, note))
        repeats = find_repetition(tries, rules.escalate_after) if attempt == rules.builder_tries - 1 else None
        if repeats is not None:
            start, audits = await _escalate(
                context, strategy, phase, built, start, audits, f"{repeats}; at last: {note}"
            )
        if attempt < rules.builder_tries:
            await db_steps.send_back(context.run_id, phase.phase_id, note)
    await db_steps.fail_phase(context.run_id, phase.phase_id, note)
    raise RunEnded(ending, f"{phase.phase_id} ({phase.name}) did not pass: {note}")


async def _escalate(
    context: RunContext,
    strategy: Strategy,
    phase: PlannedPhase,
    built: AttemptResult,
    start: AttemptStart,
    audits: AuditCounts,
    repeats: str,
) -> tuple[AttemptStart, AuditCounts]:
    """Before its last try, a Builder that repeats itself is given the Auditor's minimal patch."""
    said = "\n\n".join(feedback.text for feedback in start.feedback)
    asked = await audit(
        context,
        strategy,
        phase,
        audits.rounds + 1,
        built.patch.diff,
        ci=f"The Builder came to {repeats}\n\n{said}",
        profile="minimal_patch",
    )
    await _close_fixed(context, phase, asked, "an attempt that did not pass")
    advice = Feedback(title=f"You came to {repeats.partition(';')[0]}. Do what the Auditor says", text=asked.summary)
    known = {finding.fingerprint for finding in asked.still_open}
    others = tuple(finding for finding in start.findings if finding.fingerprint not in known)
    start = start.model_copy(update={"feedback": (*start.feedback, advice), "findings": (*others, *asked.still_open)})
    return start, AuditCounts(rounds=asked.number, rejections=audits.rejections)


async def _build(
    context: RunContext, strategy: Strategy, phase: PlannedPhase, attempt: int, start: AttemptStart
) -> AttemptResult:
    await fetch_start(context, start)
    return await with_provider_pauses(context, lambda: build_attempt(context, strategy, phase, attempt, start))


async def _judge(
    context: RunContext,
    strategy: Strategy,
    phase: PlannedPhase,
    attempt: int,
    start: AttemptStart,
    built: AttemptResult,
    audits: AuditCounts,
) -> PassedPhase | SentBackAttempt:
    """Gate, audit, push and verify one attempt, in the order that its category demands."""
    rules = strategy.of_phase(phase.phase_id)
    gated = await _gate(context, strategy, phase, attempt, built)
    if not isinstance(gated, GatedPatch):
        return _refused(start, built, gated, audits)
    early: Audit | None = None
    if not rules.auto_apply:
        early = await audit(
            context, strategy, phase, audits.rounds + 1, built.patch.diff, ci="The patch is not pushed yet."
        )
        if not early.accepted:
            await _close_fixed(context, phase, early, "an attempt that is not pushed yet")
            return _audited_out(start, early, audits.after(early), built.patch.changes)
    head_sha = await _push(context, strategy, phase, attempt, start, gated, built.answer.summary)
    late = early or await _audit_beside_ci(context, strategy, phase, start, head_sha, audits.rounds + 1)
    await publish.post_review(context, phase, head_sha, late)
    await _close_fixed(context, phase, late, head_sha[:7])
    verdict = await ci_wait.require_verdict(context, strategy, head_sha)
    if verdict.state is CiState.RED:
        return await _red(context, phase, _after(start, head_sha, late), verdict, late, audits.after(late))
    await _close_ci_findings(context, phase, head_sha)
    if not late.accepted:
        return _audited_out(_after(start, head_sha, late), late, audits.after(late), ())
    return PassedPhase(head_sha=head_sha, ci=verdict)


async def _gate(
    context: RunContext, strategy: Strategy, phase: PlannedPhase, attempt: int, built: AttemptResult
) -> GatedPatch | tuple[Finding, ...]:
    """Structure, scope and policy of the patch; what is found, and what the Builder itself doubts, is recorded."""
    doubts = tuple(issue.as_finding() for issue in built.answer.suggested_issues)
    gated = publish.gate_patch(built, phase, strategy.patch)
    if built.answer.status == "cannot":
        gated = (_cannot(built.answer),)
    refused = () if isinstance(gated, GatedPatch) else gated
    await db_steps.record_findings(context.run_id, phase.phase_id, doubts + refused, f"gate {attempt}")
    if not refused:
        stale = [
            f.finding.fingerprint
            for f in await db_steps.list_open_findings(context.run_id, phase.phase_id)
            if _of_gate(f.finding)
        ]
        await db_steps.resolve_findings(context.run_id, phase.phase_id, stale, f"gone in attempt {attempt}")
    return gated


def _of_gate(finding: Finding) -> bool:
    return finding.source == Source.STATIC_CHECK


def _cannot(answer: BuilderAnswer) -> Finding:
    return Finding(
        issue_key=issue_key("builder", "phase", "cannot"),
        severity=Severity.MAJOR,
        source=Source.STATIC_CHECK,
        category="builder",
        problem=f"The Builder says that it cannot do this phase: {answer.summary}",
    )


def _refused(
    start: AttemptStart, built: AttemptResult, refused: tuple[Finding, ...], audits: AuditCounts
) -> SentBackAttempt:
    """Nothing was pushed; what the policy allows of the patch is kept for the next attempt."""
    forbidden = {finding.path for finding in refused}
    note = " ".join(finding.problem for finding in refused)
    return SentBackAttempt(
        note=note,
        start=start.model_copy(
            update={
                "carried": tuple(change for change in built.patch.changes if change.path not in forbidden),
                "feedback": (Feedback(title="Your last attempt was refused before it was pushed", text=note),),
                "findings": refused,
            }
        ),
        state=RunState.DONE_FAILED_POLICY_VIOLATION
        if patch_policy.violates_policy(refused)
        else RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW,
        audits=audits,
    )


def _audited_out(
    start: AttemptStart, done: Audit, audits: AuditCounts, carried: tuple[FileChange, ...]
) -> SentBackAttempt:
    problems = [finding.problem for finding in done.still_open if finding.severity is Severity.MAJOR]
    return SentBackAttempt(
        note=(problems[0] if problems else done.summary)[:300],
        start=start.model_copy(update={"carried": carried, "feedback": (done.feedback,), "findings": done.still_open}),
        audits=audits,
    )


async def _push(
    context: RunContext,
    strategy: Strategy,
    phase: PlannedPhase,
    attempt: int,
    start: AttemptStart,
    gated: GatedPatch,
    summary: str,
) -> str:
    """Commit, and open the draft pull request with the first commit. Raises `BudgetExhausted` before one too many."""
    await db_steps.claim_ci_run(context.run_id, phase.phase_id)
    head_sha = await publish.push(context, strategy, phase, attempt, start, gated, summary)
    await db_steps.record_push(
        context.run_id, phase.phase_id, head_sha, [change.path for change in gated.patch.changes]
    )
    await github_status.supersede_check(context, start.head_sha, head_sha)
    await db_steps.record_pull(context.run_id, await publish.ensure_pull(context))
    await db_steps.move_to_ci(context.run_id, phase.phase_id)
    return head_sha


async def _audit_beside_ci(
    context: RunContext, strategy: Strategy, phase: PlannedPhase, start: AttemptStart, head_sha: str, number: int
) -> Audit:
    diff = await publish.diff_since(context, _audited_from(start), head_sha)
    return await audit(context, strategy, phase, number, diff, ci="CI is running on the pushed commit.")


def _audited_from(start: AttemptStart) -> str:
    """The commit that the attempt's audit compares with."""
    return start.unread_since or start.merging or start.head_sha


def _after(start: AttemptStart, head_sha: str, done: Audit) -> AttemptStart:
    """Where the next attempt begins on top of a pushed one; what its Auditor did not read is still to be audited."""
    return AttemptStart(head_sha=head_sha, unread_since=_audited_from(start) if done.unread else None)


async def _red(
    context: RunContext, phase: PlannedPhase, after: AttemptStart, verdict: CiVerdict, late: Audit, audits: AuditCounts
) -> SentBackAttempt:
    """CI is red: the failure goes to the Builder, with what the Auditor found in the same commit."""
    head_sha = after.head_sha
    await db_steps.record_findings(
        context.run_id, phase.phase_id, ci_wait.as_findings(verdict.failed), f"ci {head_sha[:7]}"
    )
    feedback = [await ci_wait.failure_feedback(context, head_sha, verdict)]
    if not late.accepted:
        feedback.append(late.feedback)
    return SentBackAttempt(
        note=f"CI is red: {verdict.reason}",
        start=after.model_copy(update={"feedback": tuple(feedback), "findings": late.still_open}),
        audits=audits,
    )


async def _close_fixed(context: RunContext, phase: PlannedPhase, done: Audit, where: str) -> None:
    await db_steps.resolve_findings(
        context.run_id, phase.phase_id, [f.fingerprint for f in done.fixed], f"fixed in {where}"
    )


async def _close_ci_findings(context: RunContext, phase: PlannedPhase, head_sha: str) -> None:
    still = await db_steps.list_open_findings(context.run_id, phase.phase_id)
    red = [view.finding.fingerprint for view in still if view.finding.source == Source.CI]
    await db_steps.resolve_findings(context.run_id, phase.phase_id, red, f"green in {head_sha[:7]}")


async def _snapshot(context: RunContext, phase: PlannedPhase, landed: PassedPhase) -> None:
    green = landed.ci.state is CiState.GREEN
    if green:
        await publish.keep_snapshot(context, phase, landed.head_sha)
    await db_steps.complete_phase(
        context.run_id, phase.phase_id, f"{landed.head_sha[:7]} is {landed.ci.state} and audited", green
    )
