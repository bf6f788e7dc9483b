"""What the attempts at a phase came to, and where the next one starts. No I/O."""

from app.agents.tasks import Feedback
from app.domain import patch_policy
from app.domain.findings import Severity
from app.domain.frozen import Frozen
from app.domain.patch import FileChange
from app.domain.repetition import AttemptRecord
from app.domain.states import RunState
from app.workflows.audit import Audit
from app.workflows.build import AttemptStart
from app.workflows.phase_engine import AttemptOutcome
from app.workflows.run_context import PhaseContext, PushedByHand


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
        "unread_since": audited_from(start),
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


def audited_from(start: AttemptStart) -> str:
    """The commit that the attempt's audit compares with."""
    return start.unread_since or start.merging or start.head_sha


def _on_top(start: AttemptStart, head_sha: str, done: Audit) -> AttemptStart:
    """The start on top of a pushed attempt; what its Auditor did not read is still to be audited."""
    return AttemptStart(head_sha=head_sha, unread_since=audited_from(start) if done.unread else None)
