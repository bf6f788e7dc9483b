"""A project remembers what its runs leave open: it ages, needs a clean-up in time, and is resolved by fixing."""

from collections.abc import Sequence
from datetime import datetime

import pytest
import sqlalchemy as sa

from app.db import backlog, finding_rows, run_rows
from app.db.engine import Database
from app.db.tables import FindingRow, Phase, Run
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.finding_counts import IssueState
from app.domain.findings import Finding, Severity
from app.domain.plan import Plan
from app.domain.states import PhaseState, RunState
from app.runs import transitions
from tests.db.sample_rows import PLAN, after, at_once, finding, new_run, phase, strategy_of

PROJECT = "acme/widgets"
KEY = finding().issue_key
OPEN, DUE, RESOLVED = BacklogStatus.OPEN, BacklogStatus.NEEDS_CLEANUP, BacklogStatus.RESOLVED


def start(db: Database, number: int, *, plan: Plan = PLAN, aging: dict[str, int] | None = None) -> str:
    """Run r1, r2, … of the project; each begins an hour after the one before."""
    run_id = f"r{number}"
    run_rows.create(db, new_run(run_id, issue=number), after(hours=number))
    transitions.store_strategy(db, run_id, plan, strategy_of(plan), after(hours=number))
    if aging:
        with db.writing() as session:
            run = session.get_one(Run, run_id)
            run.strategy = run.frozen_strategy.model_copy(update=aging)
    return run_id


def see(db: Database, run_id: str, *found: Finding, phase_id: str = "P1", seen_in: str = "audit 1") -> None:
    finding_rows.record(db, run_id, phase_id, found or [finding()], seen_in, _now(run_id))


def end(db: Database, run_id: str, state: RunState = RunState.DONE_SUCCESS, *, merged: bool = True) -> None:
    """The run ends, every phase of it complete, and is merged soon after."""
    for target in (RunState.RUN_CREATED, RunState.PHASE_QUEUEING, RunState.PHASE_EXECUTION):
        transitions.move_run(db, run_id, target, "a test", _now(run_id))
    for phase_id in _phases(db, run_id):
        for step in (PhaseState.EXECUTING, PhaseState.GATE, PhaseState.COMPLETE):
            transitions.move_phase(db, run_id, phase_id, step, "a test", _now(run_id))
    for target in (RunState.GATE, RunState.CI_RUNNING, RunState.SNAPSHOT_CREATED):
        transitions.move_run(db, run_id, target, "a test", _now(run_id))
    transitions.end_run(db, run_id, state, "a test", _now(run_id))
    if merged:
        run_rows.update(db, run_id, {"promoted_at": _now(run_id)})


def _now(run_id: str) -> datetime:
    return after(hours=int(run_id[1:]), minutes=5)


def _phases(db: Database, run_id: str) -> Sequence[str]:
    with db.reading() as session:
        query = sa.select(Phase.phase_id).where(Phase.run_id == run_id).order_by(Phase.phase_index)
        return session.scalars(query).all()


def leave(db: Database, number: int, *found: Finding, phase_id: str = "P1") -> str:
    """A run that sees the findings and leaves them open."""
    run_id = start(db, number)
    see(db, run_id, *found, phase_id=phase_id)
    end(db, run_id)
    return run_id


def entry(db: Database, key: str = KEY) -> BacklogEntry:
    with db.reading() as session:
        found = backlog.get_entry(session, PROJECT, key)
    assert found is not None
    return found


def ages(db: Database) -> tuple[int, int, BacklogStatus]:
    found = entry(db)
    return found.age_in_runs, found.age_in_tiers, found.status


def counts_of(db: Database, run_id: str, tier_id: str = "T1") -> tuple[int, int]:
    with db.reading() as session:
        found = finding_rows.counts(session, run_id).of_tier(tier_id)
    return found.minor, found.major


# Aging


def test_three_runs_age_an_issue(db: Database) -> None:
    seen = []
    for number in (1, 2, 3):
        leave(db, number)
        seen.append(ages(db))
    assert seen == [(1, 1, OPEN), (2, 1, OPEN), (3, 1, DUE)]
    found = entry(db)
    assert (found.first_seen_run_id, found.last_seen_run_id, found.occurrences) == ("r1", "r3", 3)
    assert found.effective_severity is Severity.MAJOR


def test_run_ages_an_issue_once(db: Database) -> None:
    run_id = start(db, 1)
    for number, phase_id in enumerate(("P1", "P1", "P2", "P3")):
        see(db, run_id, finding(), finding(path="b.py"), phase_id=phase_id, seen_in=f"audit {number}")
    assert ages(db) == (1, 2, OPEN)
    assert entry(db).seen_in_tiers == ("T1", "T2")
    end(db, run_id)
    assert ages(db) == (1, 2, OPEN)


def test_two_tiers_age_an_issue(db: Database) -> None:
    leave(db, 1)
    leave(db, 2, phase_id="P3")
    assert ages(db) == (2, 2, DUE)


