"""What the integrity rules found in a run's branch, as the run keeps it."""

from app.db.engine import LOCK, Database
from app.db.tables import Run
from app.domain.integrity import IntegrityReport


def store_report(db: Database, run_id: str, report: IntegrityReport) -> None:
    """Keep the newest report."""
    with db.writing() as session:
        session.get_one(Run, run_id, with_for_update=LOCK).integrity = report


def accept_report(db: Database, run_id: str, approvals: dict[str, str]) -> bool:
    """A person approves the commit that was looked through: that settles it; whether anything was to be settled.

    `approvals` are the commits that people who may steer approve, by their names.
    """
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        report = run.integrity
        if report is None or not report.needs_person:
            return False
        by = next((login for login, sha in approvals.items() if sha == report.head_sha), None)
        if by is not None:
            run.integrity = report.model_copy(update={"accepted_by": by})
        return by is not None


def read_report(db: Database, run_id: str) -> IntegrityReport | None:
    """The newest report; None before the first push."""
    with db.reading() as session:
        return session.get_one(Run, run_id).integrity
