"""Findings as stored: the ledger in which none is silent and the same one is counted, not repeated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog
from app.db.engine import Database
from app.db.tables import Backlog, Issue, Phase, Run, Sighting
from app.domain import issues
from app.domain.findings import Finding, Severity
from app.domain.issues import IndexEntry, IssueCounts, IssueRecord, PhaseIssues, PhaseReport
from app.domain.view import FindingView

_NO_EVIDENCE: Mapping[str, Sequence[str]] = MappingProxyType({})


def record_in(  # noqa: PLR0913 - who tells names it all, and most of it has a default
    session: Session,
    run: Run,
    phase: Phase,
    findings: Iterable[Finding],
    seen_in: str,
    now: datetime,
    *,
    evidence: Mapping[str, Sequence[str]] = _NO_EVIDENCE,
    task_category: str = "",
    complexity: str = "",
    expected_fail: bool = False,
) -> None:
    """Store findings of a phase, and what they mean to the project's backlog, in the caller's transaction.

    A finding that is there already is counted again and opened again; its severity only rises. `seen_in` names the
    sighting (`audit 2`): the same sighting stored twice, after a crash or by a client that repeats itself, counts once.
    `evidence` holds references by issue key. Category and complexity are the planned phase's unless given.
    """
    reported = list(findings)
    if not reported:
        return
    backlog.lock(session, run.project_id)
    spec = _spec(run, phase.phase_id)
    category, grade = task_category or spec.get("task_category", ""), complexity or spec.get("complexity", "")
    known = _rows(session, run.run_id, phase.phase_id, [finding.fingerprint for finding in reported])
    counted: list[Issue] = []
    for finding in reported:
        row = known.get(finding.fingerprint)
        if row is None:
            row = known[finding.fingerprint] = _row(run.run_id, phase.phase_id, finding, seen_in, now)
            row.task_category, row.complexity, row.expected_fail = category, grade, expected_fail
            session.add(row)
            counted.append(row)
        elif _seen_again(row, finding, seen_in, now):
            row.expected_fail = row.expected_fail and expected_fail
            counted.append(row)
        references = [*row.evidence_refs, *evidence.get(finding.issue_key, ())]
        row.evidence_refs = list(dict.fromkeys(references))
    session.flush()
    backlog.note(session, run, phase, known.values(), counted, now)


def record(db: Database, run_id: str, phase_id: str, findings: Iterable[Finding], seen_in: str, now: datetime) -> None:
    """Store findings of a phase, as `record_in` does, in a transaction of their own."""
    with db.writing() as session:
        run, phase = session.get_one(Run, run_id), session.get_one(Phase, (run_id, phase_id))
        record_in(session, run, phase, findings, seen_in, now)


def resolve(db: Database, run_id: str, phase_id: str, fingerprints: Iterable[str], resolution: str) -> None:
    """Close findings, saying how they ended."""
    with db.writing() as session:
        _close(session, run_id, Issue.phase_id == phase_id, Issue.fingerprint.in_(list(fingerprints)), how=resolution)


def resolve_sources(session: Session, run: Run, phase: Phase, sources: Collection[str], resolution: str) -> None:
    """Close what these sources found in a phase, saying how it ended."""
    _close(session, run.run_id, Issue.phase_id == phase.phase_id, Issue.source.in_(sources), how=resolution)


def resolve_mended(session: Session, phase: Phase) -> None:
    """The phase is complete: close what others of the run found of the issues it was to mend, unless it did too."""
    run = session.get_one(Run, phase.run_id)
    mends: list[str] = _spec(run, phase.phase_id).get("mends") or []
    if not mends:
        return
    own = sa.select(Issue.issue_key).where(Issue.run_id == run.run_id, Issue.phase_id == phase.phase_id, Issue.open)
    mended = set(mends) - set(session.scalars(own))
    _close(session, run.run_id, Issue.issue_key.in_(mended), how=f"mended by {phase.phase_id}")


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


def phase_file(session: Session, run: Run, phase: Phase) -> PhaseIssues:
    """The phase's issues, one entry a key however many findings share it.

    Open ones are counted: as major where they are, or where earlier runs had left them past the aging threshold. A
    failure that was expected is listed and counts as minor at most.
    """
    return issues.phase_file(phase.phase_id, phase.tier_id, _records(session, run.run_id, phase.phase_id))


def run_index(session: Session, run_id: str) -> dict[str, IndexEntry]:
    """The run's issues by key, open and closed."""
    return issues.run_index(_records(session, run_id))