def test_the_runs_own_thresholds_count(db: Database) -> None:
    run_id = start(db, 1, aging={"aging_runs": 2, "aging_tiers": 1})
    see(db, run_id)
    assert ages(db) == (1, 1, DUE)


@pytest.mark.parametrize("state", [RunState.DONE_CANCELLED, RunState.DONE_FAILED_ENVIRONMENT])
def test_failed_run_ages_its_issues(db: Database, state: RunState) -> None:
    run_id = start(db, 1)
    see(db, run_id)
    end(db, run_id, state)
    assert ages(db) == (1, 1, OPEN)


def test_what_a_run_mends_itself_does_not_age(db: Database) -> None:
    leave(db, 1)
    run_id = start(db, 2)
    see(db, run_id, finding(path="b.py"))
    assert ages(db) == (2, 1, OPEN)
    finding_rows.resolve(db, run_id, "P1", [finding(path="b.py").fingerprint], "fixed")
    end(db, run_id)
    assert ages(db) == (1, 1, OPEN)


def test_fixed_issue_of_own_run_is_resolved(db: Database) -> None:
    run_id = start(db, 1)
    see(db, run_id)
    finding_rows.resolve(db, run_id, "P1", [finding().fingerprint], "fixed")
    end(db, run_id)
    assert ages(db) == (0, 0, RESOLVED)
    assert entry(db).resolved_by_run_id == run_id


def test_severity_only_rises(db: Database) -> None:
    for number, severity in enumerate((Severity.MINOR, Severity.MAJOR, Severity.MINOR), 1):
        leave(db, number, finding(severity=severity))
    assert entry(db).base_severity is Severity.MAJOR


def test_expected_failure_stays_minor_and_young(db: Database) -> None:
    run_id = start(db, 1)
    with db.writing() as session:
        run, where = session.get_one(Run, run_id), session.get_one(Phase, (run_id, "P1"))
        found = [finding(severity=Severity.MAJOR)]
        finding_rows.record_in(session, run, where, found, "ci 1", after(hours=1), expected_fail=True)
        told = finding_rows.phase_file(session, run, where)
    assert (told.minor_issue_count, told.major_issue_count) == (1, 0)
    assert told.issues[0].expected_fail
    assert ages(db) == (0, 0, OPEN)


def test_a_failure_that_nobody_expects_any_more_ages(db: Database) -> None:
    run_id = start(db, 1)
    for number, expected in enumerate((True, False)):
        with db.writing() as session:
            run, where = session.get_one(Run, run_id), session.get_one(Phase, (run_id, "P1"))
            found = [finding(severity=Severity.MAJOR)]
            finding_rows.record_in(session, run, where, found, f"ci {number}", after(hours=1), expected_fail=expected)
    assert ages(db) == (1, 1, OPEN)
    assert counts_of(db, run_id) == (0, 1)


# What a run is judged by


def test_aged_issue_is_major_to_next_run(db: Database) -> None:
    leave(db, 1)
    leave(db, 2)
    third, fourth = leave(db, 3), leave(db, 4)
    assert (counts_of(db, third), counts_of(db, fourth)) == ((1, 0), (0, 1))
    with db.reading() as session:
        told = finding_rows.phase_file(session, session.get_one(Run, third), session.get_one(Phase, (third, "P1")))
    assert told.issues[0].effective_severity is Severity.MAJOR
    assert told.issue_state is IssueState.HAS_MINOR_ISSUES


def test_reported_numbers_add_to_keyed_issues(db: Database) -> None:
    run_id = start(db, 1)
    see(db, run_id)
    run_rows.update_phase(db, run_id, "P1", {"reported_minor": 3, "reported_major": 1})
    assert counts_of(db, run_id) == (3, 1)


def test_evidence_is_kept_once(db: Database) -> None:
    run_id = start(db, 1)
    for references in (["a.log"], ["a.log", "b.log"]):
        with db.writing() as session:
            run, where = session.get_one(Run, run_id), session.get_one(Phase, (run_id, "P1"))
            finding_rows.record_in(session, run, where, [finding()], "ci 1", after(hours=1), evidence={KEY: references})
            told = finding_rows.phase_file(session, run, where)
    assert told.issues[0].evidence_refs == ("a.log", "b.log")
    assert told.issues[0].occurrence_count == 1


# Resolution


def debt_plan(key: str = KEY) -> Plan:
    mending = phase("DEBT-1", "T2", 3).model_copy(update={"mends": (key,)})
    return Plan(tiers=PLAN.tiers, phases=(*PLAN.phases, mending))


def test_successful_cleanup_resolves_the_issue(db: Database) -> None:
    for number in (1, 2, 3):
        leave(db, number)
    run_id = start(db, 4, plan=debt_plan())
    end(db, run_id)
    assert ages(db) == (0, 0, RESOLVED)
    assert entry(db).resolved_by_run_id == run_id


