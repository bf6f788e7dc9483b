"""Findings as stored: the ledger in which none is silent and the same one is counted, not repeated."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog
from app.db.engine import Database
from app.db.tables import Backlog, FindingRow, Phase, Run, Sighting
from app.domain import finding_counts
from app.domain.api_errors import Conflict
from app.domain.finding_counts import IndexEntry, IssueCounts, IssueRecord, PhaseIssues, PhaseReport
from app.domain.findings import Finding, Severity
from app.domain.status_view import FindingView

MAX_KEYS = 1000
"""Distinct issues of a run that clients may fill it up to."""
MAX_REFERENCES = 100
"""References to evidence that a finding keeps, the newest."""
_NO_EVIDENCE: Mapping[str, Sequence[str]] = MappingProxyType({})


def check_key_limit(session: Session, run: Run, *keys: str) -> None:
    """Raise `Conflict` when a client's report of these issues would bring the run over `MOST_KEYS`.

    What the run has already is always welcome.
    """
    known = set(session.scalars(sa.select(FindingRow.issue_key).where(FindingRow.run_id == run.run_id).distinct()))
    if len(known | set(keys)) > max(MAX_KEYS, len(known)):
        raise Conflict(
            f"The run {run.run_id} has {len(known):,} issues, {MAX_KEYS:,} are allowed: report what belongs together "
            "under one issue_key"
        )


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
    backlog.lock_project(session, run.project_id)
    spec = run.planned_phase(phase.phase_id)
    category = task_category or (spec.task_category if spec else "")
    grade = complexity or (spec.complexity if spec else "")
    known = _current_rows(session, run.run_id, phase.phase_id, [finding.fingerprint for finding in reported])
    counted: list[FindingRow] = []
    for finding in reported:
        row = known.get(finding.fingerprint)
        if row is None:
            row = known[finding.fingerprint] = _new_row(run.run_id, phase.phase_id, finding, seen_in, now)
            row.task_category, row.complexity, row.expected_fail = category, grade, expected_fail
            session.add(row)
            counted.append(row)
        elif _count_again(row, finding, seen_in, now):
            row.expected_fail = row.expected_fail and expected_fail
            counted.append(row)
        references = [*row.evidence_refs, *evidence.get(finding.issue_key, ())]
        row.evidence_refs = list(dict.fromkeys(references))[-MAX_REFERENCES:]
    session.flush()
    backlog.record_sightings(session, run, phase, known.values(), counted, now)


def record(db: Database, run_id: str, phase_id: str, findings: Iterable[Finding], seen_in: str, now: datetime) -> None:
    """Store findings of a phase, as `record_in` does, in a transaction of their own."""
    with db.writing() as session:
        run, phase = session.get_one(Run, run_id), session.get_one(Phase, (run_id, phase_id))
        record_in(session, run, phase, findings, seen_in, now)


def resolve(db: Database, run_id: str, phase_id: str, fingerprints: Iterable[str], resolution: str) -> None:
    """Close findings, saying how they ended."""
    with db.writing() as session:
        _close(
            session,
            run_id,
            FindingRow.phase_id == phase_id,
            FindingRow.fingerprint.in_(list(fingerprints)),
            how=resolution,
        )


def resolve_sources(session: Session, run: Run, phase: Phase, sources: Collection[str], resolution: str) -> None:
    """Close what these sources found in a phase, saying how it ended."""
    _close(session, run.run_id, FindingRow.phase_id == phase.phase_id, FindingRow.source.in_(sources), how=resolution)


def resolve_cleaned_up(session: Session, phase: Phase) -> None:
    """The phase is complete: close the findings of other phases on the issues that it fixes."""
    run = session.get_one(Run, phase.run_id)
    spec = run.planned_phase(phase.phase_id)
    if spec is None or not spec.mends:
        return
    own = sa.select(FindingRow.issue_key).where(
        FindingRow.run_id == run.run_id, FindingRow.phase_id == phase.phase_id, FindingRow.open
    )
    fixed = set(spec.mends) - set(session.scalars(own))
    _close(session, run.run_id, FindingRow.issue_key.in_(fixed), how=f"fixed by {phase.phase_id}")


def list_findings(db: Database, run_id: str) -> tuple[FindingView, ...]:
    """All findings of a run, oldest first."""
    with db.reading() as session:
        return read_findings(session, run_id)


def read_findings(session: Session, run_id: str) -> tuple[FindingView, ...]:
    """As `list_findings`, in the caller's transaction."""
    query = (
        sa.select(FindingRow)
        .where(FindingRow.run_id == run_id)
        .order_by(FindingRow.first_seen_at, FindingRow.fingerprint)
    )
    return tuple(
        FindingView(finding=row.finding, phase_id=row.phase_id, open=row.open, resolution=row.resolution)
        for row in session.scalars(query)
    )


def list_open_findings(db: Database, run_id: str, phase_id: str) -> tuple[FindingView, ...]:
    """The open findings of a phase, oldest first."""
    return tuple(view for view in list_findings(db, run_id) if view.phase_id == phase_id and view.open)


