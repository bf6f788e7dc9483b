"""What builder results and audits have in common: each is stored once per attempt, and a repeat answered the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Phase, Run
from app.domain.api_requests import AuditorResult, BuilderResult
from app.domain.budget import Role
from app.domain.findings import Finding, Severity, issue_key
from app.domain.phase_account import PhaseAccount
from app.domain.plan import PlannedPhase, is_identifier
from app.domain.posted_issue import PostedIssue
from app.queries.phase_status import newest_submission, select_submissions

R = TypeVar("R")


@dataclass(frozen=True)
class PostOutcome(Generic[R]):
    """The result of a post: its receipt, and the submission that the run's workflow still has to answer, if any."""

    receipt: R
    at_work: int | None = None


def list_submissions(session: Session, run_id: str, phase_id: str, role: Role) -> list[Submission]:
    """What was posted for a phase in one role, oldest first."""
    return list(session.scalars(select_submissions(run_id, phase_id, role).order_by(Submission.id)))


def count(session: Session, run_id: str, phase_id: str, role: Role) -> int:
    """How often something was posted for a phase in one role."""
    posted = select_submissions(run_id, phase_id, role).with_only_columns(sa.func.count(Submission.id))
    return session.scalar(posted) or 0


def last_attempt(session: Session, run_id: str, phase_id: str, role: Role) -> int:
    """The highest number of an attempt that was posted for a phase in one role; 0 when none was."""
    posted = select_submissions(run_id, phase_id, role).with_only_columns(sa.func.max(Submission.attempt))
    return session.scalar(posted) or 0


def list_unanswered(session: Session, run_id: str, phase_id: str) -> list[Submission]:
    """What was posted for a phase and waits for its answer."""
    waiting = sa.select(Submission).where(Submission.run_id == run_id, Submission.phase_id == phase_id)
    return [one for one in session.scalars(waiting.order_by(Submission.id)) if one.answer is None]


IN_WORK = "This result is being worked on"
"""Answer to a repeated post whose first one is being worked on."""


def find_attempt(session: Session, phase: Phase, role: Role, attempt: int) -> Submission | None:
    """The result of this attempt, if it was posted before."""
    return session.scalar(select_submissions(phase.run_id, phase.phase_id, role).where(Submission.attempt == attempt))


def store(
    session: Session, phase: Phase, role: Role, attempt: int, body: BuilderResult | AuditorResult, now: datetime
) -> Submission:
    """Store what was posted; it is answered later."""
    stored = Submission(run_id=phase.run_id, phase_id=phase.phase_id, role=role, attempt=attempt, body=body, at=now)
    session.add(stored)
    if isinstance(body, AuditorResult):
        phase.account = (phase.account or PhaseAccount()).model_copy(update={"audit": body.review_notes[:2_000]})
    session.flush()
    return stored


def get_answer(db: Database, submission_id: int) -> dict[str, Any] | None:
    """What was answered to a posted result; None while the run's workflow works on it."""
    with db.reading() as session:
        return session.scalar(sa.select(Submission.answer).where(Submission.id == submission_id))


def diffs_to_apply(db: Database, run_id: str, phase_id: str, result: BuilderResult | AuditorResult) -> tuple[str, ...]:
    """The diffs that the run's workflow would apply for a result, in order."""
    if isinstance(result, BuilderResult):
        return (result.patch_content,) if result.patch_content else ()
    if not is_identifier(phase_id):
        return ()
    with db.reading() as session:
        built = newest_submission(session, run_id, phase_id, Role.BUILDER)
        waiting = built.builder_result.patch_content if built is not None and built.commit_sha is None else None
        suggested = tuple(one.patch_content for one in result.suggested_patches or ())
        return ((waiting, *suggested) if waiting else suggested) if suggested else ()


def withdraw(session: Session, phase: Phase) -> None:
    """The phase is sent back: nothing is left to do for its result, and no audit of it counts any more."""
    built = newest_submission(session, phase.run_id, phase.phase_id, Role.BUILDER)
    if built is not None:
        built.judged = True
    for audit in list_submissions(session, phase.run_id, phase.phase_id, Role.AUDITOR):
        audit.judged_submission_id = None


def planned_phase(run: Run, phase: Phase) -> PlannedPhase:
    """The phase as the plan has it."""
    spec = run.planned_phase(phase.phase_id)
    if spec is None:
        raise ValueError(f"the plan of {run.run_id} has no phase {phase.phase_id}")
    return spec


def record_findings(
    session: Session, run: Run, phase: Phase, found: Sequence[Finding], seen_in: str, now: datetime
) -> None:
    """Record findings of our own checks."""
    finding_rows.record_in(session, run, phase, found, seen_in, now)


def record_posted_issues(
    session: Session, run: Run, phase: Phase, posted: Sequence[PostedIssue], source: str, seen_in: str, now: datetime
) -> list[Finding]:
    """Record issues that came with a result or audit, and return them; `source` is theirs unless they name one."""
    evidence = {issue.issue_key: issue.evidence_refs or () for issue in posted}
    finding_rows.check_key_limit(session, run, *evidence)
    severity = default_severity(run, phase)
    findings = [issue.as_finding(issue.source or source, severity) for issue in posted]
    finding_rows.record_in(session, run, phase, findings, seen_in, now, evidence=evidence)
    return findings


def default_severity(run: Run, phase: Phase) -> Severity:
    """The severity of an issue that is reported without one: what the ruleset says of the phase's category."""
    return run.strategy.of_phase(phase.phase_id).default_severity if run.strategy else Severity.MINOR


def unusable_patch(phase: Phase, problem: str, source: str) -> Finding:
    """The issue of a patch that cannot be read or does not apply."""
    return Finding(
        issue_key=issue_key("patch", phase.phase_id, "unusable"),
        severity=Severity.MINOR,
        source=source,
        category="patch",
        problem=problem[:4_000],
    )
