"""No problem is silent, none is counted twice, and none gets smaller by being told again."""

import pytest
import sqlalchemy as sa

from app.db import issues
from app.db.engine import Database
from app.db.tables import Issue
from app.domain.findings import Finding, Severity
from app.domain.view import FindingView
from tests.db.making import after, finding, planned_run


@pytest.fixture
def run(db: Database) -> str:
    return planned_run(db)


def occurrences(db: Database) -> int:
    with db.reading() as session:
        return session.scalars(sa.select(Issue.occurrences)).one()


def only(db: Database) -> FindingView:
    (view,) = issues.of_run(db, "r1")
    return view


def see(db: Database, seen_in: str, *found: Finding, phase_id: str = "P1", seconds: float = 0) -> None:
    issues.record(db, "r1", phase_id, found, seen_in, after(seconds=seconds))


def test_a_finding_is_stored_open_with_its_phase(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    assert only(db) == FindingView(finding=finding(), phase_id="P1", open=True)


def test_the_same_sighting_twice_counts_once(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    see(db, "audit 1", finding())
    assert occurrences(db) == 1


def test_every_new_sighting_counts(db: Database, run: str) -> None:
    for number in (1, 2, 3):
        see(db, f"audit {number}", finding(), seconds=number)
    assert occurrences(db) == 3
    with db.reading() as session:
        row = session.scalars(sa.select(Issue)).one()
    assert (row.first_seen_at, row.last_seen_at) == (after(seconds=1), after(seconds=3))


def test_severity_only_rises(db: Database, run: str) -> None:
    see(db, "audit 1", finding(severity=Severity.MINOR))
    see(db, "audit 2", finding(severity=Severity.MAJOR))
    see(db, "audit 3", finding(severity=Severity.MINOR))
    assert only(db).finding.severity is Severity.MAJOR


@pytest.mark.parametrize("order", [(Severity.MINOR, Severity.MAJOR), (Severity.MAJOR, Severity.MINOR)])
def test_told_twice_in_one_sighting_the_graver_one_holds(
    db: Database, run: str, order: tuple[Severity, Severity]
) -> None:
    see(db, "audit 1", *(finding(severity=one) for one in order))
    assert only(db).finding.severity is Severity.MAJOR
    assert occurrences(db) == 1


def test_the_same_problem_in_two_files_or_phases_is_two_findings(db: Database, run: str) -> None:
    see(db, "audit 1", finding(), finding(path="b.py"))
    see(db, "audit 1", finding(), phase_id="P2")
    assert len(issues.of_run(db, "r1")) == 3


def test_what_is_fixed_is_closed_and_says_how(db: Database, run: str) -> None:
    see(db, "audit 1", finding("typo"), finding("gap"))
    issues.resolve(db, "r1", "P1", [finding("typo").fingerprint], "fixed in 1a2b3c4")
    by_key = {view.finding.issue_key: view for view in issues.of_run(db, "r1")}
    assert not by_key["docs__readme__typo"].open
    assert by_key["docs__readme__typo"].resolution == "fixed in 1a2b3c4"
    assert by_key["docs__readme__gap"].open


def test_a_resolution_stays_the_first_one_and_in_its_phase(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    see(db, "audit 1", finding(), phase_id="P2")
    issues.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    issues.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 5d6e7f8")
    assert {view.phase_id: view.resolution for view in issues.of_run(db, "r1")} == {"P1": "fixed in 1a2b3c4", "P2": ""}


def test_what_comes_back_is_open_again(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    issues.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    see(db, "audit 2", finding())
    assert only(db).open
    assert only(db).resolution == ""


def test_the_sighting_before_the_fix_does_not_open_it_again(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    issues.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    see(db, "audit 1", finding())
    assert not only(db).open


def test_findings_come_oldest_first(db: Database, run: str) -> None:
    see(db, "audit 2", finding("late"), seconds=2)
    see(db, "audit 1", finding("early"), seconds=1)
    assert [view.finding.issue_key for view in issues.of_run(db, "r1")] == ["docs__readme__early", "docs__readme__late"]


def test_nothing_found_is_nothing_stored(db: Database, run: str) -> None:
    see(db, "audit 1")
    issues.resolve(db, "r1", "P1", [], "")
    assert issues.of_run(db, "r1") == ()
