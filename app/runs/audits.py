"""Audits that are requested and posted, by others or our own Auditor; welcome also after the end of phase or run."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import FindingRow, Phase, Run
from app.domain import gate, patch_policy
from app.domain.api_errors import Unprocessable
from app.domain.api_requests import AuditorResult, AuditRequest
from app.domain.api_responses import AuditReceipt, AuditRequestReceipt
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation, Severity, Source, issue_key
from app.domain.gate import PhaseStatus
from app.domain.patch import Patch
from app.domain.posted_patch import parse_posted_patch
from app.domain.states import PhaseState
from app.domain.strategy import Engine
from app.queries.phase_status import newest_submission
from app.runs import phase_moves, submissions
from app.runs.submissions import PostOutcome


def request_audit(db: Database, run_id: str, phase_id: str, asked: AuditRequest, now: datetime) -> AuditRequestReceipt:
    """Bring a phase to its gate, where an audit is awaited; one that has ended stays as it is.

    Raises `Unknown`, and `Unusable` when the body names another run, phase or tier.
    """
    with db.writing() as session:
        said = (asked.run_id or run_id, asked.phase_id or phase_id)
        run, phase = phase_moves.lock_run_and_phase(session, run_id, phase_id, *said)
        if asked.tier_id is not None and asked.tier_id != phase.tier_id:
            raise Unprocessable(f"{phase_id} belongs to tier {phase.tier_id}, not to {asked.tier_id}")
        if not _late(run, phase):
            phase_moves.move_to_gate(session, run, phase, "an audit is requested", now)
        own = phase_moves.strategy_of(run).of_phase(phase_id).auditor_profile if run.strategy else None
        return AuditRequestReceipt(
            message=f"An audit of {phase_id} is requested; its result goes to auditor_result",
            phase_state=phase.state,
            review_focus=asked.review_focus,
            auditor_profile=asked.auditor_profile or own,
        )


def post_audit(
    db: Database,
    run_id: str,
    phase_id: str,
    result: AuditorResult,
    now: datetime,
    *,
    found: Sequence[Finding] | None = None,
    misfit: str = "",
) -> PostOutcome[AuditReceipt]:
    """Record an audit; `found` are our own Auditor's findings, with their places, in addition to those in `result`.

    Raises `Unknown`, and `Unusable` for a suggested patch that cannot be read or does not apply (`misfit` says why),
    which is recorded as an issue first.
    """
    with db.writing() as session:
        run, phase = phase_moves.lock_run_and_phase(session, run_id, phase_id, result.run_id, result.phase_id)
        first = submissions.find_attempt(session, phase, Role.AUDITOR, result.auditor_attempts)
        if first is not None:
            if first.answer is not None:
                return PostOutcome(AuditReceipt.model_validate(first.answer))
            return PostOutcome(_receipt(phase, result, submissions.IN_WORK), first.id)
        patches = Unprocessable(misfit) if misfit else _read(result)
        if not isinstance(patches, Unprocessable):
            return _take(session, run, phase, result, found, patches, now)
        problem = submissions.unusable_patch(phase, str(patches), Source.AUDITOR)
        submissions.record_findings(session, run, phase, (problem,), f"patch {now.isoformat()}", now)
    raise patches


def apply_recommendation(session: Session, run: Run, phase: Phase, result: AuditorResult, now: datetime) -> None:
    """Move the phase to where the audit leads."""
    audits = submissions.list_submissions(session, run.run_id, phase.phase_id, Role.AUDITOR)
    step = gate.after_audit(
        result.recommendation,
        number=result.auditor_attempts,
        review=result.review_notes,
        rejections=sum(audit.auditor_result.recommendation == Recommendation.REVISE for audit in audits),
        state=phase.state,
        rules=phase_moves.gate_rules_of(run, phase),
    )
    phase_moves.take_step(session, run, phase, step, now)


def audit_subject(db: Database, run_id: str, phase_id: str) -> str | None:
    """Key of the patch to review; changes after each failed audit, so that a retry is a new workflow."""
    with db.reading() as session:
        built = newest_submission(session, run_id, phase_id, Role.BUILDER)
        if built is None or not built.builder_result.patch_content:
            return None
        key = _no_answer(phase_id)
        failures = select(FindingRow.occurrences).where(
            FindingRow.run_id == run_id, FindingRow.phase_id == phase_id, FindingRow.issue_key == key
        )
        return f"{built.id}:{session.scalar(failures) or 0}"


def next_audit_number(db: Database, run_id: str, phase_id: str) -> int:
    """The number of the phase's next audit."""
    with db.reading() as session:
        return 1 + submissions.last_attempt(session, run_id, phase_id, Role.AUDITOR)


