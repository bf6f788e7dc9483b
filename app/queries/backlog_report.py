"""The backlog in short: the number of open issues, and those open longest."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Backlog
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.metrics import AgingIssue, BacklogSummary

MAX_LISTED_KEYS = 10
MAX_LISTED = 1000
"""Issues of one list, at most."""


def backlog_summary(db: Database, project_id: str | None) -> BacklogSummary:
    """The backlog of one project, or of all of them; a project that nothing is known of has an empty one."""
    which = sa.true() if project_id is None else Backlog.project_id == project_id
    with db.reading() as session:
        counted = sa.select(Backlog.status, sa.func.count()).where(which).group_by(Backlog.status)
        counts = dict(session.execute(counted).all())
        top = _oldest(session, MAX_LISTED_KEYS, which, Backlog.status != BacklogStatus.RESOLVED)
        return BacklogSummary(
            project_id=project_id,
            total_issues=sum(counts.values()),
            open_count=counts.get(BacklogStatus.OPEN, 0),
            needs_cleanup_count=counts.get(BacklogStatus.NEEDS_CLEANUP, 0),
            resolved_count=counts.get(BacklogStatus.RESOLVED, 0),
            top_aging_issues=[(issue.issue_key, issue) for issue in top],
            needs_cleanup=_oldest(session, MAX_LISTED, which, Backlog.status == BacklogStatus.NEEDS_CLEANUP),
        )


def _oldest(session: Session, limit: int, *which: sa.ColumnElement[bool]) -> list[AgingIssue]:
    query = (
        sa.select(Backlog)
        .where(*which)
        .order_by(
            *(Backlog.age_in_runs.desc(), Backlog.age_in_tiers.desc(), Backlog.occurrences.desc()),
            *(Backlog.project_id, Backlog.issue_key),
        )
        .limit(limit)
    )
    return [_issue(row) for row in session.scalars(query)]


def _issue(row: Backlog) -> AgingIssue:
    entry = BacklogEntry.model_validate(row)
    return AgingIssue(
        project_id=row.project_id,
        effective_severity=entry.effective_severity,
        **{name: value for name, value in dict(entry).items() if name in AgingIssue.model_fields},
    )
