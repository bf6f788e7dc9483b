"""One phase: build, gate, audit, push, verify, snapshot; and again, with what was learnt, while tries are left."""

from pydantic import BaseModel, ConfigDict

from app.agents.tasks import Feedback
from app.domain import patch_policy
from app.domain.ci import CiState, CiVerdict
from app.domain.findings import BuilderAnswer, Finding, Severity, Source, issue_key
from app.domain.patch import FileChange
from app.domain.plan import Phase
from app.domain.repetition import Try, repeated
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.domain.strategy import Strategy
from app.workflows import ci_wait, db_steps, github_status, publish
from app.workflows.audit import Audit, audit
from app.workflows.build import Built, Start, build_attempt, fetch_start
from app.workflows.publish import GatedPatch
from app.workflows.run_context import Job, RunEnded
from app.workflows.waiting import patiently


class Audits(BaseModel):
    """How often the phase was audited, and how often the Auditor sent it back."""

    model_config = ConfigDict(frozen=True)

    rounds: int = 0
    rejections: int = 0

    def after(self, done: Audit) -> "Audits":
        return Audits(rounds=done.number, rejections=self.rejections + (not done.accepted))


class SentBack(BaseModel):
    """The attempt did not pass: why, and where the next one starts."""

    model_config = ConfigDict(frozen=True)

    note: str
    start: Start
    state: RunState = RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    """How the run ends if this was the last try."""
    audits: Audits


class Landed(BaseModel):
    """The phase's work is on the branch, green and audited."""

    model_config = ConfigDict(frozen=True)

    head_sha: str
    ci: CiVerdict


async def run_phase(job: Job, strategy: Strategy, phase: Phase, start: Start) -> str:
    """Bring the phase to its snapshot and return the branch's head. Raises `RunEnded` when no try is left."""
    rules = strategy.of_phase(phase.phase_id)
    audits, note, ending = Audits(), "", RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    tries: list[Try] = []
    for attempt in range(1, rules.builder_tries + 1):
        await db_steps.check_ci_room(job.run_id, phase.phase_id)
        await db_steps.start_attempt(job.run_id, phase.phase_id, attempt)
        await github_status.say(
            job.run_id,
            Headline.BUILDING,
            f"The Builder works on {phase.phase_id} ({phase.name}), attempt {attempt} of {rules.builder_tries}.",
        )
        built = await _build(job, strategy, phase, attempt, start)
        await db_steps.to_gate(job.run_id, phase.phase_id, f"attempt {attempt} built")
        outcome = await _judge(job, strategy, phase, attempt, start, built, audits)
        if isinstance(outcome, Landed):
            await _snapshot(job, phase, outcome)
            return outcome.head_sha
        start, audits, note, ending = outcome.start, outcome.audits, outcome.note, outcome.state
        if audits.rejections > rules.auditor_tries:
            note = f"the Auditor asked for changes {audits.rejections} times, at last: {note}"
            break
        tries.append(Try.of(built.patch.diff, start.findings, note))
        repeats = repeated(tries, rules.escalate_after) if attempt == rules.builder_tries - 1 else None
        if repeats is not None:
            start, audits = await _escalate(job, strategy, phase, built, start, audits, f"{repeats}; at last: {note}")
        if attempt < rules.builder_tries:
            await db_steps.send_back(job.run_id, phase.phase_id, note)
    await db_steps.fail_phase(job.run_id, phase.phase_id, note)
    raise RunEnded(ending, f"{phase.phase_id} ({phase.name}) did not pass: {note}")


async def _escalate(
    job: Job, strategy: Strategy, phase: Phase, built: Built, start: Start, audits: Audits, repeats: str
) -> tuple[Start, Audits]:
    """Before its last try, a Builder that repeats itself is given the Auditor's minimal patch."""
    said = "\n\n".join(feedback.text for feedback in start.feedback)
    asked = await audit(
        job,
        strategy,
        phase,
        audits.rounds + 1,
        built.patch.diff,
        ci=f"The Builder came to {repeats}\n\n{said}",
        profile="minimal_patch",
    )
    await _close_fixed(job, phase, asked, "an attempt that did not pass")
    advice = Feedback(title=f"You came to {repeats.partition(';')[0]}. Do what the Auditor says", text=asked.summary)
    known = {finding.fingerprint for finding in asked.still_open}
    others = tuple(finding for finding in start.findings if finding.fingerprint not in known)
    start = start.model_copy(update={"feedback": (*start.feedback, advice), "findings": (*others, *asked.still_open)})
    return start, Audits(rounds=asked.number, rejections=audits.rejections)


async def _build(job: Job, strategy: Strategy, phase: Phase, attempt: int, start: Start) -> Built:
    await fetch_start(job, start)
    return await patiently(job, lambda: build_attempt(job, strategy, phase, attempt, start))


async def _judge(
    job: Job, strategy: Strategy, phase: Phase, attempt: int, start: Start, built: Built, audits: Audits
) -> Landed | SentBack:
    """Gate, audit, push and verify one attempt, in the order that its category demands."""
    rules = strategy.of_phase(phase.phase_id)
    gated = await _gate(job, strategy, phase, attempt, built)
    if not isinstance(gated, GatedPatch):
        return _refused(start, built, gated, audits)
    early: Audit | None = None
    if not rules.auto_apply:
        early = await audit(
            job, strategy, phase, audits.rounds + 1, built.patch.diff, ci="The patch is not pushed yet."
        )
        if not early.accepted:
            await _close_fixed(job, phase, early, "an attempt that is not pushed yet")
            return _audited_out(start, early, audits.after(early), built.patch.changes)
    head_sha = await _push(job, strategy, phase, attempt, start, gated, built.answer.summary)
    late = early or await _audit_beside_ci(job, strategy, phase, start, head_sha, audits.rounds + 1)
    await publish.post_review(job, phase, head_sha, late)
    await _close_fixed(job, phase, late, head_sha[:7])
    verdict = await ci_wait.judgement(job, strategy, head_sha)
    if verdict.state is CiState.RED:
        return await _red(job, phase, _after(start, head_sha, late), verdict, late, audits.after(late))
    await _close_ci_findings(job, phase, head_sha)
    if not late.accepted:
        return _audited_out(_after(start, head_sha, late), late, audits.after(late), ())
    return Landed(head_sha=head_sha, ci=verdict)


