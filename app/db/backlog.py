"""The backlog of each project as stored: brought up to date with every report and at every run's end."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.engine import LOCK
from app.db.tables import Backlog, FindingRow, Phase, Project, Run, Sighting
from app.domain import aging
from app.domain.aging import AgingThresholds, BacklogEntry, BacklogStatus, CompletedPhase, FindingPlace
from app.domain.findings import Severity
from app.domain.ruleset import SafetyProfile
from app.domain.states import PhaseState, RunState

_THRESHOLDS = {SafetyProfile.SAFETY_CRITICAL: AgingThresholds(runs=2, tiers=1)}
"""For runs without a strategy."""


def lock_project(session: Session, project_id: str) -> None:
    """Be the only one who writes the project's backlog, until the caller's transaction ends."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Project).values(project_id=project_id).on_conflict_do_nothing())
    session.execute(sa.select(Project).where(Project.project_id == project_id).with_for_update(**LOCK))


def list_entries(session: Session, project_id: str) -> tuple[BacklogEntry, ...]:
    """All issues that the project ever had, by key."""
    query = sa.select(Backlog).where(Backlog.project_id == project_id).order_by(Backlog.issue_key)
    return tuple(BacklogEntry.model_validate(row) for row in session.scalars(query))


def list_page(
    session: Session, project_id: str, status: BacklogStatus | None, limit: int, offset: int = 0
) -> tuple[int, tuple[BacklogEntry, ...]]:
    """The number of issues of the project (with `status`, if given), and a page of them, by key."""
    which = (Backlog.project_id == project_id, sa.true() if status is None else Backlog.status == status)
    total = session.scalar(sa.select(sa.func.count()).select_from(Backlog).where(*which)) or 0
    query = sa.select(Backlog).where(*which).order_by(Backlog.issue_key).limit(limit).offset(offset)
    return total, tuple(BacklogEntry.model_validate(row) for row in session.scalars(query))


def get_entry(session: Session, project_id: str, key: str) -> BacklogEntry | None:
    """One issue of the project."""
    row = session.get(Backlog, (project_id, key))
    return BacklogEntry.model_validate(row) if row else None


def list_projects(session: Session) -> dict[str, tuple[BacklogEntry, ...]]:
    """The backlog of every project that has one, by project."""
    projects = session.scalars(sa.select(Backlog.project_id).distinct().order_by(Backlog.project_id)).all()
    return {project_id: list_entries(session, project_id) for project_id in projects}


def record_sightings(
    session: Session, run: Run, phase: Phase, rows: Collection[FindingRow], counted: Sequence[FindingRow], now: datetime
) -> None:
    """Bring the backlog up to date with findings of one phase; `counted` are those that are sightings of their own.

    The caller holds the project's lock.
    """
    for key in dict.fromkeys(row.issue_key for row in rows):
        same = [row for row in rows if row.issue_key == key]
        new = [row for row in counted if row.issue_key == key]
        kept = _entry(session, run, key) or _new_entry(session, run, same[0], now)
        if any(row.severity == Severity.MAJOR for row in same):
            kept.base_severity = Severity.MAJOR
        if new:
            _record_sighting(session, run, phase, kept, new, now)
    session.flush()


def close_run_in_backlog(session: Session, run: Run) -> None:
    """The run has ended: take back its sightings of what it fixed itself, and resolve what it fixed of earlier runs.

    Only a run that succeeded resolves what others left.
    """
    lock_project(session, run.project_id)
    query = sa.select(Backlog).where(Backlog.project_id == run.project_id, Backlog.status != BacklogStatus.RESOLVED)
    open_entries = session.scalars(query.execution_options(populate_existing=True)).all()
    completed = _completed(session, run) if run.state == RunState.DONE_SUCCESS else ()
    for kept in open_entries:
        _close_entry(session, run, kept, completed)
    session.flush()


def thresholds_of(run: Run) -> AgingThresholds:
    """From which age on an issue needs a clean-up, by the run's strategy."""
    if run.strategy is not None:
        return AgingThresholds(runs=run.strategy.aging_runs, tiers=run.strategy.aging_tiers)
    return _THRESHOLDS.get(run.safety_profile, AgingThresholds())


def _entry(session: Session, run: Run, key: str) -> Backlog | None:
    return session.get(Backlog, (run.project_id, key), populate_existing=True)


def _new_entry(session: Session, run: Run, row: FindingRow, now: datetime) -> Backlog:
    made = Backlog(
        project_id=run.project_id,
        issue_key=row.issue_key,
        category=row.finding.category,
        base_severity=row.severity,
        status=BacklogStatus.OPEN,
        occurrences=0,
        age_in_runs=0,
        age_in_tiers=0,
        seen_in_tiers=[],
        first_seen_run_id=run.run_id,
        last_seen_run_id=run.run_id,
        last_seen_at=now,
    )
    session.add(made)
    session.flush()
    return made


