"""Runs that others build, as stored: what is posted moves phase, tier and run together, or nothing at all."""

from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from app.config.loader import default_ruleset
from app.db.engine import Database
from app.db.submission_table import Submission
from app.db.tables import ModelCallRow, Run, Transition
from app.db.tables import Phase as PhaseRow
from app.domain import states
from app.domain.api_errors import Conflict, NotFound, Unprocessable
from app.domain.api_requests import AuditorResult, AuditRequest, BuilderResult, RunStart, StatusUpdate
from app.domain.api_run import RunCard
from app.domain.budget import Role
from app.domain.findings import Recommendation
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.states import IllegalTransition, PhaseState, RunState, TierState
from app.domain.strategy import Engine, compile_strategy
from app.queries import run_details
from app.runs import api_commands, audits, builder_results, pending_work, phase_moves
from app.runs.api_commands import RunTarget
from tests.db.sample_rows import NOW, after, at_once

PATCH = "--- /dev/null\n+++ b/g.txt\n@@ -0,0 +1 @@\n+hello\n"
WAYS: dict[PhaseState, tuple[PhaseState, ...]] = {
    PhaseState.QUEUED: (),
    PhaseState.EXECUTING: (PhaseState.EXECUTING,),
    PhaseState.GATE: (PhaseState.EXECUTING, PhaseState.GATE),
    PhaseState.RETRY: (PhaseState.EXECUTING, PhaseState.RETRY),
}
WORKING = [state for state in RunState if not state.terminal][2:]
"""Of a run whose plan is there."""


def begin(
    db: Database, categories: Sequence[str] = ("docs", "docs"), *, tiers: Sequence[str] = (), repository: bool = False
) -> str:
    """A run r1 with phases P1…, each in the tier named for it, or all in T1."""
    named = tiers or ["T1"] * len(categories)
    body = {
        "run": {"run_id": "r1", "repository": "acme/widgets" if repository else None},
        "tiers": [{"tier_id": tier, "tier_index": n, "name": tier} for n, tier in enumerate(dict.fromkeys(named))],
        "phases": [
            {"phase_id": f"P{n}", "phase_index": n, "tier_id": tier, "name": "x", "task_category": category}
            for n, (category, tier) in enumerate(zip(categories, named, strict=True), 1)
        ],
    }
    asked = RunStart.model_validate(body)
    rules = effective_rules(default_ruleset(), RepositorySettings())
    plan = asked.plan(rules.complexities)
    strategy = compile_strategy(rules, plan, asked.run.options, frozenset(), engine=Engine.EXTERNAL)
    target = (
        RunTarget(
            repository="acme/widgets", repository_id=4, project_id="acme/widgets", installation_id=1, base_branch="main"
        )
        if repository
        else None
    )
    api_commands.create_run(db, asked, [plan], [strategy], target, NOW)
    return "r1"


def bring(db: Database, state: PhaseState, phase_id: str = "P1") -> None:
    for step in WAYS[state]:
        api_commands.update_status(db, "r1", phase_id, StatusUpdate(state=step), NOW)


def built(db: Database, phase_id: str = "P1", *, at: datetime = NOW, **more: Any) -> PhaseState:
    body = {"run_id": "r1", "phase_id": phase_id, "status": "success", "patch_content": PATCH, **more}
    result = BuilderResult.model_validate(body)
    return builder_results.post_result(db, "r1", phase_id, result, at).receipt.phase_state


def audited(db: Database, verdict: Recommendation, phase_id: str = "P1", **more: Any) -> PhaseState:
    result = AuditorResult(run_id="r1", phase_id=phase_id, review_notes="", recommendation=verdict, **more)
    return audits.post_audit(db, "r1", phase_id, result, after(seconds=1)).receipt.phase_state


def book(db: Database, amount: int) -> None:
    with db.writing() as session:
        run = phase_moves.lock_run(session, "r1")
        phase_moves.book_tokens(
            session, run, phase_moves.get_phase(session, run, "P1"), Role.BUILDER, amount, "status", NOW
        )


def card(db: Database) -> RunCard:
    return run_details.read_run_card(db, "r1")


def steps(db: Database) -> list[tuple[str, str, str]]:
    with db.reading() as session:
        rows = session.scalars(sa.select(Transition).where(Transition.run_id == "r1").order_by(Transition.id))
        return [(row.machine, row.old, row.new) for row in rows]


