"""People's verdicts on the Auditor's findings: stored for the repository, and applied to the run's own findings."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import dismissals
from app.db.dismissals import Dismissal, DismissedFinding
from app.db.engine import LOCK, Database
from app.db.tables import FindingRow, Run
from app.domain.finding_verdict import FindingVerdict

_CALLED_WRONG = "wrong, says "


def apply_verdicts(
    db: Database, run_id: str, verdicts: Sequence[FindingVerdict], now: datetime
) -> list[FindingVerdict]:
    """Store the verdicts, and close or open again what they are about; return those that changed something."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        return [one for one in verdicts if _apply(session, run, one, now)]


def list_dismissed(db: Database, run_id: str) -> tuple[DismissedFinding, ...]:
    """What people called wrong in the run's repository, the newest first."""
    with db.reading() as session:
        return dismissals.list_in(session, session.get_one(Run, run_id).project_id)


def _apply(session: Session, run: Run, verdict: FindingVerdict, now: datetime) -> bool:
    key = (run.project_id, verdict.fingerprint)
    known = session.get(Dismissal, key)
    if not verdict.wrong:
        if known is None:
            return False
        session.delete(known)
        _of_run(session, run, verdict, FindingRow.resolution.startswith(_CALLED_WRONG), open=True, resolution="")
        return True
    if known is not None and known.url == verdict.url:
        return False
    found = _find(session, run, verdict.fingerprint)
    if found is None:
        return False
    finding = found.finding
    place = finding.path or "the whole patch"
    stored = known or Dismissal(project_id=run.project_id, fingerprint=verdict.fingerprint)
    stored.problem, stored.reason = f"{place}: {finding.problem}"[:2_000], verdict.reason[:1_000]
    stored.login, stored.url, stored.run_id, stored.at = verdict.login, verdict.url, run.run_id, now
    session.add(stored)
    because = f": {verdict.reason[:300]}" if verdict.reason else ""
    said = f"{_CALLED_WRONG}{verdict.login}{because}"
    _of_run(session, run, verdict, FindingRow.open.is_(True), open=False, resolution=said)
    return True


def _find(session: Session, run: Run, fingerprint: str) -> FindingRow | None:
    """The finding as the run has it, else as the project's newest run that has it."""
    query = (
        sa.select(FindingRow)
        .join(Run, Run.run_id == FindingRow.run_id)
        .where(Run.project_id == run.project_id, FindingRow.fingerprint == fingerprint)
        .order_by((FindingRow.run_id == run.run_id).desc(), FindingRow.last_seen_at.desc())
    )
    return session.scalar(query.limit(1))


def _of_run(
    session: Session, run: Run, verdict: FindingVerdict, which: sa.ColumnElement[bool], **values: object
) -> None:
    own = (FindingRow.run_id == run.run_id, FindingRow.fingerprint == verdict.fingerprint)
    session.execute(sa.update(FindingRow).where(*own, which).values(**values))