async def _gate(
    job: Job, strategy: Strategy, phase: Phase, attempt: int, built: Built
) -> GatedPatch | tuple[Finding, ...]:
    """Structure, scope and policy of the patch; what is found, and what the Builder itself doubts, is recorded."""
    doubts = tuple(issue.as_finding() for issue in built.answer.suggested_issues)
    gated = publish.gate(built, phase, strategy.patch)
    if built.answer.status == "cannot":
        gated = (_cannot(built.answer),)
    refused = () if isinstance(gated, GatedPatch) else gated
    await db_steps.findings(job.run_id, phase.phase_id, doubts + refused, f"gate {attempt}")
    if not refused:
        stale = [
            f.finding.fingerprint
            for f in await db_steps.open_findings(job.run_id, phase.phase_id)
            if _of_gate(f.finding)
        ]
        await db_steps.resolve(job.run_id, phase.phase_id, stale, f"gone in attempt {attempt}")
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


def _refused(start: Start, built: Built, refused: tuple[Finding, ...], audits: Audits) -> SentBack:
    """Nothing was pushed; what the policy allows of the patch is kept for the next attempt."""
    forbidden = {finding.path for finding in refused}
    note = " ".join(finding.problem for finding in refused)
    return SentBack(
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


def _audited_out(start: Start, done: Audit, audits: Audits, carried: tuple[FileChange, ...]) -> SentBack:
    problems = [finding.problem for finding in done.still_open if finding.severity is Severity.MAJOR]
    return SentBack(
        note=(problems[0] if problems else done.summary)[:300],
        start=start.model_copy(update={"carried": carried, "feedback": (done.feedback,), "findings": done.still_open}),
        audits=audits,
    )


async def _push(
    job: Job, strategy: Strategy, phase: Phase, attempt: int, start: Start, gated: GatedPatch, summary: str
) -> str:
    """Commit, and open the draft pull request with the first commit. Raises `BudgetExhausted` before one too many."""
    await db_steps.claim_ci_run(job.run_id, phase.phase_id)
    head_sha = await publish.push(job, strategy, phase, attempt, start, gated, summary)
    await db_steps.pushed(job.run_id, phase.phase_id, head_sha, [change.path for change in gated.patch.changes])
    await github_status.supersede(job, start.head_sha, head_sha)
    await db_steps.pull_opened(job.run_id, await publish.ensure_pull(job))
    await db_steps.await_ci(job.run_id, phase.phase_id)
    return head_sha


async def _audit_beside_ci(
    job: Job, strategy: Strategy, phase: Phase, start: Start, head_sha: str, number: int
) -> Audit:
    diff = await publish.diff_since(job, _audited_from(start), head_sha)
    return await audit(job, strategy, phase, number, diff, ci="CI is running on the pushed commit.")


def _audited_from(start: Start) -> str:
    """The commit that the attempt's audit compares with."""
    return start.unread_since or start.merging or start.head_sha


def _after(start: Start, head_sha: str, done: Audit) -> Start:
    """Where the next attempt begins on top of a pushed one; what its Auditor did not read is still to be audited."""
    return Start(head_sha=head_sha, unread_since=_audited_from(start) if done.unread else None)


async def _red(job: Job, phase: Phase, after: Start, verdict: CiVerdict, late: Audit, audits: Audits) -> SentBack:
    """CI is red: the failure goes to the Builder, with what the Auditor found in the same commit."""
    head_sha = after.head_sha
    await db_steps.findings(job.run_id, phase.phase_id, ci_wait.as_findings(verdict.failed), f"ci {head_sha[:7]}")
    feedback = [await ci_wait.failure_feedback(job, head_sha, verdict)]
    if not late.accepted:
        feedback.append(late.feedback)
    return SentBack(
        note=f"CI is red: {verdict.reason}",
        start=after.model_copy(update={"feedback": tuple(feedback), "findings": late.still_open}),
        audits=audits,
    )


async def _close_fixed(job: Job, phase: Phase, done: Audit, where: str) -> None:
    await db_steps.resolve(job.run_id, phase.phase_id, [f.fingerprint for f in done.fixed], f"fixed in {where}")


async def _close_ci_findings(job: Job, phase: Phase, head_sha: str) -> None:
    still = await db_steps.open_findings(job.run_id, phase.phase_id)
    red = [view.finding.fingerprint for view in still if view.finding.source == Source.CI]
    await db_steps.resolve(job.run_id, phase.phase_id, red, f"green in {head_sha[:7]}")


async def _snapshot(job: Job, phase: Phase, landed: Landed) -> None:
    green = landed.ci.state is CiState.GREEN
    if green:
        await publish.keep_snapshot(job, phase, landed.head_sha)
    await db_steps.complete_phase(
        job.run_id, phase.phase_id, f"{landed.head_sha[:7]} is {landed.ci.state} and audited", snapshot=green
    )