def _record_sighting(
    session: Session, run: Run, phase: Phase, kept: Backlog, new: Sequence[FindingRow], now: datetime
) -> None:
    before = None if kept.status == BacklogStatus.RESOLVED else kept.status
    ages = not all(row.expected_fail for row in new)
    sighting = session.get(Sighting, (run.project_id, kept.issue_key, run.run_id), populate_existing=True)
    if sighting is None:
        sighting = Sighting(
            project_id=run.project_id, issue_key=kept.issue_key, run_id=run.run_id, tiers=[], left_open=ages
        )
        sighting.aged_before = before is BacklogStatus.NEEDS_CLEANUP and not _cleanup_phase_ids(run, kept.issue_key)
        session.add(sighting)
    sighting.aged_before = sighting.aged_before or phase.phase_id in _cleanup_phase_ids(run, kept.issue_key)
    sighting.left_open = sighting.left_open or ages
    sighting.tiers = list(dict.fromkeys([*sighting.tiers, phase.tier_id]))
    session.flush()
    kept.occurrences += len(new)
    kept.problem = new[-1].finding.problem
    kept.task_category = new[-1].task_category or kept.task_category or ""
    kept.complexity = new[-1].complexity or kept.complexity or ""
    kept.seen_in_tiers = list(dict.fromkeys([*kept.seen_in_tiers, phase.tier_id]))
    kept.last_seen_run_id, kept.last_seen_at, kept.resolved_by_run_id = run.run_id, now, None
    age = aging.age(_update_age(kept, _sightings(session, kept)))
    kept.status = aging.status_after_sighting(before, age, thresholds_of(run))
    sighting.aged = kept.status == BacklogStatus.NEEDS_CLEANUP


def _cleanup_phase_ids(run: Run, key: str) -> list[str]:
    """The phases of the run, and of those that follow it, that are there to fix the issue."""
    plans = [*([run.plan] if run.plan else []), *run.rest]
    return [phase.phase_id for plan in plans for phase in plan.phases if key in phase.mends]


def _close_entry(session: Session, run: Run, kept: Backlog, completed: Sequence[CompletedPhase]) -> None:
    sightings = _sightings(session, kept)
    own = next((one for one in sightings if one.run_id == run.run_id), None)
    rows = session.scalars(
        sa.select(FindingRow).where(FindingRow.run_id == run.run_id, FindingRow.issue_key == kept.issue_key)
    ).all()
    if any(row.open for row in rows):
        return
    if own is not None:
        own.left_open = False
    closed = frozenset(row.fingerprint for row in rows)
    left = _open_findings_of(session, run, kept, [one.run_id for one in sightings if one.left_open])
    if aging.resolved_by(kept.issue_key, left, completed, closed):
        for one in sightings:
            one.left_open = one.left_open and one.run_id in _open_run_ids(session, run)
    elif own is None:
        return
    age = aging.age(_update_age(kept, sightings))
    if age.runs == 0:
        kept.status, kept.resolved_by_run_id = BacklogStatus.RESOLVED, run.run_id
    else:
        still = kept.status == BacklogStatus.NEEDS_CLEANUP and (own is None or own.aged_before)
        kept.status = aging.status_after_sighting(
            BacklogStatus.NEEDS_CLEANUP if still else None, age, thresholds_of(run)
        )


def _update_age(kept: Backlog, sightings: Iterable[Sighting]) -> list[aging.SightingFacts]:
    """Write the ages that follow from the sightings, and return these as plain values."""
    plain = [aging.SightingFacts.model_validate(one) for one in sightings]
    age = aging.age(plain)
    kept.age_in_runs, kept.age_in_tiers = age.runs, age.tiers
    return plain


def _sightings(session: Session, kept: Backlog) -> Sequence[Sighting]:
    query = sa.select(Sighting).where(Sighting.project_id == kept.project_id, Sighting.issue_key == kept.issue_key)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def _completed(session: Session, run: Run) -> tuple[CompletedPhase, ...]:
    query = sa.select(Phase).where(Phase.run_id == run.run_id, Phase.state == PhaseState.COMPLETE)
    return tuple(
        CompletedPhase(
            tier_id=phase.tier_id,
            task_category=spec.task_category if spec else "",
            mends=spec.mends if spec else (),
            paths=frozenset(phase.changed_paths),
        )
        for phase in session.scalars(query)
        for spec in [run.planned_phase(phase.phase_id)]
    )


def _open_findings_of(session: Session, run: Run, kept: Backlog, run_ids: Sequence[str]) -> list[FindingPlace]:
    """The findings of the issue that these runs left open."""
    query = (
        sa.select(FindingRow, Phase.tier_id, Run)
        .join(Phase, sa.and_(Phase.run_id == FindingRow.run_id, Phase.phase_id == FindingRow.phase_id))
        .join(Run, Run.run_id == FindingRow.run_id)
        .where(FindingRow.run_id.in_(run_ids), FindingRow.issue_key == kept.issue_key, FindingRow.open)
    )
    return [
        FindingPlace(
            tier_id=tier_id,
            task_category=issue.task_category,
            path=issue.finding.path,
            fingerprint=issue.fingerprint,
            reachable=_reachable(earlier, run),
        )
        for issue, tier_id, earlier in session.execute(query)
    ]


def _reachable(earlier: Run, run: Run) -> bool:
    """Whether `run` began on what `earlier` had done: it was over, and where there is a repository, merged."""
    landed = earlier.completed_at if earlier.repository is None else earlier.promoted_at
    return landed is not None and landed <= run.created_at


def _open_run_ids(session: Session, run: Run) -> frozenset[str]:
    """Runs of the project that have not ended: what they see they may have seen after it was fixed."""
    query = sa.select(Run.run_id).where(Run.project_id == run.project_id, Run.completed_at.is_(None))
    return frozenset(session.scalars(query)) - {run.run_id}