def counts(session: Session, run_id: str) -> IssueCounts:
    """Distinct open issues of each phase, of each tier and of the run, with what clients merely reported."""
    reports = [
        PhaseReport(
            phase_id=phase.phase_id, tier_id=phase.tier_id, minor=phase.reported_minor, major=phase.reported_major
        )
        for phase in session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index))
    ]
    return issues.count(_records(session, run_id), reports)


def _records(session: Session, run_id: str, phase_id: str | None = None) -> list[IssueRecord]:
    """Findings with what their run and project know of them, in the order of first sight."""
    session.flush()
    query = (
        sa.select(Issue, Phase, Sighting, Backlog)
        .join(Phase, sa.and_(Phase.run_id == Issue.run_id, Phase.phase_id == Issue.phase_id))
        .join(Sighting, sa.and_(Sighting.run_id == Issue.run_id, Sighting.issue_key == Issue.issue_key))
        .join(
            Backlog,
            sa.and_(Backlog.project_id == Sighting.project_id, Backlog.issue_key == Sighting.issue_key),
        )
        .where(Issue.run_id == run_id, Issue.phase_id == phase_id if phase_id else sa.true())
        .order_by(Issue.first_seen_at, Issue.fingerprint)
    )
    return [
        IssueRecord(
            phase_id=issue.phase_id,
            phase_index=phase.phase_index,
            tier_id=phase.tier_id,
            issue_key=issue.issue_key,
            severity=Severity(issue.severity),
            source=issue.source,
            category=issue.finding["category"],
            task_category=issue.task_category,
            complexity=issue.complexity,
            expected_fail=issue.expected_fail,
            occurrences=issue.occurrences,
            evidence_refs=tuple(issue.evidence_refs),
            open=issue.open,
            first_seen_run=entry.first_seen_run_id,
            run_id=run_id,
            aged_before=sighting.aged_before,
            aged=sighting.aged,
        )
        for issue, phase, sighting, entry in session.execute(query)
    ]


def _spec(run: Run, phase_id: str) -> dict[str, Any]:
    """The phase as planned; empty when the plan is not stored yet."""
    phases: list[dict[str, Any]] = run.plan["phases"] if run.plan else []
    nothing: dict[str, Any] = {}
    return next((phase for phase in phases if phase["phase_id"] == phase_id), nothing)


def _rows(session: Session, run_id: str, phase_id: str, fingerprints: Sequence[str]) -> dict[str, Issue]:
    """As they are now that the project is locked, not as this session may have read them before."""
    query = sa.select(Issue).where(
        Issue.run_id == run_id, Issue.phase_id == phase_id, Issue.fingerprint.in_(fingerprints)
    )
    found = session.scalars(query.execution_options(populate_existing=True))
    return {row.fingerprint: row for row in found}


def _seen_again(row: Issue, finding: Finding, seen_in: str, now: datetime) -> bool:
    """Bring the row up to date; whether this is a sighting of its own."""
    if finding.severity is Severity.MAJOR:
        row.severity = Severity.MAJOR
        row.finding = {**row.finding, "severity": Severity.MAJOR}
    if row.seen_in == seen_in:
        return False
    row.seen_in = seen_in
    row.occurrences += 1
    row.last_seen_at = now
    row.open = True
    row.resolution = ""
    return True


def _close(session: Session, run_id: str, *which: sa.ColumnElement[bool], how: str) -> None:
    session.execute(
        sa.update(Issue).where(Issue.run_id == run_id, Issue.open, *which).values(open=False, resolution=how)
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
        evidence_refs=[],
        open=True,
        occurrences=1,
        seen_in=seen_in,
        first_seen_at=now,
        last_seen_at=now,
    )
