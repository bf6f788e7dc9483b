"""Figures of runs, tiers and phases; the same on both databases, and on a database that holds nothing."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, NoResultFound

from app.config.loader import default_ruleset
from app.db import finding_rows, model_calls, run_rows
from app.db.budget_usage import TokenSums
from app.db.change_tracking import ChangedIds
from app.db.engine import Database
from app.db.model_calls import Reservation
from app.db.tables import Backlog, DeliveryRow, FindingRow, ModelCallRow, Phase, Project, Run
from app.domain.budget import Exhausted, Kind, Role, Scope, Usage
from app.domain.findings import Severity
from app.domain.states import PhaseState, RunState, TierState
from app.queries import backlog_report, budget_report, prometheus_totals, run_metrics
from app.runs import transitions
from tests.db.sample_rows import NOW, after, finding, new_run, planned_run

DEFAULTS = default_ruleset().run
LARGE = 2_000_000_000


def spend(
    db: Database, run_id: str, phase_id: str | None, tokens: int, role: Role = Role.BUILDER, *, cost: str | None = None
) -> None:
    """A settled call: half of the tokens (rounded up) came in, the others went out."""
    with db.writing() as session:
        number = session.scalar(sa.select(sa.func.count()).select_from(ModelCallRow)) or 0
        session.add(
            ModelCallRow(
                id=f"call-{number}",
                run_id=run_id,
                phase_id=phase_id,
                role=role,
                model="external",
                reserved=0,
                settled=True,
                input=tokens - tokens // 2,
                cached=1 if tokens > 1 else 0,
                output=tokens // 2,
                cost_usd=Decimal(cost) if cost else None,
                at=NOW,
            )
        )


def reserve(db: Database, role: Role) -> None:
    model_calls.reserve(db, Reservation("c1", "r1", "P1", role, "vendor:model", 500), NOW)


def age_in_backlog(
    db: Database, key: str, *, project: str = "acme/widgets", runs: int = 1, status: str = "open"
) -> None:
    with db.writing() as session:
        if session.get(Project, project) is None:
            session.add(Project(project_id=project))
            session.flush()
        session.add(
            Backlog(
                project_id=project,
                issue_key=key,
                category="docs",
                base_severity="minor",
                status=status,
                occurrences=100 - runs,
                age_in_runs=runs,
                age_in_tiers=1,
                seen_in_tiers=["T1"],
                first_seen_run_id="r1",
                last_seen_run_id="r2",
                last_seen_at=NOW,
            )
        )


def finish(db: Database, run_id: str, phase_id: str, state: PhaseState, *, audits: int) -> None:
    values = {"state": state, "auditor_attempts": audits}
    run_rows.update_phase(db, run_id, phase_id, values)


def test_an_empty_database_has_reports_too(db: Database) -> None:
    assert run_metrics.run_metrics(db, DEFAULTS) == (0, [])
    analysis = budget_report.budget_analysis(db, DEFAULTS)
    assert (analysis.total_budget_failures, analysis.average_token_utilization) == (0, 0)
    assert analysis.auditor_tries.verdict == "No phase has been audited more than once yet."
    assert backlog_report.backlog_summary(db, None).total_issues == 0
    counted = prometheus_totals.read_totals(db)
    assert (counted.open_runs, counted.ci_runs, counted.deliveries, counted.oldest_waiting) == (0, 0, 0, None)


def test_unknown_run_has_no_report(db: Database) -> None:
    with pytest.raises(NoResultFound):
        run_metrics.tier_metrics(db, "nobody")
    with pytest.raises(NoResultFound):
        run_metrics.read_run_summary(db, "nobody", DEFAULTS)


def test_run_without_plan_shows_ruleset_caps(db: Database) -> None:
    run_rows.create(db, new_run(token_cap=0), NOW)
    total, (run,) = run_metrics.run_metrics(db, DEFAULTS)
    assert (total, run.phase_count, run.tier_count, run.max_phases) == (1, 0, 0, DEFAULTS.phases)
    assert (run.token_utilization, run.max_minor_issues_total, run.started_at, run.cost_usd) == (0, 0, None, None)
    summary = run_metrics.read_run_summary(db, "r1", DEFAULTS)
    assert (summary.tiers, summary.phases, summary.budgets.token_utilization) == ((), (), 0)
    assert run_metrics.tier_metrics(db, "r1") == []


def test_tokens_and_issues_sum_at_all_levels(db: Database) -> None:
    planned_run(db)
    spend(db, "r1", None, 1_000, Role.PLANNER, cost="0.5")
    spend(db, "r1", "P1", 20_000, cost="0.25")
    spend(db, "r1", "P2", 3_001)
    finding_rows.record(db, "r1", "P1", [finding("typo"), finding("leak", Severity.MAJOR)], "audit 1", NOW)
    finding_rows.record(db, "r1", "P2", [finding("typo")], "audit 1", NOW)
    _, (run,) = run_metrics.run_metrics(db, DEFAULTS)
    assert (run.tokens_used, run.cost_usd) == (24_001, Decimal("0.75"))
    assert run.token_utilization == round(24_001 / 5_000_000, 4)
    assert (run.minor_issues_count, run.major_issues_count, run.max_minor_issues_total) == (1, 1, 9)
    assert (run.phase_count, run.tier_count) == (3, 2)
    one, two = run_metrics.tier_metrics(db, "r1")
    assert (one.tier_id, one.tokens_used, one.minor_issues_count, one.major_issues_count) == ("T1", 23_001, 1, 1)
    assert (one.phase_count, one.phase_states, one.state) == (2, {PhaseState.QUEUED: 2}, TierState.PENDING)
    assert (two.tier_id, two.tokens_used, two.token_cap, two.max_ci_runs) == ("T2", 0, 600_000, 2)
    summary = run_metrics.read_run_summary(db, "r1", DEFAULTS)
    assert [(one.phase_id, one.tokens_used, one.minor_issues, one.major_issues) for one in summary.phases] == [
        ("P1", 20_000, 1, 1),
        ("P2", 3_001, 1, 0),
        ("P3", 0, 0, 0),
    ]
    assert (summary.phases[0].name, summary.phases[0].task_category) == ("Step P1", "docs")
    assert (summary.issues.minor_count, summary.issues.major_count, summary.issues.distinct_issues) == (1, 1, 2)
    used = {(cap.scope, cap.name): cap.used for cap in summary.budgets.caps if cap.kind is Kind.TOKENS}
    assert used[Scope.RUN, "r1"] == 24_001
    assert used[Scope.TIER, "T1"] == 23_001


def test_calls_under_way_are_not_used_tokens_yet(db: Database) -> None:
    planned_run(db)
    reserve(db, Role.BUILDER)
    assert run_metrics.run_metrics(db, DEFAULTS)[1][0].tokens_used == 0
    model_calls.settle(db, "c1", Usage(input=300, cached=100, output=7))
    assert run_metrics.run_metrics(db, DEFAULTS)[1][0].tokens_used == 307


def test_sums_beyond_database_integers_are_right(db: Database) -> None:
    planned_run(db)
    for _ in range(3):
        spend(db, "r1", None, 2 * LARGE)
    _, (run,) = run_metrics.run_metrics(db, DEFAULTS)
    assert run.tokens_used == 6 * LARGE
    assert run.token_utilization == 6 * LARGE / 5_000_000
    assert budget_report.budget_analysis(db, DEFAULTS).average_token_utilization_all_runs == 6 * LARGE / 5_000_000
    assert prometheus_totals.read_totals(db).roles[Role.BUILDER].usage.input == 3 * LARGE


def test_runs_are_paged_newest_first(db: Database) -> None:
    for number in range(5):
        run_rows.create(db, new_run(f"r{number}", issue=number), after(minutes=number))
    transitions.end_run(db, "r3", RunState.DONE_CANCELLED, "cancelled", after(hours=1))
    total, page = run_metrics.run_metrics(db, DEFAULTS, limit=2, offset=1)
    assert (total, [run.run_id for run in page]) == (5, ["r3", "r2"])
    total, page = run_metrics.run_metrics(db, DEFAULTS, state=RunState.DONE_CANCELLED)
    assert (total, [run.run_id for run in page]) == (1, ["r3"])


def test_budget_failures_say_which_cap_and_where(db: Database) -> None:
    planned_run(db)
    spend(db, "r1", "P3", 190_000)
    hit = Exhausted(
        scope=Scope.PHASE, name="P3", kind=Kind.TOKENS, limit=200_000, used=190_000, needs=20_000, role=Role.BUILDER
    )
    transitions.end_run(db, "r1", RunState.DONE_FAILED_BUDGET_EXHAUSTED, "no room", after(hours=1), hit)
    run_rows.create(db, new_run("r2", issue=8), after(minutes=1))
    transitions.end_run(db, "r2", RunState.DONE_FAILED_BUDGET_EXHAUSTED, "out of minutes", after(hours=1))
    run_rows.create(db, new_run("r3", issue=9), NOW)
    analysis = budget_report.budget_analysis(db, DEFAULTS)
    assert analysis.total_budget_failures == 2
    unknown, known = analysis.failures
    assert (known.run_id, known.cap, known.phase_id, known.tier_id) == ("r1", hit, "P3", "T2")
    assert (known.tokens_used, known.max_phases, known.failure_reason) == (190_000, 25, "no room")
    assert (unknown.run_id, unknown.cap, unknown.failure_reason) == ("r2", None, "out of minutes")
    assert analysis.failures_by_cap == {"phase tokens": 1, "unknown": 1}
    assert analysis.average_token_utilization == round(190_000 / 5_000_000 / 2, 4)
    assert analysis.average_token_utilization_all_runs == round(190_000 / 5_000_000 / 3, 4)
    assert len(budget_report.budget_analysis(db, DEFAULTS, limit=1).failures) == 1


def test_budget_report_is_sorted_by_spending(db: Database) -> None:
    planned_run(db)
    run_rows.update_phase(db, "r1", "P3", {"task_category": "security_auth_change", "complexity": "high"})
    spend(db, "r1", "P1", 100)
    spend(db, "r1", "P2", 101, cost="1")
    spend(db, "r1", "P3", 5_000)
    finish(db, "r1", "P1", PhaseState.COMPLETE, audits=1)
    finish(db, "r1", "P2", PhaseState.COMPLETE, audits=2)
    finish(db, "r1", "P3", PhaseState.FAILED, audits=3)
    analysis = budget_report.budget_analysis(db, DEFAULTS)
    assert [(one.task_category, one.complexity, one.phases, one.tokens_used) for one in analysis.spending] == [
        ("security_auth_change", "high", 1, 5_000),
        ("docs", "medium", 2, 201),
    ]
    assert (analysis.spending[1].tokens_per_phase, analysis.spending[1].completed) == (100, 2)
    tries = analysis.auditor_tries
    assert (tries.one_audit.completed_share, tries.several_audits.completed_share) == (1.0, 0.5)
    assert "50%" in tries.verdict


def test_the_backlogs_oldest_come_first_whatever_their_project(db: Database) -> None:
    for number in range(12):
        age_in_backlog(db, f"docs__a__{number:02}", runs=number)
    age_in_backlog(db, "docs__a__05", project="acme/other", runs=30, status="needs_cleanup")
    age_in_backlog(db, "docs__gone", runs=99, status="resolved")
    every = backlog_report.backlog_summary(db, None)
    assert (every.total_issues, every.open_count, every.needs_cleanup_count, every.resolved_count) == (14, 12, 1, 1)
    assert [key for key, _ in every.top_aging_issues][:3] == ["docs__a__05", "docs__a__11", "docs__a__10"]
    assert len(every.top_aging_issues) == 10
    assert [(one.issue_key, one.project_id, one.effective_severity) for one in every.needs_cleanup] == [
        ("docs__a__05", "acme/other", Severity.MAJOR)
    ]
    assert backlog_report.backlog_summary(db, "acme/widgets").total_issues == 13
    assert backlog_report.backlog_summary(db, "nobody/knows").total_issues == 0


def test_totals_count_everything(db: Database) -> None:
    planned_run(db)
    spend(db, "r1", "P1", 10, cost="0.5")
    reserve(db, Role.AUDITOR)
    finding_rows.record(db, "r1", "P1", [finding()], "audit 1", NOW)
    run_rows.update_phase(db, "r1", "P1", {"ci_runs": 2})
    with db.writing() as session:
        session.add(DeliveryRow(id="d1", event="push", payload="{}", received_at=NOW, handed_at=None))
        session.add(DeliveryRow(id="d2", event="push", payload="{}", received_at=NOW, handed_at=NOW))
    counted = prometheus_totals.read_totals(db)
    assert dict(counted.runs) == {"RUN_CREATED": 1}
    assert (counted.open_runs, counted.ci_runs, counted.calls_under_way) == (1, 2, {"auditor": 1})
    assert counted.roles[Role.BUILDER] == TokenSums(
        Usage(input=5, cached=1, output=5, cost_usd=Decimal("0.5")), settled_calls=1
    )
    assert counted.phases == {("docs", "QUEUED"): 3}
    assert counted.findings == {("minor", True): 1}
    assert (counted.deliveries, counted.waiting_deliveries, counted.oldest_waiting) == (2, 1, NOW)


# Which runs and projects a transaction has written


def add_twice(db: Database) -> None:
    """Write a run, then what the database refuses."""
    with db.writing() as session:
        session.get_one(Run, "r1").reason = "never"
        session.flush()
        session.execute(sa.insert(Phase), [{"run_id": "r1", "phase_id": "P1", "tier_id": "T1", "phase_index": 0}])


def insert_in_its_own_text(db: Database, row: Mapping[str, object]) -> None:
    with db.writing() as session:
        session.execute(sa.insert(Phase).values(**row, phase_id="P10"))


def taken(db: Database) -> ChangedIds:
    return db.changes.take()


def test_committed_run_changes_are_recorded(db: Database) -> None:
    planned_run(db)
    planned_run_2 = run_rows.create(db, new_run("r2", issue=9), NOW)
    assert taken(db).runs == {"r1", planned_run_2}
    assert not taken(db), "what was taken is not there any more"
    run_rows.update(db, "r1", {"head_sha": "abc"})
    assert taken(db).runs == {"r1"}
    run_rows.update_phase(db, "r2", "P1", {"note": "there is none"})
    assert taken(db).runs == set(), "no row was met"
    reserve(db, Role.BUILDER)
    assert taken(db).runs == {"r1"}
    model_calls.settle(db, "c1", Usage(input=1))
    assert taken(db).runs == {"r1"}, "found by the call's id"
    finding_rows.record(db, "r1", "P1", [finding()], "audit 1", NOW)
    touched = taken(db)
    assert (touched.runs, touched.projects) == ({"r1"}, {"acme/widgets"})
    finding_rows.resolve(db, "r1", "P1", [finding().fingerprint], "fixed")
    assert taken(db).runs == {"r1"}


def test_what_was_rolled_back_is_not_noted(db: Database) -> None:
    planned_run(db)
    taken(db)
    with pytest.raises(IntegrityError):
        add_twice(db)
    assert not taken(db)


def test_bulk_statements_and_inserts_are_recorded(db: Database) -> None:
    planned_run(db)
    run_rows.create(db, new_run("r2", issue=9), NOW)
    taken(db)
    with db.writing() as session:
        session.execute(sa.update(Run).values(next_action="wait"))
    assert taken(db).runs == {"r1", "r2"}
    row = {"run_id": "r1", "tier_id": "T1", "phase_index": 9, "state": "QUEUED"}
    with db.writing() as session:
        session.execute(sa.insert(Phase), [{**row, "phase_id": "P8"}, {**row, "phase_id": "P9"}])
    assert taken(db).runs == {"r1"}
    with pytest.raises(TypeError, match="as parameters"):
        insert_in_its_own_text(db, row)
    assert not taken(db)
    with db.writing() as session:
        session.execute(sa.delete(Phase).where(Phase.phase_id.in_(["P8", "P9"])))
    assert taken(db).runs == {"r1"}
    with db.writing() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(FindingRow)) == 0
    assert not taken(db), "reading notes nothing"


def test_page_of_runs_has_constant_queries(db: Database) -> None:
    asked: list[Any] = []

    def note(*told: Any) -> None:
        asked.append(told[2])

    event.listen(db.engine, "before_cursor_execute", note)
    needed: list[int] = []
    for number in (1, 2, 3, 4):
        finding_rows.record(db, planned_run(db, f"r{number}", issue=number), "P1", [finding()], "audit 1", NOW)
        asked.clear()
        assert run_metrics.run_metrics(db, DEFAULTS)[1][0].minor_issues_count == 1
        needed.append(len(asked))
    assert needed[0] > 3
    assert len(set(needed)) == 1
