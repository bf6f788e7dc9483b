"""Autopack's own Builder and Auditor: attempts at one phase, each with what the one before taught."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.agents.tasks import Feedback
from app.domain import patch_policy
from app.domain.budget import ModelFailed, ModelFailure, PhaseSkipped
from app.domain.ci import CiState
from app.domain.findings import BuilderAnswer, Finding, Severity, Source, issue_key
from app.domain.frozen import Frozen
from app.domain.patch import FileChange
from app.domain.plan import AuditorProfile
from app.domain.repetition import AttemptRecord, find_repetition
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.workflows import audit_reviews, ci_reading, db_steps, github_status, publish
from app.workflows.audit import Audit, audit
from app.workflows.build import AttemptResult, AttemptStart, build_attempt, fetch_start
from app.workflows.phase_engine import Attempt, AttemptOutcome
from app.workflows.run_context import PhaseContext, PhaseDeclined, PushedByHand, RunEnded
from app.workflows.waiting import raise_if_stopped, with_provider_pauses

MAX_TAKEN_IN = 5
"""How often commits that someone pushes meanwhile have an attempt made again for nothing."""
_COSTS_AN_ATTEMPT = frozenset({ModelFailure.MALFORMED, ModelFailure.REFUSED})
"""Failures of models that may do better in another attempt."""


class PhaseProgress(Frozen):
    """What the attempts so far came to, and where the next one starts."""

    start: AttemptStart
    audits: int = 0
    """Audit rounds so far."""
    rejections: int = 0
    """How often the Auditor sent the phase back."""
    note: str = ""
    """Why the last attempt did not pass."""
    run_state: RunState = RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    """How the run ends if that was the last attempt."""
    records: tuple[AttemptRecord, ...] = ()

    def after(self, phase: PhaseContext, outcome: AttemptOutcome) -> "PhaseProgress":
        """The progress once this attempt did not pass."""
        done, changes = outcome.audit, outcome.built.patch.changes
        if outcome.by_hand is not None:
            start, note = _after_push_by_hand(self.start, outcome.by_hand, changes)
        elif outcome.refused:
            start, note = _after_refusal(phase, self.start, outcome)
        elif outcome.red and done is not None:
            start, note = _after_red(self.start, outcome, done)
        elif done is not None and outcome.head_sha is not None:
            start, note = _after_audit(_on_top(self.start, outcome.head_sha, done), done, ())
        elif done is not None:
            start, note = _after_audit(self.start, done, changes)
        else:
            start, note = self.start, self.note
        start = start.model_copy(update={"previous_diff": outcome.built.patch.diff})
        policy = patch_policy.violates_policy(outcome.refused)
        ending = RunState.DONE_FAILED_POLICY_VIOLATION if policy else RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
        return PhaseProgress(
            start=start,
            audits=self.audits if done is None else done.number,
            rejections=self.rejections + (done is not None and not done.accepted),
            note=note,
            run_state=ending,
            records=(*self.records, AttemptRecord.of(outcome.built.patch.diff, start.findings, note)),
        )

    def advised(self, advice: Audit, repeats: str) -> "PhaseProgress":
        """The progress with the Auditor's minimal patch for a Builder that repeats itself."""
        title = f"You came to {repeats}. Do what the Auditor says"
        known = {finding.fingerprint for finding in advice.still_open}
        others = tuple(finding for finding in self.start.findings if finding.fingerprint not in known)
        feedback = (*self.start.feedback, Feedback(title=title, text=advice.summary))
        start = self.start.model_copy(update={"feedback": feedback, "findings": (*others, *advice.still_open)})
        return self.model_copy(update={"start": start, "audits": advice.number})


