"""No problem is silent, none is counted twice, and none gets smaller by being reported again."""

import pytest
import sqlalchemy as sa

from app.db import finding_rows
from app.db.engine import Database
from app.db.tables import FindingRow, Phase, Run
from app.domain.api_errors import Conflict
from app.domain.findings import Finding, Severity
from app.domain.status_view import FindingView
from tests.db.sample_rows import after, finding, planned_run


@pytest.fixture
def run(db: Database) -> str:
    return planned_run(db)


def occurrences(db: Database) -> int:
    with db.reading() as session:
        return session.scalars(sa.select(FindingRow.occurrences)).one()


def only(db: Database) -> FindingView:
    (view,) = finding_rows.list_findings(db, "r1")
    return view


def see(db: Database, seen_in: str, *found: Finding, phase_id: str = "P1", seconds: float = 0) -> None:
    finding_rows.record(db, "r1", phase_id, found, seen_in, after(seconds=seconds))


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
        row = session.scalars(sa.select(FindingRow)).one()
    assert (row.first_seen_at, row.last_seen_at) == (after(seconds=1), after(seconds=3))


def test_severity_only_rises(db: Database, run: str) -> None:
    see(db, "audit 1", finding(severity=Severity.MINOR))
    see(db, "audit 2", finding(severity=Severity.MAJOR))
    see(db, "audit 3", finding(severity=Severity.MINOR))
    assert only(db).finding.severity is Severity.MAJOR


@pytest.mark.parametrize("order", [(Severity.MINOR, Severity.MAJOR), (Severity.MAJOR, Severity.MINOR)])
def test_higher_severity_of_one_sighting_holds(db: Database, run: str, order: tuple[Severity, Severity]) -> None:
    see(db, "audit 1", *(finding(severity=one) for one in order))
    assert only(db).finding.severity is Severity.MAJOR
    assert occurrences(db) == 1


def test_problem_in_two_places_is_two_findings(db: Database, run: str) -> None:
    see(db, "audit 1", finding(), finding(path="b.py"))
    see(db, "audit 1", finding(), phase_id="P2")
    assert len(finding_rows.list_findings(db, "r1")) == 3


def test_what_is_fixed_is_closed_and_says_how(db: Database, run: str) -> None:
    see(db, "audit 1", finding("typo"), finding("gap"))
    finding_rows.resolve(db, "r1", "P1", [finding("typo").fingerprint], "fixed in 1a2b3c4")
    by_key = {view.finding.issue_key: view for view in finding_rows.list_findings(db, "r1")}
    assert not by_key["docs__readme__typo"].open
    assert by_key["docs__readme__typo"].resolution == "fixed in 1a2b3c4"
    assert by_key["docs__readme__gap"].open