@pytest.mark.parametrize("state", WAYS)
def test_a_phase_fails_from_wherever_it_is_open(db: Database, state: PhaseState) -> None:
    begin(db)
    bring(db, state)
    assert audited(db, Recommendation.ESCALATE) is PhaseState.FAILED
    read = card(db)
    assert read.state is RunState.DONE_FAILED_REQUIRES_HUMAN_REVIEW
    assert [tier.state for tier in read.tiers] == [TierState.BLOCKED]
    assert [phase.state for phase in read.tiers[0].phases] == [PhaseState.FAILED, PhaseState.SKIPPED]


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize(
    ("verdict", "leads"),
    [
        (Recommendation.REVISE, dict.fromkeys(WAYS, PhaseState.EXECUTING)),
        (
            Recommendation.APPROVE,
            {
                PhaseState.QUEUED: PhaseState.EXECUTING,
                PhaseState.EXECUTING: PhaseState.EXECUTING,
                PhaseState.GATE: PhaseState.COMPLETE,
                PhaseState.RETRY: PhaseState.RETRY,
            },
        ),
    ],
)
def test_audit_works_from_every_open_state(
    db: Database, state: PhaseState, verdict: Recommendation, leads: dict[PhaseState, PhaseState]
) -> None:
    begin(db)
    bring(db, state)
    assert audited(db, verdict) is leads[state]


@pytest.mark.parametrize("state", WAYS)
def test_every_open_state_reaches_the_gate(db: Database, state: PhaseState) -> None:
    begin(db)
    bring(db, state)
    assert audits.request_audit(db, "r1", "P1", AuditRequest(), NOW).phase_state is PhaseState.GATE
    read = card(db)
    assert (read.state, read.tiers[0].state) == (RunState.GATE, TierState.RUNNING)
    assert read.tiers[0].phases[0].awaiting == "audit"


def test_run_moves_by_defined_steps(db: Database) -> None:
    begin(db)
    started = len(steps(db))
    for current, target in product(WORKING, WORKING):
        with db.writing() as session:
            run = phase_moves.lock_run(session, "r1")
            run.state = current
            phase_moves.advance_run_to(session, run, target, "because", after(minutes=1))
            assert (run.state, run.started_at) == (target, after(minutes=1))
    for machine, old, new in steps(db)[started:]:
        assert machine == "run"
        assert states.advance_run(RunState(old), RunState(new)) == new


def test_a_step_that_there_is_not_moves_nothing(db: Database) -> None:
    begin(db)
    before = steps(db)
    with db.writing() as session:
        run = phase_moves.lock_run(session, "r1")
        phase = phase_moves.get_phase(session, run, "P1")
        with pytest.raises(IllegalTransition):
            phase_moves.move_phase(session, run, phase, PhaseState.COMPLETE, "x", NOW)
    with pytest.raises(Conflict):
        api_commands.update_status(db, "r1", "P1", StatusUpdate(state=PhaseState.GATE, tokens_used=5), NOW)
    assert steps(db) == before
    assert card(db).tokens_used == 0


def test_last_phase_ends_tier_and_run(db: Database) -> None:
    begin(db, ("docs",) * 3, tiers=("T1", "T1", "T2"))
    seen: list[tuple[str, list[str]]] = []
    for phase_id in ("P3", "P1", "P2"):
        built(db, phase_id)
        seen.append((card(db).state, [tier.state for tier in card(db).tiers]))
    assert seen == [
        ("SNAPSHOT_CREATED", ["PENDING", "COMPLETE"]),
        ("SNAPSHOT_CREATED", ["RUNNING", "COMPLETE"]),
        ("DONE_SUCCESS", ["COMPLETE", "COMPLETE"]),
    ]


def test_tier_cap_holds_without_phase_caps(db: Database) -> None:
    begin(db)
    with db.writing() as session:
        run = session.get_one(Run, "r1")
        frozen = run.frozen_strategy
        tier = frozen.tiers[0].model_copy(update={"token_cap": 1000})
        run.strategy = frozen.model_copy(update={"tiers": (tier,)})
    assert built(db, tokens_used=1000) is PhaseState.COMPLETE
    assert built(db, "P2", tokens_used=1) is PhaseState.FAILED
    read = card(db)
    assert read.state is RunState.DONE_FAILED_BUDGET_EXHAUSTED
    assert "tier T1: 1,001 of 1,000 tokens used" in (read.failure_reason or "")


def test_second_booking_replaces_the_amount(db: Database) -> None:
    begin(db)
    for amount in (10, 30, 20):
        book(db, amount)
        assert card(db).tokens_used == amount
    with db.reading() as session:
        (call,) = session.scalars(sa.select(ModelCallRow)).all()
    assert (call.settled, call.role, call.model) == (True, Role.BUILDER, phase_moves.EXTERNAL_MODEL)


def test_what_was_never_there_is_unknown(db: Database) -> None:
    begin(db)
    for run_id, phase_id in (("r2", "P1"), ("r1", "P2 "), ("r1", "P9"), ("../r1", "P1"), ("r1\0", "P1"), ("r1", "\0")):
        with pytest.raises(NotFound):
            api_commands.update_status(db, run_id, phase_id, StatusUpdate(state=PhaseState.EXECUTING), NOW)