@dataclass
class OwnEngine:
    """Builds and audits one phase; `progress` is what its attempts came to."""

    phase: PhaseContext
    progress: PhaseProgress
    head_sha: str = ""
    """The branch's head, once the phase has passed."""
    in_conflict: bool = False
    """Whether no CI judged it, since the branch conflicts with its base."""
    last_diff: str = ""
    by_hand: PushedByHand | None = None
    """What someone else pushed during the attempt in hand."""
    answer: BuilderAnswer | None = None
    """The Builder's, of the newest attempt."""

    async def attempts(self) -> AsyncIterator[Attempt]:
        """Attempts until one passes. Raises `RunEnded` when no try is left."""
        phase, rules = self.phase, self.phase.rules
        number, taken_in = 1, 0
        while number <= rules.builder_tries:
            await self._hold()
            await db_steps.check_ci_budget(phase.run_id, phase.phase_id)
            await db_steps.start_attempt(phase.run_id, phase.phase_id, number)
            headline = f"The Builder works on {phase.phase_id} ({phase.phase.name}), attempt {number}"
            await github_status.set_headline(phase.run_id, Headline.BUILDING, f"{headline} of {rules.builder_tries}.")
            yield Attempt(phase=phase, number=number, start=self.progress.start)
            if self.head_sha:
                return
            if self.by_hand is not None and taken_in < MAX_TAKEN_IN:
                await db_steps.send_back(phase.run_id, phase.phase_id, self.progress.note)
                taken_in, self.by_hand = taken_in + 1, None
                continue  # no one's fault, so it costs no try
            if self.progress.rejections > rules.auditor_tries:
                asked = f"the Auditor requested changes {self.progress.rejections} times"
                self.progress = self.progress.model_copy(update={"note": f"{asked}, at last: {self.progress.note}"})
                break
            if number == rules.builder_tries - 1:
                await self._advise()
            if number < rules.builder_tries:
                await db_steps.send_back(phase.run_id, phase.phase_id, self.progress.note)
            number += 1
        note = self.progress.note
        await db_steps.fail_phase(phase.run_id, phase.phase_id, note)
        raise RunEnded(self.progress.run_state, f"{phase.phase_id} ({phase.phase.name}) did not pass: {note}")

    async def build(self, attempt: Attempt) -> AttemptResult:
        """Have the Builder attempt the phase, and bring the patch to the gate."""
        phase = attempt.phase
        await fetch_start(phase.context, attempt.start)
        built = await self._build(attempt)
        self.answer = built.answer
        if built.answer.declined and built.patch.empty and not built.conflicts:
            raise PhaseDeclined
        await db_steps.move_to_gate(phase.run_id, phase.phase_id, f"attempt {attempt.number} built")
        if built.answer.status == "cannot" and not built.refused:
            return built.model_copy(
                update={
                    "refused": (
                        _of_builder("cannot", f"The Builder says that it cannot do this phase: {built.answer.summary}"),
                    )
                }
            )
        if built.patch.empty and not built.conflicts and not built.refused and attempt.start.unread_since is not None:
            return await self._as_it_is(attempt, built)
        return built

    async def _as_it_is(self, attempt: Attempt, built: AttemptResult) -> AttemptResult:
        """The Builder has nothing to add to work on the branch that no audit saw: that is audited and judged by CI."""
        phase, head_sha = attempt.phase, attempt.start.head_sha
        before = await db_steps.read_head(phase.run_id)
        await db_steps.record_push(phase.run_id, phase.phase_id, head_sha, (), built.answer.summary)
        if before not in {None, head_sha}:
            await github_status.supersede_check(phase.run_id, str(before), head_sha)
        await db_steps.move_to_ci(phase.run_id, phase.phase_id)
        return built.model_copy(update={"pushed_sha": head_sha})

    async def _build(self, attempt: Attempt) -> AttemptResult:
        """Ask until there is an answer: after a pause the conversation goes on where it stood.

        An attempt whose models give no usable answer ends with what it left; only one that none of them takes ends the
        run.
        """
        phase, stood = attempt.phase, None

        async def ask() -> AttemptResult:
            nonlocal stood
            built = await build_attempt(phase, attempt.number, attempt.start, stood)
            if isinstance(built, AttemptResult):
                return built
            stood = built
            raise ModelFailed(built.failure, built.reason)

        try:
            return await with_provider_pauses(phase.context, ask)
        except ModelFailed as failed:
            await self._hold()  # of a phase that a person skips meanwhile, it is of no account
            if stood is None or failed.failure not in _COSTS_AN_ATTEMPT:
                raise
            answer = BuilderAnswer(status="cannot", summary=str(failed))
            return AttemptResult(
                answer=answer,
                patch=stood.patch,
                refused=(_of_builder("no answer", f"The attempt ended without an answer of the Builder, {failed}"),),
            )

    async def record_gate(self, attempt: Attempt, built: AttemptResult, refused: tuple[Finding, ...]) -> None:
        """Record what the gate found and what the Builder itself doubts; a gate that is passed closes its findings."""
        phase = attempt.phase
        doubts = tuple(issue.as_finding(phase.rules.default_severity) for issue in built.answer.doubts)
        await db_steps.record_findings(phase.run_id, phase.phase_id, doubts + refused, f"gate {attempt.number}")
        if not refused:
            await self._close(Source.STATIC_CHECK, f"gone in attempt {attempt.number}")

    async def audit_patch(self, attempt: Attempt, built: AttemptResult) -> Audit | None:
        """Audit the patch before the push, where the category demands it."""
        if attempt.phase.rules.auto_apply:
            return None
        early = await self._audit(built.patch.diff, "The patch is not pushed yet.")
        if not early.accepted:
            await self._close_fixed(early, "an attempt that is not pushed yet")
        return early

    async def record_push(self, attempt: Attempt, built: AttemptResult, head_sha: str) -> None:  # noqa: ARG002
        """CI judges the commit."""
        await db_steps.move_to_ci(attempt.phase.run_id, attempt.phase.phase_id)

    async def audit_commit(self, attempt: Attempt, head_sha: str, early: Audit | None) -> Audit | None:
        """Audit the commit while CI runs, unless its patch was audited, and show the audit as a review."""
        done = early
        if done is None:
            diff = await publish.diff_since(attempt.phase.context, _audited_from(attempt.start), head_sha)
            done = await self._audit(diff, "CI is running on the pushed commit.")
        phase = attempt.phase
        await audit_reviews.post_review(phase.run_id, phase.phase_id, head_sha, done, _audited_from(attempt.start))
        await self._close_fixed(done, head_sha[:7])
        return done

    async def superseded(self, attempt: Attempt) -> bool:
        """Whether a person had the phase left out."""
        return bool(await db_steps.get_skip(attempt.phase.run_id, attempt.phase.phase_id))

    async def send_back(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Give the next attempt what this one came to. Raises `PhaseSkipped`."""
        phase = attempt.phase
        await self._hold()
        if outcome.ci is not None and outcome.head_sha is not None:
            if outcome.red:
                failed = ci_reading.as_findings(outcome.ci.failed)
                await db_steps.record_findings(phase.run_id, phase.phase_id, failed, f"ci {outcome.head_sha[:7]}")
            else:
                await self._close(Source.CI, f"green in {outcome.head_sha[:7]}")
        self.by_hand = outcome.by_hand
        self.progress, self.last_diff = self.progress.after(phase, outcome), outcome.built.patch.diff

    async def complete(self, attempt: Attempt, outcome: AttemptOutcome, cause: str) -> bool:
        """The phase is complete: its commit is audited and not red."""
        self.head_sha = outcome.head_sha or ""
        self.in_conflict = outcome.ci is not None and outcome.ci.state is CiState.CONFLICT
        await self._close(Source.CI, f"green in {self.head_sha[:7]}")
        await db_steps.complete_phase(attempt.phase.run_id, attempt.phase.phase_id, cause)
        return True

    async def _hold(self) -> None:
        """Go on unless the run is paused. Raises `RunStopped`, and `PhaseSkipped` where a person skips the phase."""
        await raise_if_stopped(self.phase.run_id)
        if await db_steps.get_skip(self.phase.run_id, self.phase.phase_id):
            raise PhaseSkipped(self.phase.phase_id)

    async def _advise(self) -> None:
        """Before its last try, a Builder that repeats itself is given the Auditor's minimal patch."""
        repeats = find_repetition(self.progress.records, self.phase.rules.escalate_after)
        if repeats is None:
            return
        problems = "\n\n".join(feedback.text for feedback in self.progress.start.feedback)
        came_to = f"The Builder came to {repeats}; at last: {self.progress.note}\n\n{problems}"
        advice = await audit(
            self.phase, self.progress.audits + 1, self.last_diff, ci=came_to, profile=AuditorProfile.MINIMAL_PATCH
        )
        await self._close_fixed(advice, "an attempt that did not pass")
        self.progress = self.progress.advised(advice, repeats)

    async def _audit(self, diff: str, ci: str) -> Audit:
        return await audit(self.phase, self.progress.audits + 1, diff, ci=ci)

    async def _close(self, source: Source, resolution: str) -> None:
        """Close what this source found in the phase."""
        still_open = await db_steps.list_open_findings(self.phase.run_id, self.phase.phase_id)
        closed = [view.finding.fingerprint for view in still_open if view.finding.source == source]
        await db_steps.resolve_findings(self.phase.run_id, self.phase.phase_id, closed, resolution)

    async def _close_fixed(self, done: Audit, where: str) -> None:
        fixed = [finding.fingerprint for finding in done.fixed]
        await db_steps.resolve_findings(self.phase.run_id, self.phase.phase_id, fixed, f"fixed in {where}")


def _of_builder(slug: str, problem: str) -> Finding:
    """Why an attempt cannot pass, with any patch."""
    return Finding(
        issue_key=issue_key("builder", "phase", slug),
        severity=Severity.MAJOR,
        source=Source.STATIC_CHECK,
        category="builder",
        problem=problem,
    )


def _after_refusal(phase: PhaseContext, start: AttemptStart, outcome: AttemptOutcome) -> tuple[AttemptStart, str]:
    """Nothing was pushed; what the policy allows of the patch is kept for the next attempt."""
    built = outcome.built
    unsound = patch_policy.check_patch(built.patch, phase.phase, phase.strategy.patch) if built.refused else ()
    forbidden = {finding.path for finding in outcome.refused + unsound}
    note = " ".join(finding.problem for finding in outcome.refused)
    following = start.model_copy(
        update={
            "carried": tuple(change for change in outcome.built.patch.changes if change.path not in forbidden),
            "feedback": (Feedback(title="Your last attempt was refused before it was pushed", text=note),),
            "findings": outcome.refused,
        }
    )
    return following, note


def _after_push_by_hand(
    start: AttemptStart, pushed: PushedByHand, changes: tuple[FileChange, ...]
) -> tuple[AttemptStart, str]:
    """The work goes on top of what someone else pushed, which is audited with it; in files of both, theirs is kept."""
    files = ", ".join(pushed.paths[:50])
    text = f"{pushed.head_sha[:7]} changes {files}. Keep that. In these files, make your own changes again."
    note = f"{pushed.head_sha[:7]} was pushed by hand and is taken in"
    update: dict[str, object] = {
        "head_sha": pushed.head_sha,
        "unread_since": _audited_from(start),
        "carried": tuple(change for change in changes if change.path not in pushed.paths),
        "feedback": (*start.feedback, Feedback(title="Someone pushed to the branch while you worked", text=text)),
    }
    return start.model_copy(update=update), note


def _after_audit(start: AttemptStart, done: Audit, carried: tuple[FileChange, ...]) -> tuple[AttemptStart, str]:
    problems = [finding.problem for finding in done.still_open if finding.severity is Severity.MAJOR]
    update = {"carried": carried, "feedback": (done.feedback,), "findings": done.still_open}
    return start.model_copy(update=update), (problems[0] if problems else done.summary)[:300]


def _after_red(start: AttemptStart, outcome: AttemptOutcome, done: Audit) -> tuple[AttemptStart, str]:
    """The failure goes to the Builder, with what the Auditor found in the same commit."""
    feedback = [outcome.ci_feedback] if outcome.ci_feedback is not None else []
    if not done.accepted:
        feedback.append(done.feedback)
    update = {"feedback": tuple(feedback), "findings": done.still_open}
    reason = outcome.ci.reason if outcome.ci is not None else ""
    return _on_top(start, outcome.head_sha or start.head_sha, done).model_copy(update=update), f"CI is red: {reason}"


def _audited_from(start: AttemptStart) -> str:
    """The commit that the attempt's audit compares with."""
    return start.unread_since or start.merging or start.head_sha


def _on_top(start: AttemptStart, head_sha: str, done: Audit) -> AttemptStart:
    """The start on top of a pushed attempt; what its Auditor did not read is still to be audited."""
    return AttemptStart(head_sha=head_sha, unread_since=_audited_from(start) if done.unread else None)
