"""Rows that an earlier release stored are migrated and read.

`data/revision_0001.sql` holds one run of each kind, written by the release whose newest revision was 0001.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.config.loader import default_ruleset
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import Run
from app.domain.api_requests import AuditorResult, BuilderResult
from app.domain.budget import Scope
from app.domain.metrics import RunMetrics
from app.domain.states import RunState
from app.domain.strategy import Engine
from app.queries import budget_report, prometheus_totals, run_archive, run_details, run_metrics, run_view

ROWS = Path(__file__).parent / "data" / "revision_0001.sql"
RULESET = default_ruleset()
STATES = {
    "asked": RunState.PLAN_BOOTSTRAP,
    "external": RunState.GATE,
    "failed": RunState.DONE_FAILED_BUDGET_EXHAUSTED,
    "linked": RunState.DONE_SUCCESS,
    "linked-part-2": RunState.RUN_CREATED,
    "own": RunState.PHASE_EXECUTION,
    "stopping": RunState.RUN_CREATED,
}


@pytest.fixture
def earlier(url: str) -> Iterator[Database]:
    """The earlier release's rows, migrated to the newest revision."""
    db = Database(url)
    db.migrate("0001")
    with db.storing() as connection:
        if not db.sqlite:
            connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
        for statement in re.split(r";\n(?=INSERT |\Z)", ROWS.read_text()):
            if statement:
                connection.exec_driver_sql(statement if db.sqlite else statement.replace("%", "%%"))
    db.migrate()
    yield db
    db.close()


def test_every_run_is_read(earlier: Database) -> None:
    with earlier.reading() as session:
        runs = {run.run_id: run for run in session.scalars(sa.select(Run))}
    assert {run_id: run.state for run_id, run in runs.items()} == STATES
    assert (runs["external"].engine, runs["own"].engine) == (Engine.EXTERNAL, Engine.AUTOPACK)
    assert runs["stopping"].stop_state is RunState.DONE_CANCELLED
    assert runs["own"].exhausted is None


@pytest.mark.parametrize("run_id", STATES)
def test_every_view_is_made(earlier: Database, run_id: str) -> None:
    card = run_details.read_run_card(earlier, run_id)
    view = run_view.read_run_view(earlier, run_id, "https://github.test")
    summary = run_metrics.read_run_summary(earlier, run_id, RULESET.run)
    archive = run_archive.read_run_archive(earlier, run_id, RULESET, "https://github.test")
    assert {card.state, view.state, summary.state, archive.view.state} == {STATES[run_id]}
    assert card.tokens_used == summary.budgets.tokens_used
    assert len(view.tiers) == len(card.tiers) == len(run_metrics.tier_metrics(earlier, run_id))
    assert archive.summary == summary


def test_findings_and_calls_are_kept(earlier: Database) -> None:
    view = run_view.read_run_view(earlier, "own", "https://github.test")
    assert {(found.finding.issue_key, found.open) for found in view.findings} == {
        ("docs__readme__typo", False),
        ("docs__readme__leak", True),
    }
    assert {role: usage.total for role, usage in view.usage.items()} == {"planner": 105, "builder": 207}
    assert view.run_cap.reserved == 1000


def test_reports_are_made(earlier: Database) -> None:
    total, listed = run_metrics.run_metrics(earlier, RULESET.run)
    assert (total, len(listed)) == (7, 7)
    assert all(isinstance(row, RunMetrics) for row in listed)
    (failure,) = budget_report.budget_analysis(earlier, RULESET.run).failures
    assert failure.cap is not None
    assert (failure.run_id, failure.cap.scope, failure.phase_id) == ("failed", Scope.PHASE, "P1")
    assert prometheus_totals.read_totals(earlier).open_runs == 5


def test_submissions_are_typed(earlier: Database) -> None:
    with earlier.reading() as session:
        bodies = [row.body for row in session.scalars(sa.select(Submission).order_by(Submission.id))]
    assert [type(body) for body in bodies] == [BuilderResult, BuilderResult, AuditorResult]
    patches = run_archive.read_run_archive(earlier, "external", RULESET, "https://github.test").patches
    assert [patch.text.splitlines()[-1] for patch in patches] == ["+hello"]