def test_unusable_patch_is_only_an_issue(db: Database) -> None:
    begin(db)
    before = steps(db)
    for misfit in ("", "hunk 1 does not apply"):
        result = BuilderResult(
            run_id="r1", phase_id="P1", status="success", patch_content="nothing" if not misfit else PATCH
        )
        with pytest.raises(Unprocessable, match=misfit or "no file"):
            builder_results.post_result(db, "r1", "P1", result, NOW, misfit=misfit)
    assert steps(db) == before
    assert card(db).minor_issues_count == 1
    with db.reading() as session:
        assert session.scalars(sa.select(Submission)).all() == []


def test_newer_result_replaces_the_waiting_one(db: Database) -> None:
    begin(db, ("security_auth_change",))
    assert built(db) is PhaseState.GATE
    assert built(db, builder_attempts=2) is PhaseState.GATE
    assert audited(db, Recommendation.APPROVE) is PhaseState.COMPLETE
    assert [new for machine, _, new in steps(db) if machine == "phase"] == [
        *("EXECUTING", "GATE", "RETRY", "EXECUTING", "GATE", "COMPLETE")
    ]


def test_repository_run_waits_for_its_workflow(db: Database) -> None:
    begin(db, ("docs",), repository=True)
    result = BuilderResult(run_id="r1", phase_id="P1", status="success", patch_content=PATCH)
    posted = builder_results.post_result(db, "r1", "P1", result, NOW)
    assert (posted.receipt.phase_state, posted.at_work is not None) == (PhaseState.GATE, True)
    again = builder_results.post_result(db, "r1", "P1", result, NOW)
    assert again.at_work == posted.at_work
    with pytest.raises(Conflict, match="green and audited"):
        api_commands.update_status(db, "r1", "P1", StatusUpdate(state=PhaseState.COMPLETE), NOW)


def test_a_late_audit_that_objects_takes_promotion_away(db: Database) -> None:
    begin(db, ("docs",))
    assert built(db) is PhaseState.COMPLETE
    assert audited(db, Recommendation.APPROVE) is PhaseState.COMPLETE
    with db.reading() as session:
        assert session.get_one(Run, "r1").late_objection == ""
    assert audited(db, Recommendation.REVISE, auditor_attempts=2) is PhaseState.COMPLETE
    with db.reading() as session:
        run = session.get_one(Run, "r1")
        assert run.state == RunState.DONE_SUCCESS
        assert "late audit of P1" in run.late_objection


def test_later_approval_withdraws_the_objection(db: Database) -> None:
    begin(db, ["docs"])
    built(db)
    audited(db, Recommendation.REVISE)
    assert run_details.read_run_card(db, "r1").promotion_blockers == ["a late audit of P1 says: revise"]
    audited(db, Recommendation.APPROVE, auditor_attempts=2)
    assert run_details.read_run_card(db, "r1").promotion_eligible_to_main


def test_early_approval_does_not_count(db: Database) -> None:
    begin(db, ["security_auth_change"])
    audited(db, Recommendation.APPROVE)
    api_commands.update_status(db, "r1", "P1", StatusUpdate(state=PhaseState.GATE), after(seconds=2))
    with pytest.raises(Conflict, match="audited first"):
        api_commands.update_status(db, "r1", "P1", StatusUpdate(state=PhaseState.COMPLETE), after(seconds=3))


def test_replaced_work_is_ignored(db: Database) -> None:
    begin(db, ["docs"], repository=True)
    built(db)
    first = pending_work.next_work(db, "r1", "P1")
    assert first is not None
    pending_work.record_pushed(db, "r1", "P1", first, "a" * 40, 0, after(seconds=1))
    built(db, at=after(seconds=2), builder_attempts=2)
    audited(db, Recommendation.APPROVE)
    assert (
        pending_work.complete_work(db, "r1", "P1", first, "green", after(seconds=3))
        is pending_work.CompletionResult.OVERTAKEN
    )
    pending_work.send_back_work(
        db, "r1", "P1", first, (pending_work.patch_conflict_finding("P1", "CI is red."),), after(seconds=3)
    )
    second = pending_work.next_work(db, "r1", "P1")
    assert second is not None
    assert (second.patch, second.head_sha) == (PATCH, None), "the newer attempt is still to be pushed"
    assert run_details.read_run_card(db, "r1").tiers[0].phases[0].state is PhaseState.GATE


def test_many_results_at_once_are_each_counted_once(db: Database) -> None:
    begin(db, ("docs",) * 4)
    ended = at_once(8, lambda n: built(db, f"P{n % 4 + 1}", tokens_used=10 ** (n % 4)))
    assert set(ended) == {PhaseState.COMPLETE}
    read = card(db)
    assert (read.state, read.tokens_used) == (RunState.DONE_SUCCESS, 1111)
    with db.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Submission)) == 4
        assert [row.builder_attempts for row in session.scalars(sa.select(PhaseRow))] == [1] * 4
