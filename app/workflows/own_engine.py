"""Autopack's own Builder and Auditor: attempts at one phase, each with what the one before taught."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.domain.budget import ModelFailed, ModelFailure, PhaseSkipped
from app.domain.ci import CiState
from app.domain.findings import BuilderAnswer, Finding, Severity, Source, issue_key
from app.domain.plan import AuditorProfile
from app.domain.repetition import find_repetition
from app.domain.status_view import Headline
from app.workflows import audit_reviews, ci_reading, db_steps, github_status, publish
from app.workflows.audit import Audit, audit
from app.workflows.build import AttemptResult, build_attempt, fetch_start
from app.workflows.phase_engine import Attempt, AttemptOutcome
from app.workflows.phase_progress import PhaseProgress, audited_from
from app.workflows.run_context import PhaseContext, PhaseDeclined, PushedByHand, RunEnded
from app.workflows.waiting import raise_if_stopped, with_provider_pauses

MAX_TAKEN_IN = 5
"""How often commits that someone pushes meanwhile have an attempt made again for nothing."""
_COSTS_AN_ATTEMPT = frozenset({ModelFailure.MALFORMED, ModelFailure.REFUSED})
"""Failures of models that may do better in another attempt."""


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
        said = await db_steps.take_comments(phase.run_id, phase.phase_id, attempt.number)
        wrong = {one.fingerprint for one in await db_steps.list_dismissed(phase.run_id)}
        still = tuple(finding for finding in attempt.start.findings if finding.fingerprint not in wrong)
        start = attempt.start.model_copy(update={"findings": still})

        async def ask() -> AttemptResult:
            nonlocal stood
            built = await build_attempt(phase, attempt.number, start, stood, said)
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
        start = attempt.start
        against = (start.head_sha,) if start.merging is None else (start.head_sha, start.merging)
        early = await self._audit(built.patch.diff, "The patch is not pushed yet.", against)
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
            diff = await publish.diff_since(attempt.phase.context, audited_from(attempt.start), head_sha)
            done = await self._audit(diff, "CI is running on the pushed commit.", (audited_from(attempt.start),))
        phase = attempt.phase
        await audit_reviews.post_review(phase.run_id, phase.phase_id, head_sha, done, audited_from(attempt.start))
        await self._close_fixed(done, head_sha[:7])
        return done

    async def reread(self, attempt: Attempt, audit: Audit) -> Audit:
        """The audit without what people called wrong while CI was at work."""
        return audit.without({one.fingerprint for one in await db_steps.list_dismissed(attempt.phase.run_id)})

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
        shown = outcome.audit.shown if outcome.audit is not None else None
        await db_steps.complete_phase(attempt.phase.run_id, attempt.phase.phase_id, cause, shown)
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

    async def _audit(self, diff: str, ci: str, against: tuple[str, ...]) -> Audit:
        return await audit(self.phase, self.progress.audits + 1, diff, ci=ci, against=against)

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
