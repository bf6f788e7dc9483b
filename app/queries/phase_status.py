"""What an externally built phase waits for, derived from what was posted for it."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.submission_table import Submission
from app.db.tables import Phase, Run
from app.domain import gate
from app.domain.budget import Role
from app.domain.gate import AuditAtGate, GateRules, PhaseStatus, ResultAtGate
from app.domain.states import PhaseState
from app.domain.strategy import Engine, PhaseStrategy, Strategy


def select_submissions(run_id: str, phase_id: str, role: Role) -> sa.Select[Submission]:
    """The query of all that was posted for a phase in one role."""
    return sa.select(Submission).where(
        Submission.run_id == run_id, Submission.phase_id == phase_id, Submission.role == role
    )


def newest_submission(session: Session, run_id: str, phase_id: str, role: Role) -> Submission | None:
    """What was last posted for a phase in one role."""
    return session.scalar(select_submissions(run_id, phase_id, role).order_by(Submission.id.desc()).limit(1))


def read_result(session: Session, phase: Phase) -> ResultAtGate | None:
    """The newest result of the phase."""
    built = newest_submission(session, phase.run_id, phase.phase_id, Role.BUILDER)
    if built is None:
        return None
    return ResultAtGate(submission_id=built.id, pushed=built.commit_sha is not None, judged=built.judged)


def read_audit(session: Session, phase: Phase) -> AuditAtGate | None:
    """The newest audit of the phase; its suggestions count until it is answered."""
    audited = newest_submission(session, phase.run_id, phase.phase_id, Role.AUDITOR)
    if audited is None:
        return None
    result = audited.auditor_result
    return AuditAtGate(
        recommendation=result.recommendation,
        judged_submission_id=audited.judged_submission_id,
        suggests=bool(result.suggested_patches) and audited.answer is None,
    )


def gate_rules(run: Run, rules: PhaseStrategy) -> GateRules:
    """What governs the phase at its gate."""
    return GateRules(
        pushes=run.repository is not None,
        audit_first=not rules.auto_apply,
        builder_tries=rules.builder_tries,
        auditor_tries=rules.auditor_tries,
    )


def read_status(session: Session, run: Run, phase: Phase, strategy: Strategy) -> PhaseStatus | None:
    """What the phase waits for; None where Autopack's own agents build."""
    if run.engine != Engine.EXTERNAL:
        return None
    state, rules = phase.state, gate_rules(run, strategy.of_phase(phase.phase_id))
    if state is not PhaseState.GATE:
        return gate.phase_status(state, None, None, rules)
    return gate.phase_status(state, read_result(session, phase), read_audit(session, phase), rules)


def is_approved(session: Session, phase: Phase) -> bool:
    """Whether the newest audit approves the phase's newest result."""
    return gate.is_approved(read_result(session, phase), read_audit(session, phase))