def phase_file(session: Session, run: Run, phase: Phase) -> PhaseIssues:
    """The phase's issues, one entry a key however many findings share it.

    Open ones are counted: as major where they are, or where earlier runs had left them past the aging threshold. A
    failure that was expected is listed and counts as minor at most.
    """
    of_phase = _records(session, FindingRow.run_id == run.run_id, FindingRow.phase_id == phase.phase_id)
    return finding_counts.phase_file(phase.phase_id, phase.tier_id, of_phase)


def run_index(session: Session, run_id: str) -> dict[str, IndexEntry]:
    """The run's issues by key, open and closed."""
    return finding_counts.run_index(list_records(session, run_id))


def index_entry(session: Session, run_id: str, key: str) -> IndexEntry:
    """One issue of the run, as its index has it. Raises `KeyError`."""
    return finding_counts.run_index(_records(session, FindingRow.run_id == run_id, FindingRow.issue_key == key))[key]


def counts(session: Session, run_id: str) -> IssueCounts:
    """Distinct open issues of each phase, of each tier and of the run, with what clients merely reported."""
    return counts_of(session, [run_id])[run_id]


def counts_of(session: Session, run_ids: Sequence[str]) -> dict[str, IssueCounts]:
    """What `counts` says of each of these runs, read together."""
    reports: dict[str, list[PhaseReport]] = {run_id: [] for run_id in run_ids}
    query = sa.select(Phase.run_id, Phase.phase_id, Phase.tier_id, Phase.reported_minor, Phase.reported_major)
    for run_id, phase_id, tier_id, minor, major in session.execute(
        query.where(Phase.run_id.in_(run_ids)).order_by(Phase.phase_index)
    ):
        reports[run_id].append(PhaseReport(phase_id=phase_id, tier_id=tier_id, minor=minor, major=major))
    records: dict[str, list[IssueRecord]] = {run_id: [] for run_id in run_ids}
    for record in _records(session, FindingRow.run_id.in_(run_ids), FindingRow.open.is_(True)):
        records[record.run_id].append(record)
    return {run_id: finding_counts.count(records[run_id], reports[run_id]) for run_id in run_ids}


def list_records(session: Session, run_id: str) -> list[IssueRecord]:
    """All findings of a run, open and closed, in the order of first sight."""
    return _records(session, FindingRow.run_id == run_id)


def _records(session: Session, *which: sa.ColumnElement[bool]) -> list[IssueRecord]:
    """Findings with what their run and project know of them, in the order of first sight."""
    session.flush()
    query = (
        sa.select(
            *(
                FindingRow.run_id,
                FindingRow.phase_id,
                Phase.phase_index,
                Phase.tier_id,
                FindingRow.issue_key,
                FindingRow.severity,
            ),
            *(
                FindingRow.source,
                FindingRow.finding["category"].as_string().label("category"),
                FindingRow.task_category,
            ),
            *(
                FindingRow.complexity,
                FindingRow.expected_fail,
                FindingRow.occurrences,
                FindingRow.evidence_refs,
                FindingRow.open,
            ),
            *(Backlog.first_seen_run_id.label("first_seen_run"), Sighting.aged_before, Sighting.aged),
        )
        .join(Run, Run.run_id == FindingRow.run_id)
        .join(Phase, sa.and_(Phase.run_id == FindingRow.run_id, Phase.phase_id == FindingRow.phase_id))
        .join(
            Sighting,
            sa.and_(
                Sighting.project_id == Run.project_id,
                Sighting.issue_key == FindingRow.issue_key,
                Sighting.run_id == FindingRow.run_id,
            ),
        )
        .join(Backlog, sa.and_(Backlog.project_id == Run.project_id, Backlog.issue_key == FindingRow.issue_key))
        .where(*which)
        .order_by(FindingRow.first_seen_at, FindingRow.fingerprint)
    )
    return [IssueRecord.model_validate(row) for row in session.execute(query)]


def _current_rows(session: Session, run_id: str, phase_id: str, fingerprints: Sequence[str]) -> dict[str, FindingRow]:
    """As they are now that the project is locked, not as this session may have read them before."""
    query = sa.select(FindingRow).where(
        FindingRow.run_id == run_id, FindingRow.phase_id == phase_id, FindingRow.fingerprint.in_(fingerprints)
    )
    found = session.scalars(query.execution_options(populate_existing=True))
    return {row.fingerprint: row for row in found}


def _count_again(row: FindingRow, finding: Finding, seen_in: str, now: datetime) -> bool:
    """Bring the row up to date; whether this is a sighting of its own."""
    if finding.severity is Severity.MAJOR:
        row.severity = Severity.MAJOR
        row.finding = row.finding.model_copy(update={"severity": Severity.MAJOR})
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
        sa.update(FindingRow)
        .where(FindingRow.run_id == run_id, FindingRow.open, *which)
        .values(open=False, resolution=how)
    )


def _new_row(run_id: str, phase_id: str, finding: Finding, seen_in: str, now: datetime) -> FindingRow:
    return FindingRow(
        run_id=run_id,
        phase_id=phase_id,
        fingerprint=finding.fingerprint,
        issue_key=finding.issue_key,
        severity=finding.severity,
        source=finding.source,
        finding=finding,
        evidence_refs=[],
        open=True,
        occurrences=1,
        seen_in=seen_in,
        first_seen_at=now,
        last_seen_at=now,
    )
