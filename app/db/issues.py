"""Findings as stored: the ledger in which none is silent and the same one is counted, not repeated."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import Issue
from app.domain.findings import Finding, Severity
from app.domain.view import FindingView


def record(db: Database, run_id: str, phase_id: str, findings: Iterable[Finding], seen_in: str, now: datetime) -> None:
    """Store findings of a phase. One that is there already is counted again and opened again; severity only rises.

    `seen_in` names the sighting (`audit 2`): the same sighting stored twice, after a crash, counts once.
    """
    with db.writing() as session:
        for finding in findings:
            row = session.get(Issue, (run_id, phase_id, finding.fingerprint))
            if row is None:
                session.add(_row(run_id, phase_id, finding, seen_in, now))
                session.flush()
                continue
            if finding.severity is Severity.MAJOR:
                row.severity = Severity.MAJOR
                row.finding = {**row.finding, "severity": Severity.MAJOR}
            if row.seen_in == seen_in:
                continue
            row.seen_in = seen_in
            row.occurrences += 1
            row.last_seen_at = now
            row.open = True
            row.resolution = ""


def resolve(db: Database, run_id: str, phase_id: str, fingerprints: Iterable[str], resolution: str) -> None:
    """Close findings, saying how they ended."""
    with db.writing() as session:
        session.execute(
            sa.update(Issue)
            .where(
                Issue.run_id == run_id,
                Issue.phase_id == phase_id,
                Issue.fingerprint.in_(list(fingerprints)),
                Issue.open,
            )
            .values(open=False, resolution=resolution)
        )


def of_run(db: Database, run_id: str) -> tuple[FindingView, ...]:
    """All findings of a run, oldest first."""
    query = sa.select(Issue).where(Issue.run_id == run_id).order_by(Issue.first_seen_at, Issue.fingerprint)
    with db.reading() as session:
        return tuple(
            FindingView(
                finding=Finding.model_validate(row.finding),
                phase_id=row.phase_id,
                open=row.open,
                resolution=row.resolution,
            )
            for row in session.scalars(query)
        )


def _row(run_id: str, phase_id: str, finding: Finding, seen_in: str, now: datetime) -> Issue:
    return Issue(
        run_id=run_id,
        phase_id=phase_id,
        fingerprint=finding.fingerprint,
        issue_key=finding.issue_key,
        severity=finding.severity,
        source=finding.source,
        finding=finding.model_dump(mode="json"),
        seen_in=seen_in,
        first_seen_at=now,
        last_seen_at=now,
    )
