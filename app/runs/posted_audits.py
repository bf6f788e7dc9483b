"""Audits that others post, as they are shown on the pull request: which are due, and what they found."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import finding_rows
from app.db.engine import Database
from app.db.submission_table import Submission
from app.domain.budget import Role
from app.domain.findings import Finding, Recommendation, Source, distinct
from app.domain.frozen import Frozen


class DueAudit(Frozen):
    """An audit that the pull request does not show yet."""

    submission: int
    phase_id: str
    number: int
    recommendation: Recommendation
    summary: str
    found: tuple[Finding, ...]
    settled: tuple[Finding, ...]
    """What auditors found in the phase before, and is settled."""
    commit_sha: str
    own: bool
    """Autopack's own Auditor made it."""


def has_due(session: Session, run_id: str) -> bool:
    """Whether an audit of the run is not shown yet."""
    return session.scalar(_due(run_id).with_only_columns(Submission.id).limit(1)) is not None


def list_due(db: Database, run_id: str) -> tuple[DueAudit, ...]:
    """What is to be shown of a run, oldest first."""
    with db.reading() as session:
        views = finding_rows.read_findings(session, run_id)
        return tuple(
            DueAudit(
                submission=audit.id,
                phase_id=audit.phase_id,
                number=audit.attempt,
                recommendation=audit.auditor_result.recommendation,
                summary=audit.auditor_result.review_notes,
                found=distinct(audit.found or ()),
                settled=tuple(
                    view.finding
                    for view in views
                    if view.phase_id == audit.phase_id and view.finding.source == Source.AUDITOR and not view.open
                ),
                commit_sha=audit.show_on or "",
                own=audit.own,
            )
            for audit in session.scalars(_due(run_id).order_by(Submission.id))
        )


def mark_shown(db: Database, submission: int) -> None:
    """The audit is on the pull request, or owed to it."""
    with db.writing() as session:
        session.get_one(Submission, submission).shown = True


def _due(run_id: str) -> sa.Select[Submission]:
    return sa.select(Submission).where(
        Submission.run_id == run_id,
        Submission.role == Role.AUDITOR,
        Submission.show_on.is_not(None),
        Submission.shown.is_(False),
    )
