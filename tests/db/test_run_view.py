"""The picture of a run shows what the database holds, and nothing else."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import NoResultFound

from app.db import finding_rows, model_calls, run_rows
from app.db.engine import Database
from app.db.model_calls import Reservation
from app.domain.budget import Cap, Role, Scope, Usage
from app.domain.findings import Severity
from app.domain.plan import Complexity, TaskCategory
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import Headline
from app.queries import run_view
from app.runs import transitions
from tests.db.sample_rows import NOW, PLAN, after, finding, new_run, planned_run, strategy_of

SERVER = "https://github.test"


def test_a_run_that_was_only_asked_for(db: Database) -> None:
    run_rows.create(db, new_run(), NOW)
    view = run_view.read_run_view(db, "r1", SERVER)
    assert (view.run_id, view.repository, view.issue_number, view.issue_title) == (
        "r1",
        "acme/widgets",
        7,
        "Greet people",
    )
    assert (view.requester, view.branch, view.base_branch) == ("maintainer", "autonomous/r1", "main")
    assert (view.state, view.headline, view.since) == (RunState.PLAN_BOOTSTRAP, Headline.PLANNING, NOW)
    assert view.run_cap == Cap(scope=Scope.RUN, name="r1", limit=5_000_000, used=0)
    assert (view.tiers, view.findings, view.usage, view.model_uses, view.promotion_blockers) == ((), (), {}, (), ())
    assert view.server_url == SERVER
    assert not view.promoted


def test_planning_is_active_work_with_a_deadline(db: Database) -> None:
    run_rows.create(db, new_run(), NOW)
    transitions.begin_planning(db, "r1", 120, NOW)
    transitions.begin_planning(db, "r1", 90, after(minutes=1))
    view = run_view.read_run_view(db, "r1", SERVER)
    assert (view.deadline, view.after_deadline) == (
        after(minutes=120),
        "the run ends, as its 120 minutes of work are spent",
    )
    assert run_rows.get(db, "r1").active_minutes(after(minutes=30)) == 30
    transitions.store_strategy(db, "r1", PLAN, strategy_of(), after(minutes=10))
    assert run_rows.get(db, "r1").active_minutes(after(minutes=30)) == 10


def test_a_run_at_work(db: Database) -> None:
    planned_run(db)
    transitions.move_tier(db, "r1", "T1", TierState.RUNNING, "its turn", NOW)
    transitions.move_phase(
        db, "r1", "P1", PhaseState.EXECUTING, "attempt 2", NOW, builder_attempts=2, auditor_attempts=1
    )
    run_rows.update_phase(db, "r1", "P1", {"head_sha": "b" * 40, "note": "CI is red"})
    run_rows.update(db, "r1", {"pull_number": 31, "head_sha": "b" * 40, "deadline": after(minutes=30)})
    model_calls.reserve(db, Reservation("c1", "r1", "P1", Role.BUILDER, "anthropic:a", 1_000), NOW)
    model_calls.settle(db, "c1", Usage(input=500, output=20))
    found = [finding("typo"), finding("gap", Severity.MAJOR), finding("old", Severity.MAJOR)]
    finding_rows.record(db, "r1", "P1", found, "audit 1", NOW)
    finding_rows.resolve(db, "r1", "P1", [found[2].fingerprint], "fixed in 1a2b3c4")

    view = run_view.read_run_view(db, "r1", SERVER)
    first, second = view.tiers
    assert (first.tier_id, first.name, first.state) == ("T1", "Base", TierState.RUNNING)
    assert (second.tier_id, second.state) == ("T2", TierState.PENDING)
    assert [one.phase_id for one in first.phases] == ["P1", "P2"]
    assert [one.phase_id for one in second.phases] == ["P3"]
    at_work = first.phases[0]
    assert (at_work.name, at_work.task_category, at_work.complexity) == (
        "Step P1",
        TaskCategory.DOCS,
        Complexity.MEDIUM,
    )
    assert (at_work.state, at_work.builder_attempts, at_work.auditor_attempts) == (PhaseState.EXECUTING, 2, 1)
    assert (at_work.tokens, at_work.token_cap) == (520, 200_000)
    assert (at_work.minor_issues, at_work.major_issues) == (1, 1)
    assert (at_work.head_sha, at_work.note, at_work.snapshot) == ("b" * 40, "CI is red", False)
    assert (view.pull_number, view.head_sha) == (31, "b" * 40)
    assert view.deadline is not None
    assert view.deadline - NOW == timedelta(minutes=30)
    assert len(view.findings) == 3
    assert view.usage == {Role.BUILDER: Usage(input=500, output=20)}
    assert [(use.role, use.model) for use in view.model_uses] == [(Role.BUILDER, "anthropic:a")]


def test_a_finding_that_became_major_counts_as_major(db: Database) -> None:
    planned_run(db)
    finding_rows.record(db, "r1", "P1", [finding(severity=Severity.MINOR)], "audit 1", NOW)
    finding_rows.record(db, "r1", "P1", [finding(severity=Severity.MAJOR)], "audit 2", NOW)
    (first, _) = run_view.read_run_view(db, "r1", SERVER).tiers
    assert (first.phases[0].minor_issues, first.phases[0].major_issues) == (0, 1)


def test_only_failed_run_names_blockers(db: Database) -> None:
    planned_run(db)
    assert run_view.read_run_view(db, "r1", SERVER).promotion_blockers == ()
    transitions.end_run(db, "r1", RunState.DONE_FAILED_ENVIRONMENT, "GitHub is down", NOW)
    view = run_view.read_run_view(db, "r1", SERVER)
    assert view.promotion_blockers[0] == "the run is DONE_FAILED_ENVIRONMENT, not DONE_SUCCESS"
    assert "tier T1 (Base) is BLOCKED" in view.promotion_blockers


def test_missing_ci_blocks_promotion(db: Database) -> None:
    planned_run(db)
    run_rows.set_ci_absent(db, "r1", absent=True)
    run_rows.add_notice(db, "r1", "something else")
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "cancelled", NOW)
    assert any(
        reason.startswith("no CI judged") for reason in run_view.read_run_view(db, "r1", SERVER).promotion_blockers
    )


def test_a_merged_run_is_promoted(db: Database) -> None:
    planned_run(db)
    run_rows.update(db, "r1", {"promoted_at": NOW})
    assert run_view.read_run_view(db, "r1", SERVER).promoted


def test_unknown_run_has_no_view(db: Database) -> None:
    with pytest.raises(NoResultFound):
        run_view.read_run_view(db, "nobody", SERVER)