def test_cleanup_phase_closes_earlier_sightings(db: Database) -> None:
    for number in (1, 2, 3):
        leave(db, number)
    run_id = start(db, 4, plan=debt_plan())
    see(db, run_id)
    assert counts_of(db, run_id) == (1, 0)
    end(db, run_id)
    assert ages(db) == (0, 0, RESOLVED)
    (found,) = finding_rows.list_findings(db, run_id)
    assert (found.open, found.resolution) == (False, "fixed by DEBT-1")


def test_failed_cleanup_resolves_nothing(db: Database) -> None:
    for number in (1, 2, 3):
        leave(db, number)
    run_id = start(db, 4, plan=debt_plan())
    see(db, run_id, phase_id="DEBT-1")
    end(db, run_id)
    assert ages(db) == (4, 2, DUE)
    assert counts_of(db, run_id, "T2") == (0, 1)


@pytest.mark.parametrize("state", [RunState.DONE_CANCELLED, RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW])
def test_a_run_that_did_not_succeed_resolves_nothing(db: Database, state: RunState) -> None:
    leave(db, 1)
    end(db, start(db, 2, plan=debt_plan()), state)
    assert ages(db) == (1, 1, OPEN)


def test_changed_file_without_finding_resolves_issue(db: Database) -> None:
    leave(db, 1)
    run_id = start(db, 2)
    run_rows.record_push(db, run_id, "P2", "1a2b3c4", ["b.py", "a.py"])
    end(db, run_id)
    assert ages(db) == (0, 0, RESOLVED)


@pytest.mark.parametrize(("paths", "merged"), [(["b.py"], True), ([], True), (["a.py"], False)])
def test_blind_run_resolves_nothing(db: Database, paths: list[str], merged: bool) -> None:
    first = start(db, 1)
    see(db, first)
    end(db, first, merged=merged)
    second = start(db, 2)
    run_rows.record_push(db, second, "P1", "1a2b3c4", paths)
    end(db, second)
    assert ages(db) == (1, 1, OPEN)


def test_run_before_the_merge_resolves_nothing(db: Database) -> None:
    first, second = start(db, 2), start(db, 1)
    see(db, first)
    end(db, first)
    run_rows.record_push(db, second, "P1", "1a2b3c4", ["a.py"])
    end(db, second)
    assert ages(db) == (1, 1, OPEN)


def test_open_runs_sighting_survives_anothers_fix(db: Database) -> None:
    leave(db, 1)
    at_work, mending = start(db, 2), start(db, 3, plan=debt_plan())
    see(db, at_work)
    end(db, mending)
    assert ages(db) == (1, 1, OPEN)


def test_returning_issue_is_young_again(db: Database) -> None:
    for number in (1, 2, 3):
        leave(db, number)
    end(db, start(db, 4, plan=debt_plan()))
    leave(db, 5)
    assert ages(db) == (1, 1, OPEN)
    found = entry(db)
    assert (found.first_seen_run_id, found.resolved_by_run_id) == ("r1", None)


def test_an_audit_after_the_end_still_counts(db: Database) -> None:
    run_id = start(db, 1)
    end(db, run_id)
    see(db, run_id, finding(severity=Severity.MAJOR))
    assert ages(db) == (1, 1, OPEN)
    assert counts_of(db, run_id) == (0, 1)


# Many at once


def test_reports_at_the_same_moment_are_all_kept(db: Database) -> None:
    """16 clients, four runs: all tell of one issue, and each of one of its own."""
    ids = [start(db, number) for number in (1, 2, 3, 4)]

    def report(number: int) -> None:
        see(db, ids[number % 4], finding(), finding(f"own {number}"), seen_in=f"client {number}")

    at_once(16, report)
    with db.reading() as session:
        entries = backlog.list_entries(session, PROJECT)
        told = session.scalar(sa.select(sa.func.sum(FindingRow.occurrences)).where(FindingRow.issue_key == KEY))
    assert len(entries) == 17
    assert told == entry(db).occurrences == 16
    assert ages(db) == (4, 1, DUE)


def test_end_during_reports_loses_nothing(db: Database) -> None:
    ids = [leave(db, 1), *(start(db, number) for number in range(2, 9))]

    def act(number: int) -> None:
        if number % 2:
            transitions.end_run(db, ids[number // 2], RunState.DONE_CANCELLED, "a test", after(hours=9))
        else:
            see(db, ids[number // 2], seen_in="client")

    at_once(16, act)
    assert entry(db).age_in_runs == 8


def test_every_project_has_a_backlog_of_its_own(db: Database) -> None:
    leave(db, 1)
    run_rows.create(db, new_run("r2", repository="acme/gadgets"), after(hours=2))
    transitions.store_strategy(db, "r2", PLAN, strategy_of(), after(hours=2))
    see(db, "r2", finding("gap"))
    with db.reading() as session:
        every = backlog.list_projects(session)
    assert {name: [one.issue_key for one in entries] for name, entries in every.items()} == {
        "acme/gadgets": [finding("gap").issue_key],
        PROJECT: [KEY],
    }
