"""Runs are made once, move only as the machine says, and end whole."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import NoResultFound

from app.db import run_rows
from app.db.engine import Database
from app.db.tables import Phase, Run, Tier, Transition
from app.domain.plan import Plan
from app.domain.states import IllegalTransition, PhaseState, RunState, TierState
from app.queries import run_view
from app.queries.run_heads import Head, find_runs_by_heads
from app.runs import transitions
from tests.db.sample_rows import NOW, PLAN, after, at_once, new_run, phase, planned_run, strategy_of

WORK = (
    RunState.RUN_CREATED,
    RunState.PHASE_QUEUEING,
    RunState.PHASE_EXECUTION,
    RunState.GATE,
    RunState.CI_RUNNING,
    RunState.SNAPSHOT_CREATED,
)


def move(db: Database, *targets: RunState) -> None:
    for target in targets:
        transitions.move_run(db, "r1", target, "as planned", NOW)


def move_phase(db: Database, phase_id: str, *targets: PhaseState) -> None:
    for target in targets:
        transitions.move_phase(db, "r1", phase_id, target, "as planned", NOW)


def states_of(db: Database) -> dict[str, str]:
    with db.reading() as session:
        phases: dict[str, str] = {row.phase_id: row.state for row in session.scalars(sa.select(Phase))}
        return phases | {row.tier_id: row.state for row in session.scalars(sa.select(Tier))}


def history(db: Database, machine: str) -> list[tuple[str, str, str]]:
    query = sa.select(Transition).where(Transition.machine == machine).order_by(Transition.id)
    with db.reading() as session:
        return [(row.subject, row.old, row.new) for row in session.scalars(query)]


# Made once


def test_run_is_stored_as_requested(db: Database) -> None:
    assert run_rows.create(db, new_run(), NOW) == "r1"
    run = run_rows.get(db, "r1")
    assert run.state is RunState.PLAN_BOOTSTRAP
    assert run.model_dump(include=set(type(new_run()).model_fields)) == new_run().model_dump()
    assert run.branch == "autonomous/r1"
    assert (run.created_at, run.completed_at) == (NOW, None)
    assert history(db, "run") == [("r1", "", "PLAN_BOOTSTRAP")]


def test_twenty_threads_asking_at_once_make_one_run(db: Database) -> None:
    answers = at_once(20, lambda number: run_rows.create(db, new_run(f"r{number}"), NOW))
    assert len(set(answers)) == 1
    with db.reading() as session:
        assert session.scalars(sa.select(Run.run_id)).all() == [answers[0]]
        assert session.scalar(sa.select(sa.func.count()).select_from(Transition)) == 1


def test_second_request_finds_the_open_run(db: Database) -> None:
    run_rows.create(db, new_run("r1"), NOW)
    assert run_rows.create(db, new_run("r2"), NOW) == "r1"
    with pytest.raises(NoResultFound):
        run_rows.get(db, "r2")


def test_ended_run_is_not_created_again(db: Database) -> None:
    run_rows.create(db, new_run("r1"), NOW)
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", NOW)
    assert run_rows.create(db, new_run("r1"), NOW) == "r1"
    assert run_rows.get(db, "r1").state is RunState.DONE_CANCELLED


def test_after_its_end_the_next_one_may_begin(db: Database) -> None:
    run_rows.create(db, new_run("r1"), NOW)
    transitions.end_run(db, "r1", RunState.DONE_FAILED_ENVIRONMENT, "GitHub is down", NOW)
    assert run_rows.create(db, new_run("r2"), after(hours=1)) == "r2"


def test_other_issues_repositories_and_intents_have_their_own(db: Database) -> None:
    asked = [
        new_run("r1"),
        new_run("r2", issue=8),
        new_run("r3", repository="acme/gadgets"),
        new_run("r4", intent="plan"),
    ]
    assert [run_rows.create(db, one, NOW) for one in asked] == ["r1", "r2", "r3", "r4"]


# Found again


def test_run_is_found_by_every_key(db: Database) -> None:
    run_rows.create(db, new_run("r1"), NOW)
    run_rows.update(db, "r1", {"pull_number": 31, "head_sha": "b" * 40})
    repository = "acme/widgets"
    found = [
        run_rows.find_open_run(db, repository, 7),
        run_rows.find_latest_run(db, repository, 7),
        run_rows.find_latest_run(db, repository, 31),
        run_rows.find_run_by_branch(db, repository, "autonomous/r1"),
        run_rows.get(db, *find_runs_by_heads(db, [Head(repository, None, "b" * 40)])),
    ]
    assert [run.run_id if run else None for run in found] == ["r1"] * 5
    assert run_rows.find_open_run(db, repository, 7, "plan") is None
    assert run_rows.find_latest_run(db, "acme/gadgets", 7) is None
    assert run_rows.find_run_by_branch(db, "acme/gadgets", "autonomous/r1") is None
    assert find_runs_by_heads(db, [Head(repository, None, "c" * 40)]) == set()


def test_ended_run_is_found_by_issue(db: Database) -> None:
    run_rows.create(db, new_run("r1"), NOW)
    run_rows.update(db, "r1", {"head_sha": "b" * 40})
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", NOW)
    run_rows.create(db, new_run("r2"), after(hours=1))
    assert [run.run_id for run in run_rows.list_open_runs(db)] == ["r2"]
    latest = run_rows.find_latest_run(db, "acme/widgets", 7)
    assert latest is not None
    assert latest.run_id == "r2"
    assert find_runs_by_heads(db, [Head("acme/widgets", None, "b" * 40)]) == set()


# Plan and strategy


def test_plan_and_strategy_are_stored_once_and_whole(db: Database) -> None:
    planned_run(db)
    transitions.store_strategy(db, "r1", PLAN, strategy_of(tokens=1_234), NOW)
    assert states_of(db) == {"P1": "QUEUED", "P2": "QUEUED", "P3": "QUEUED", "T1": "PENDING", "T2": "PENDING"}
    assert run_rows.get(db, "r1").token_cap == 5_000_000
    assert run_rows.get(db, "r1").max_minutes == 120


def test_later_phase_is_added_once(db: Database) -> None:
    planned_run(db)
    extra = phase("merge-1", "T2", 3)
    plan = Plan(tiers=PLAN.tiers, phases=(*PLAN.phases, extra))
    for _ in range(2):
        run_rows.append_phase(db, "r1", plan, strategy_of(plan), "merge-1")
    (_, second) = run_view.read_run_view(db, "r1", "https://github.test").tiers
    assert [one.phase_id for one in second.phases] == ["P3", "merge-1"]


def test_a_notice_is_given_once(db: Database) -> None:
    planned_run(db)
    for text in ("no CI", "one vendor", "no CI"):
        run_rows.add_notice(db, "r1", text)
    assert run_view.read_run_view(db, "r1", "").notices == ("no CI", "one vendor")


# Moving


def test_steps_record_cause_and_time(db: Database) -> None:
    planned_run(db)
    transitions.move_run(db, "r1", RunState.PHASE_QUEUEING, "P1 is next", after(minutes=1))
    with db.reading() as session:
        step = session.scalars(sa.select(Transition).order_by(Transition.id.desc())).first()
    assert step is not None
    assert (step.old, step.new, step.cause, step.at) == (
        "RUN_CREATED",
        "PHASE_QUEUEING",
        "P1 is next",
        after(minutes=1),
    )


def test_a_repeated_step_is_recorded_once(db: Database) -> None:
    planned_run(db)
    move(db, RunState.RUN_CREATED, RunState.RUN_CREATED)
    transitions.move_tier(db, "r1", "T1", TierState.RUNNING, "its turn", NOW)
    transitions.move_tier(db, "r1", "T1", TierState.RUNNING, "its turn", NOW)
    move_phase(db, "P1", PhaseState.EXECUTING, PhaseState.EXECUTING)
    assert history(db, "run") == [("r1", "", "PLAN_BOOTSTRAP"), ("r1", "PLAN_BOOTSTRAP", "RUN_CREATED")]
    assert history(db, "tier") == [("T1", "PENDING", "RUNNING")]
    assert history(db, "phase") == [("P1", "QUEUED", "EXECUTING")]


def test_a_step_that_does_not_exist_changes_nothing(db: Database) -> None:
    planned_run(db)
    with pytest.raises(IllegalTransition):
        transitions.move_run(db, "r1", RunState.CI_RUNNING, "too early", NOW, head_sha="b" * 40)
    with pytest.raises(IllegalTransition):
        transitions.move_phase(db, "r1", "P1", PhaseState.COMPLETE, "too early", NOW, note="done?")
    with pytest.raises(IllegalTransition):
        transitions.move_tier(db, "r1", "T1", TierState.COMPLETE, "too early", NOW)
    run = run_rows.get(db, "r1")
    assert (run.state, run.head_sha) == (RunState.RUN_CREATED, None)
    assert states_of(db)["P1"] == "QUEUED"
    assert states_of(db)["T1"] == "PENDING"
    assert len(history(db, "run")) == 2


def test_columns_move_with_the_state(db: Database) -> None:
    planned_run(db)
    transitions.move_phase(db, "r1", "P1", PhaseState.EXECUTING, "attempt 1", NOW, builder_attempts=1)
    transitions.move_phase(db, "r1", "P1", PhaseState.EXECUTING, "attempt 1", NOW, note="still at it")
    view = run_view.read_run_view(db, "r1", "").tiers[0].phases[0]
    assert (view.builder_attempts, view.note, view.state) == (1, "still at it", PhaseState.EXECUTING)


# Ending


def test_failing_run_ends_phases_and_tiers(db: Database) -> None:
    planned_run(db)
    move(db, *WORK[:3])
    transitions.move_tier(db, "r1", "T1", TierState.RUNNING, "its turn", NOW)
    move_phase(db, "P1", PhaseState.EXECUTING, PhaseState.GATE, PhaseState.COMPLETE)
    move_phase(db, "P2", PhaseState.EXECUTING)
    transitions.end_run(db, "r1", RunState.DONE_FAILED_BUDGET_EXHAUSTED, "the tokens are used up", after(minutes=5))
    assert states_of(db) == {"P1": "COMPLETE", "P2": "FAILED", "P3": "SKIPPED", "T1": "BLOCKED", "T2": "BLOCKED"}
    run = run_rows.get(db, "r1")
    assert (run.state, run.completed_at) == (RunState.DONE_FAILED_BUDGET_EXHAUSTED, after(minutes=5))
    assert ("r1", "PHASE_EXECUTION", "DONE_FAILED_BUDGET_EXHAUSTED") in history(db, "run")
    assert ("P2", "EXECUTING", "FAILED") in history(db, "phase")


def test_cancelled_run_skips_unfinished_phases(db: Database) -> None:
    planned_run(db)
    move(db, *WORK[:3])
    move_phase(db, "P1", PhaseState.EXECUTING, PhaseState.RETRY)
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled by maintainer", NOW)
    assert {states_of(db)[one] for one in ("P1", "P2", "P3")} == {"SKIPPED"}


def test_clean_run_keeps_tier_states(db: Database) -> None:
    planned_run(db)
    move(db, *WORK)
    for phase_id in ("P1", "P2", "P3"):
        move_phase(db, phase_id, PhaseState.EXECUTING, PhaseState.GATE, PhaseState.COMPLETE)
        run_rows.update_phase(db, "r1", phase_id, {"auditor_attempts": 1})
    for tier_id in ("T1", "T2"):
        transitions.move_tier(db, "r1", tier_id, TierState.RUNNING, "its turn", NOW)
        transitions.move_tier(db, "r1", tier_id, TierState.COMPLETE, "its last phase has ended", NOW)
    transitions.end_run(db, "r1", RunState.DONE_SUCCESS, "all green", NOW)
    assert set(states_of(db).values()) == {"COMPLETE"}
    view = run_view.read_run_view(db, "r1", "")
    assert view.promotion_blockers == ()


@pytest.mark.parametrize("reached", range(len(WORK) + 1))
def test_a_run_can_be_ended_wherever_it_stands(db: Database, reached: int) -> None:
    planned_run(db)
    move(db, *WORK[:reached])
    transitions.end_run(db, "r1", RunState.DONE_FAILED_ENVIRONMENT, "the disk is full", NOW)
    assert run_rows.get(db, "r1").state is RunState.DONE_FAILED_ENVIRONMENT


def test_the_first_end_holds(db: Database) -> None:
    planned_run(db)
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", NOW)
    transitions.end_run(db, "r1", RunState.DONE_FAILED_ENVIRONMENT, "too late", after(hours=1))
    run = run_rows.get(db, "r1")
    assert (run.state, run.completed_at) == (RunState.DONE_CANCELLED, NOW)


def test_many_threads_ending_a_run_end_it_once(db: Database) -> None:
    planned_run(db)
    at_once(8, lambda number: transitions.end_run(db, "r1", RunState.DONE_CANCELLED, f"by {number}", NOW))
    assert [new for _, _, new in history(db, "run")] == ["PLAN_BOOTSTRAP", "RUN_CREATED", "DONE_CANCELLED"]
    assert len(history(db, "phase")) == 3


def test_who_asks_first_to_stop_is_heard(db: Database) -> None:
    planned_run(db)
    answers = at_once(
        8, lambda number: transitions.request_stop(db, "r1", RunState.DONE_CANCELLED, f"cancelled by {number}")
    )
    assert answers.count(True) == 1
    run = run_rows.get(db, "r1")
    assert run.stop_state is RunState.DONE_CANCELLED
    assert run.stop_reason == f"cancelled by {answers.index(True)}"


def test_an_ended_run_cannot_be_asked_to_stop(db: Database) -> None:
    planned_run(db)
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", NOW)
    assert not transitions.request_stop(db, "r1", RunState.DONE_CANCELLED, "again")


def test_resumed_runs_say_so_once(db: Database) -> None:
    planned_run(db)
    run_rows.add_notice(db, "r1", "no CI")
    run_rows.create(db, new_run("r2", issue=8), NOW)
    transitions.end_run(db, "r2", RunState.DONE_CANCELLED, "cancelled", NOW)
    transitions.mark_runs_resumed(db, after(hours=1))
    transitions.mark_runs_resumed(db, after(hours=2))
    first, second = run_view.read_run_view(db, "r1", "").notices
    assert first == "no CI"
    assert "2026-01-02 05:04 UTC" in second
    assert run_view.read_run_view(db, "r2", "").notices == ()


# The clock of active work


def test_waiting_is_not_active_work(db: Database) -> None:
    planned_run(db)
    run_rows.update(db, "r1", {"active_since": NOW})
    assert run_rows.get(db, "r1").active_minutes(after(minutes=10)) == 10
    transitions.stop_clock(db, "r1", after(minutes=10))
    assert run_rows.get(db, "r1").active_minutes(after(minutes=50)) == 10
    transitions.stop_clock(db, "r1", after(minutes=50))
    run_rows.update(db, "r1", {"active_since": after(minutes=60)})
    assert run_rows.get(db, "r1").active_minutes(after(minutes=65)) == 15


def test_time_between_crash_and_restart_is_free(db: Database) -> None:
    planned_run(db)
    run_rows.create(db, new_run("r2", issue=8), NOW)
    run_rows.update(db, "r1", {"active_since": NOW})
    transitions.mark_runs_resumed(db, after(hours=2))
    assert run_rows.get(db, "r1").active_minutes(after(hours=2, minutes=3)) == 3
    assert run_rows.get(db, "r2").active_since is None


def test_the_end_stops_the_clock(db: Database) -> None:
    planned_run(db)
    run_rows.update(db, "r1", {"active_since": NOW})
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", after(minutes=4))
    run = run_rows.get(db, "r1")
    assert (run.active_seconds, run.active_since) == (240, None)