def record_audit_failure(db: Database, run_id: str, phase_id: str, number: int, why: str, now: datetime) -> None:
    """Record that our own Auditor came to no answer: the audit is still awaited."""
    finding = Finding(
        issue_key=_no_answer(phase_id),
        severity=Severity.MINOR,
        source=Source.AUDITOR,
        category="auditor",
        problem=f"Autopack's own Auditor gave no answer: {why}",
    )
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        submissions.record_findings(session, run, phase, (finding,), f"audit {number} failed {now.isoformat()}", now)


def _no_answer(phase_id: str) -> str:
    return issue_key("auditor", phase_id, "no answer")


def _late(run: Run, phase: Phase) -> bool:
    """Whether an audit can only be recorded: the phase has ended, or is judged by Autopack's own lifecycle."""
    return run.engine != Engine.EXTERNAL or run.completed_at is not None or phase.state.ended


def _read(result: AuditorResult) -> list[Patch] | Unprocessable:
    try:
        return [parse_posted_patch(one.patch_content) for one in result.suggested_patches or ()]
    except Unprocessable as error:
        return error


def _take(
    session: Session,
    run: Run,
    phase: Phase,
    result: AuditorResult,
    found: Sequence[Finding] | None,
    patches: Sequence[Patch],
    now: datetime,
) -> PostOutcome[AuditReceipt]:
    number, late = result.auditor_attempts, _late(run, phase)
    in_work_before = not late and phase_moves.status_of(session, run, phase).in_work
    spec, rules = submissions.planned_phase(run, phase), phase_moves.strategy_of(run).patch
    refused = tuple(
        one.model_copy(update={"severity": Severity.MINOR})  # what is only suggested does not count against the phase
        for patch in patches
        for one in patch_policy.check_patch(patch, spec, rules)
    )
    stored = _store(session, run, phase, result, found, refused, now)
    if phase.state == PhaseState.GATE or late:
        stored.judged_submission_id = _newest_result_id(session, phase)
    ready = not late and phase_moves.status_of(session, run, phase) is PhaseStatus.READY_TO_PUSH
    pushing = ready and bool(patches) and not refused
    if late:
        phase_moves.record_late_audit(run, phase, result.recommendation)
        if run.engine == Engine.EXTERNAL and run.completed_at is None:
            phase_moves.end_if_exhausted(session, run, phase, Role.AUDITOR, now)
    elif not phase_moves.end_if_exhausted(session, run, phase, Role.AUDITOR, now) and (
        not pushing or result.recommendation is Recommendation.ESCALATE
    ):
        apply_recommendation(session, run, phase, result, now)
    receipt = _receipt(
        phase,
        result,
        f"Audit {number} of {phase.phase_id} is recorded" + (", after its end" if late else ""),
        patches_applied=0 if refused or late or run.repository is not None else len(patches),
    )
    in_work = not late and phase_moves.status_of(session, run, phase).in_work
    # Else its suggestions are refused, or CI judges the commit and the audit counts after that.
    if in_work and not refused and (pushing or not in_work_before):
        return PostOutcome(receipt, stored.id)
    stored.answer = receipt.model_dump(mode="json")
    return PostOutcome(receipt)


def _store(
    session: Session,
    run: Run,
    phase: Phase,
    result: AuditorResult,
    found: Sequence[Finding] | None,
    refused: Sequence[Finding],
    now: datetime,
) -> Submission:
    """Store the audit with its findings and tokens; `refused` is what is wrong with the patches that it suggests."""
    number = result.auditor_attempts
    stored = submissions.store(session, phase, Role.AUDITOR, number, result, now)
    phase.auditor_attempts = max(phase.auditor_attempts, number)
    if result.recommendation is Recommendation.APPROVE:  # what it still finds is opened again
        finding_rows.resolve_sources(session, run, phase, (Source.AUDITOR,), f"approved in audit {number}")
    posted = submissions.record_posted_issues(
        session, run, phase, result.issues_found or (), Source.AUDITOR, f"audit {number}", now
    )
    stored.found, stored.own = [*posted, *(found or ())], found is not None
    stored.show_on = _commit_to_show_on(session, phase)
    submissions.record_findings(session, run, phase, (*(found or ()), *refused), f"audit {number}", now)
    phase_moves.book_tokens(session, run, phase, Role.AUDITOR, result.tokens_used, f"auditor:{number}", now)
    return stored


def _commit_to_show_on(session: Session, phase: Phase) -> str | None:
    """The phase's commit that the audit is about; None where its newest result is not pushed (yet)."""
    built = newest_submission(session, phase.run_id, phase.phase_id, Role.BUILDER)
    return phase.head_sha if built is None or built.commit_sha is not None else None


def _newest_result_id(session: Session, phase: Phase) -> int | None:
    built = newest_submission(session, phase.run_id, phase.phase_id, Role.BUILDER)
    return built.id if built else None


def _receipt(phase: Phase, result: AuditorResult, message: str, patches_applied: int = 0) -> AuditReceipt:
    return AuditReceipt(
        message=message,
        recommendation=result.recommendation,
        patches_applied=patches_applied,
        phase_state=phase.state,
    )