def test_first_resolution_stays(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    see(db, "audit 1", finding(), phase_id="P2")
    finding_rows.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    finding_rows.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 5d6e7f8")
    assert {view.phase_id: view.resolution for view in finding_rows.list_findings(db, "r1")} == {
        "P1": "fixed in 1a2b3c4",
        "P2": "",
    }


def test_what_comes_back_is_open_again(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    finding_rows.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    see(db, "audit 2", finding())
    assert only(db).open
    assert only(db).resolution == ""


def test_earlier_sighting_does_not_reopen(db: Database, run: str) -> None:
    see(db, "audit 1", finding())
    finding_rows.resolve(db, "r1", "P1", [finding().fingerprint], "fixed in 1a2b3c4")
    see(db, "audit 1", finding())
    assert not only(db).open


def test_findings_come_oldest_first(db: Database, run: str) -> None:
    see(db, "audit 2", finding("late"), seconds=2)
    see(db, "audit 1", finding("early"), seconds=1)
    assert [view.finding.issue_key for view in finding_rows.list_findings(db, "r1")] == [
        "docs__readme__early",
        "docs__readme__late",
    ]


def test_nothing_found_is_nothing_stored(db: Database, run: str) -> None:
    see(db, "audit 1")
    finding_rows.resolve(db, "r1", "P1", [], "")
    assert finding_rows.list_findings(db, "r1") == ()


# How much there may be, and what reading it costs


def fill(db: Database, run_id: str, keys: int) -> None:
    """Give the run as many issues, `docs__many__0` and so on, without the work of reporting them."""
    with db.writing() as session:
        session.add_all(
            FindingRow(
                run_id=run_id,
                phase_id="P1",
                fingerprint=f"{number:064}",
                issue_key=f"docs__many__{number}",
                severity=Severity.MINOR,
                source="test",
                finding=finding(),
                seen_in="audit 1",
                first_seen_at=after(),
                last_seen_at=after(),
            )
            for number in range(keys)
        )


def test_distinct_issues_of_run_are_capped(db: Database, run: str) -> None:
    fill(db, run, finding_rows.MAX_KEYS - 1)
    with db.reading() as session:
        row = session.get_one(Run, run)
        finding_rows.check_key_limit(session, row, "docs__new__1", "docs__many__3", "docs__new__1")
        with pytest.raises(Conflict, match="has 999 issues, 1,000 are allowed"):
            finding_rows.check_key_limit(session, row, "docs__new__1", "docs__new__2")


def test_full_run_accepts_only_known_issues(db: Database, run: str) -> None:
    fill(db, run, finding_rows.MAX_KEYS + 1)  # its own audits are not bounded
    planned_run(db, "r2", issue=8)
    with db.reading() as session:
        finding_rows.check_key_limit(session, session.get_one(Run, run), "docs__many__7")
        finding_rows.check_key_limit(session, session.get_one(Run, run))
        finding_rows.check_key_limit(session, session.get_one(Run, "r2"), "docs__new__1")
        with pytest.raises(Conflict):
            finding_rows.check_key_limit(session, session.get_one(Run, run), "docs__new__1")


def test_of_references_the_newest_hundred_are_kept(db: Database, run: str) -> None:
    told = [f"{number}.log" for number in range(finding_rows.MAX_REFERENCES + 20)]
    for references in (told[:90], told[90:]):
        with db.writing() as session:
            row, phase = session.get_one(Run, run), session.get_one(Phase, (run, "P1"))
            evidence = {finding().issue_key: references}
            finding_rows.record_in(session, row, phase, [finding()], "ci 1", after(), evidence=evidence)
    with db.reading() as session:
        assert session.scalars(sa.select(FindingRow.evidence_refs)).one() == told[20:]


def test_one_entry_is_the_one_of_the_index(db: Database, run: str) -> None:
    see(db, "audit 1", finding(), finding(path="b.py"), finding("gap"))
    see(db, "audit 2", finding(severity=Severity.MAJOR), phase_id="P3", seconds=1)
    planned_run(db, "r2", issue=8)
    finding_rows.record(db, "r2", "P2", [finding()], "audit 1", after())
    with db.reading() as session:
        index = finding_rows.run_index(session, run)
        assert {key: finding_rows.index_entry(session, run, key) for key in index} == index
        assert index["docs__readme__typo"].seen_in_phases == ("P1", "P3")
        with pytest.raises(KeyError):
            finding_rows.index_entry(session, run, "docs__readme__none")


def test_runs_are_counted_together_as_they_are_alone(db: Database, run: str) -> None:
    others = [planned_run(db, "r2", issue=8), planned_run(db, "r3", issue=9)]
    see(db, "audit 1", finding(), finding("gap", severity=Severity.MAJOR))
    finding_rows.record(db, "r2", "P3", [finding()], "audit 1", after())
    finding_rows.resolve(db, run, "P1", [finding().fingerprint], "mended")
    with db.reading() as session:
        together = finding_rows.counts_of(session, [run, *others])
        assert together == {run_id: finding_rows.counts(session, run_id) for run_id in (run, *others)}
        assert [(one.run.minor, one.run.major) for one in together.values()] == [(0, 1), (1, 0), (0, 0)]
