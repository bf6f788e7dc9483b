"""The gate of an externally built phase: where the phase is, and what a result or an audit leads to. No I/O."""

from enum import StrEnum

from app.domain.findings import Recommendation
from app.domain.frozen import Frozen
from app.domain.states import PhaseState, RunState


class PhaseStatus(StrEnum):
    """What an externally built phase waits for."""

    AWAITS_RESULT = "awaits_result"
    """A builder's result."""
    AWAITS_AUDIT = "awaits_audit"
    """An auditor's result; nothing else is left to do."""
    READY_TO_PUSH = "ready_to_push"
    """The run's workflow pushes the result, or what its audit suggests."""
    IN_CI = "in_ci"
    """The run's workflow waits for CI on the pushed commit."""
    ENDED = "ended"

    @property
    def in_work(self) -> bool:
        """Whether the run's workflow has something to do with the phase."""
        return self in {PhaseStatus.READY_TO_PUSH, PhaseStatus.IN_CI}

    @property
    def awaiting(self) -> str:
        """`awaiting` of the REST API: `work`, `audit`, or empty."""
        if self is PhaseStatus.AWAITS_AUDIT:
            return "audit"
        return "work" if self.in_work else ""


class ResultAtGate(Frozen):
    """The newest builder's result of a phase."""

    submission_id: int
    pushed: bool = False
    judged: bool = False
    """CI has judged its commit, or it was sent back: without an audit nothing is left to do."""


class AuditAtGate(Frozen):
    """The newest audit of a phase."""

    recommendation: Recommendation
    judged_submission_id: int | None
    suggests: bool = False
    """It suggests patches that the run's workflow has not handled yet."""


class GateRules(Frozen):
    """What governs a phase at its gate."""

    pushes: bool
    """The run has a repository."""
    audit_first: bool
    """The phase's category demands an audit before the push."""
    builder_tries: int
    auditor_tries: int


def is_approved(result: ResultAtGate | None, audit: AuditAtGate | None) -> bool:
    """Whether the newest audit approves the newest result."""
    return (
        result is not None
        and audit is not None
        and audit.recommendation is Recommendation.APPROVE
        and audit.judged_submission_id == result.submission_id
    )


def phase_status(
    state: PhaseState, result: ResultAtGate | None, audit: AuditAtGate | None, rules: GateRules
) -> PhaseStatus:
    """Derive what the phase waits for."""
    if state.ended:
        return PhaseStatus.ENDED
    if state is not PhaseState.GATE:
        return PhaseStatus.AWAITS_RESULT
    if not rules.pushes or result is None:
        return PhaseStatus.AWAITS_AUDIT
    approved = is_approved(result, audit)
    suggests = audit is not None and audit.suggests
    if not result.pushed:
        ready = approved or not (rules.audit_first or (result.judged and not suggests))
        return PhaseStatus.READY_TO_PUSH if ready else PhaseStatus.AWAITS_AUDIT
    if suggests:
        return PhaseStatus.READY_TO_PUSH
    return PhaseStatus.IN_CI if approved or not result.judged else PhaseStatus.AWAITS_AUDIT


class Move(StrEnum):
    """Where a phase goes."""

    STAY = "stay"
    """It stays where it is: an audit, a push or a verdict follows."""
    COMPLETE = "complete"
    SEND_BACK = "send_back"
    """Its builder tries again; the phase waits for the next attempt to start."""
    BUILD = "build"
    """Its builder tries again, and has started."""
    FAIL = "fail"
    """No try is left, and the run ends."""


class NextStep(Frozen):
    """What to do with a phase next, and why."""

    move: Move
    note: str = ""
    run_state: RunState = RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    """How the run ends where the phase fails."""


def after_refusal(note: str, *, violates_policy: bool, attempts: int, rules: GateRules) -> NextStep:
    """Back to the builder while it has tries left."""
    if attempts < rules.builder_tries:
        return NextStep(move=Move.SEND_BACK, note=note)
    policy, review = RunState.DONE_FAILED_POLICY_VIOLATION, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    return NextStep(move=Move.FAIL, note=note, run_state=policy if violates_policy else review)


def after_result(*, attempt: int, attempts: int, needs_review: bool, rules: GateRules) -> NextStep:
    """What a result leads to that nothing forbids; `attempt` is its number, `attempts` counts the phase's."""
    if attempts > rules.builder_tries:
        return NextStep(move=Move.FAIL, note=f"{attempts} attempts, {rules.builder_tries} are allowed")
    if rules.pushes or needs_review or rules.audit_first:
        return NextStep(move=Move.STAY)
    return NextStep(move=Move.COMPLETE, note=f"attempt {attempt} passed")


def after_audit(
    recommendation: Recommendation, *, number: int, review: str, rejections: int, state: PhaseState, rules: GateRules
) -> NextStep:
    """What an audit of an open phase leads to; `rejections` counts the phase's audits that ask for changes."""
    if recommendation is Recommendation.ESCALATE:
        return NextStep(move=Move.FAIL, note=f"audit {number} escalates: {review[:200]}")
    if recommendation is Recommendation.REVISE:
        note = f"audit {number} asks for changes: {review[:200]}"
        if rejections <= rules.auditor_tries:
            return NextStep(move=Move.BUILD, note=note)
        times = f"the Auditor requested changes {rejections} times, {rules.auditor_tries} are allowed"
        return NextStep(move=Move.FAIL, note=f"{times}; at last: {note}")
    if state is PhaseState.GATE and not rules.pushes:
        return NextStep(move=Move.COMPLETE, note=f"audit {number} approved")
    if state is PhaseState.QUEUED:
        return NextStep(move=Move.BUILD, note=f"audit {number} came before a result")
    return NextStep(move=Move.STAY)
