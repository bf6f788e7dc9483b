"""The CI jobs that failed on a commit, as the run and its phase keep them."""

from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run


def record_failed_jobs(db: Database, run_id: str, phase_id: str | None, log: str, url: str) -> None:
    """Keep the log, trimmed to the failure, and the page of the first job; without a phase, those of a merge."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        run.last_log, run.failed_job_url = log, url
        if phase_id is not None:
            phase = session.get_one(Phase, (run_id, phase_id), with_for_update=LOCK)
            phase.last_log, phase.failed_job_url = log, url
