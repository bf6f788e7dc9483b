"""Issues are counted by their key: once in a phase, once in a tier, once in the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.finding_counts import Counts, IssueRecord, IssueState, PhaseReport, count, phase_file, run_index
from app.domain.findings import Severity

PHASES = {"P1": ("T1", 0), "P2": ("T1", 1), "P3": ("T2", 2)}
MINOR, MAJOR = Severity.MINOR, Severity.MAJOR


def record(key: str = "k", phase_id: str = "P1", severity: Severity = MINOR, **more: object) -> IssueRecord:
    tier_id, index = PHASES[phase_id]
    given_more = {"source": "ci", "category": "tests", "first_seen_run": "r0", "run_id": "r1", **more}
    return IssueRecord.model_validate(
        {"phase_id": phase_id, "phase_index": index, "tier_id": tier_id, "issue_key": key, "severity": severity}
        | given_more
    )


RECORDS = st.lists(
    st.builds(
        record,
        key=st.sampled_from("abc"),
        phase_id=st.sampled_from(list(PHASES)),
        severity=st.sampled_from(Severity),
        open=st.booleans(),
        expected_fail=st.booleans(),
        aged_before=st.booleans(),
        occurrences=st.integers(1, 9),
    )
)
NUMBERS = st.integers(0, 5)


def reports(**told: tuple[int, int]) -> list[PhaseReport]:
    """Of all phases; `reported` are minor and major issues that a client reported."""
    return [
        PhaseReport(phase_id=name, tier_id=tier_id, minor=told.get(name, (0, 0))[0], major=told.get(name, (0, 0))[1])
        for name, (tier_id, _) in PHASES.items()
    ]


def recount(records: list[IssueRecord]) -> Counts:
    """From scratch: the keys that are open, and those of them that are major somewhere."""
    keys = {one.issue_key for one in records if one.open}
    major = {
        one.issue_key
        for one in records
        if one.open and not one.expected_fail and (one.aged_before or one.severity is MAJOR)
    }
    return Counts(minor=len(keys - major), major=len(major))


@given(RECORDS)
def test_counts_equal_a_recount_from_scratch(records: list[IssueRecord]) -> None:
    counts = count(records, reports())
    assert counts.run == recount(records)
    for name, (tier_id, _) in PHASES.items():
        assert counts.of_phase(name) == recount([one for one in records if one.phase_id == name])
        assert counts.of_tier(tier_id) == recount([one for one in records if one.tier_id == tier_id])


@given(RECORDS, NUMBERS, NUMBERS)
def test_reported_counts_are_a_minimum(records: list[IssueRecord], minor: int, major: int) -> None:
    known, counts = count(records, reports()), count(records, reports(P1=(minor, major)))
    assert counts.of_phase("P1").minor == max(minor, known.of_phase("P1").minor)
    assert counts.of_phase("P1").major == max(major, known.of_phase("P1").major)
    further = counts.of_phase("P1").minor - known.of_phase("P1").minor
    assert counts.of_tier("T1").minor == known.of_tier("T1").minor + further
    assert counts.run.minor == known.run.minor + further
    assert counts.of_tier("T2") == known.of_tier("T2")


@given(RECORDS)
def test_the_phases_files_say_what_is_counted(records: list[IssueRecord]) -> None:
    counts = count(records, reports())
    for name, (tier_id, _) in PHASES.items():
        told = phase_file(name, tier_id, [one for one in records if one.phase_id == name])
        assert Counts(minor=told.minor_issue_count, major=told.major_issue_count) == counts.of_phase(name)
        keys = [issue.issue_key for issue in told.issues]
        assert len(keys) == len(set(keys))


@given(RECORDS)
def test_index_has_every_key_once(records: list[IssueRecord]) -> None:
    index = run_index(records)
    assert set(index) == {one.issue_key for one in records}
    assert sum(entry.occurrence_count for entry in index.values()) == sum(one.occurrences for one in records)


def test_shared_key_counts_once_per_tier() -> None:
    counts = count([record(phase_id="P1"), record(phase_id="P2")], reports())
    assert (counts.of_phase("P1").minor, counts.of_phase("P2").minor) == (1, 1)
    assert (counts.of_tier("T1").minor, counts.run.minor) == (1, 1)


def test_a_key_that_is_major_somewhere_is_major() -> None:
    counts = count([record(phase_id="P1"), record(phase_id="P3", severity=MAJOR)], reports())
    assert counts.run == Counts(minor=0, major=1)
    assert counts.of_tier("T1") == Counts(minor=1, major=0)


def test_findings_that_share_a_key_are_one_entry() -> None:
    first = record(occurrences=2, evidence_refs=("a.log", "b.log"))
    second = record(severity=MAJOR, evidence_refs=("b.log", "c.log"), source="auditor")
    (issue,) = phase_file("P1", "T1", [first, second]).issues
    assert (issue.occurrence_count, issue.severity, issue.source) == (3, MAJOR, "ci")
    assert issue.evidence_refs == ("a.log", "b.log", "c.log")
    assert (issue.first_seen_run, issue.last_seen_run) == ("r0", "r1")


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([], IssueState.NO_ISSUES),
        ([record()], IssueState.HAS_MINOR_ISSUES),
        ([record(severity=MAJOR)], IssueState.HAS_MAJOR_ISSUES),
        ([record(severity=MAJOR, open=False)], IssueState.NO_ISSUES),
        ([record(severity=MAJOR, expected_fail=True)], IssueState.HAS_MINOR_ISSUES),
        ([record(aged_before=True)], IssueState.HAS_MAJOR_ISSUES),
        ([record(aged=True)], IssueState.HAS_MINOR_ISSUES),
    ],
    ids=["none", "minor", "major", "closed", "expected", "aged before", "aged in this run"],
)
def test_open_issues_decide_the_phase_state(records: list[IssueRecord], state: IssueState) -> None:
    assert phase_file("P1", "T1", records).issue_state is state


def test_what_is_past_the_threshold_is_effectively_major() -> None:
    (issue,) = phase_file("P1", "T1", [record(aged=True)]).issues
    assert (issue.severity, issue.effective_severity) == (MINOR, MAJOR)


def test_the_index_tells_where_an_issue_was_seen() -> None:
    entry = run_index([record(phase_id="P3"), record(phase_id="P1")])["k"]
    assert (entry.first_phase_index, entry.last_phase_index) == (0, 2)
    assert (entry.seen_in_tiers, entry.seen_in_phases) == (("T1", "T2"), ("P1", "P3"))
