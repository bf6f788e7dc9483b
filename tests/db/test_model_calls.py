"""Room is reserved before a model is asked and settled after; no cap is ever crossed."""

import pickle
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from app.db import budget_usage, model_calls, run_rows
from app.db.budget_usage import EarlyCaps, read_sums
from app.db.engine import Database
from app.db.model_calls import Reservation
from app.db.tables import ModelCallRow, Run
from app.domain.budget import BudgetExhausted, Cap, Kind, Role, Scope, Usage
from app.domain.ruleset import MoneyRules
from app.domain.states import RunState
from app.runs import transitions
from tests.db.sample_rows import NOW, after, at_once, new_run, planned_run


def reserve(
    db: Database,
    call_id: str,
    tokens: int,
    *,
    phase_id: str | None = "P1",
    role: Role = Role.BUILDER,
    model: str = "anthropic:a",
    at: datetime = NOW,
    run_id: str = "r1",
    issue_cap: int = 15_000_000,
) -> None:
    model_calls.reserve(db, Reservation(call_id, run_id, phase_id, role, model, tokens), at, early=EarlyCaps(issue_cap))


def caps_of(db: Database, run_id: str = "r1") -> tuple[Cap, ...]:
    with db.reading() as session:
        return budget_usage.read_caps(session, session.get_one(Run, run_id))


def run_cap(db: Database, run_id: str = "r1") -> Cap:
    return caps_of(db, run_id)[0]


def standing(db: Database, run_id: str = "r1") -> tuple[float, float]:
    cap = run_cap(db, run_id)
    return cap.used, cap.reserved


def test_call_is_reserved_then_settled(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 10_000)
    assert standing(db) == (0, 10_000)
    model_calls.settle(db, "c1", Usage(input=6_000, cached=5_000, output=500))
    assert standing(db) == (6_500, 0)
    assert run_cap(db) == Cap(scope=Scope.RUN, name="r1", limit=5_000_000, used=6_500)


def test_reserving_and_settling_again_changes_nothing(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 10_000)
    reserve(db, "c1", 99_000)
    assert standing(db) == (0, 10_000)
    model_calls.settle(db, "c1", Usage(input=100, output=1))
    model_calls.settle(db, "c1", Usage(input=999, output=9))
    reserve(db, "c1", 10_000)
    assert standing(db) == (101, 0)


def test_reservation_over_phase_cap_is_refused(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 150_000)
    with pytest.raises(BudgetExhausted, match=r"phase P1: 0 of 200,000 tokens used and 150,000 reserved"):
        reserve(db, "c2", 50_001)
    assert standing(db) == (0, 150_000)
    reserve(db, "c3", 50_000)
    reserve(db, "c4", 200_000, phase_id="P2")


def test_unused_reservation_is_released(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 200_000)
    model_calls.settle(db, "c1", Usage(input=1_000))
    reserve(db, "c2", 199_000)


def test_run_cap_covers_phases_and_planner(db: Database) -> None:
    planned_run(db, tokens=100_000)
    reserve(db, "c0", 30_000, phase_id=None, role=Role.PLANNER)
    reserve(db, "c1", 40_000)
    reserve(db, "c2", 20_000, phase_id="P3")
    with pytest.raises(BudgetExhausted, match="run r1"):
        reserve(db, "c3", 10_001, phase_id="P2")
    reserve(db, "c4", 10_000, phase_id="P2")


def test_overrun_phase_uses_its_tiers_cap(db: Database) -> None:
    """The provider may report more than was reserved; the tier (three times its two phases) then stops its phases."""
    planned_run(db)
    reserve(db, "c1", 1_000)
    model_calls.settle(db, "c1", Usage(input=1_199_000))
    with pytest.raises(BudgetExhausted, match="tier T1: 1,199,000 of 1,200,000"):
        reserve(db, "c2", 1_001, phase_id="P2")
    reserve(db, "c3", 1_001, phase_id="P3")


def test_many_threads_together_never_cross_a_cap(db: Database) -> None:
    planned_run(db)

    def ask(number: int) -> bool:
        try:
            reserve(db, f"c{number}", 30_000)
        except BudgetExhausted:
            return False
        return True

    granted = at_once(12, ask)
    assert granted.count(True) == 6
    assert standing(db) == (0, 180_000)


def test_many_threads_with_one_call_reserve_it_once(db: Database) -> None:
    planned_run(db)
    at_once(8, lambda _: reserve(db, "c1", 20_000))
    assert standing(db) == (0, 20_000)


def usage_by_role(db: Database, run_id: str) -> dict[Role, Usage]:
    with db.reading() as session:
        return model_calls.usage_by_role(session, run_id)


def test_money_adds_up_to_the_cent_and_beyond(db: Database) -> None:
    planned_run(db)
    for number in range(10):
        reserve(db, f"c{number}", 1_000)
        model_calls.settle(db, f"c{number}", Usage(input=10, cached=4, output=2, cost_usd=Decimal("0.10000001")))
    usage = usage_by_role(db, "r1")[Role.BUILDER]
    assert usage.cost_usd == Decimal("1.00000010")
    assert (usage.input, usage.cached, usage.output) == (100, 40, 20)


def test_settled_usage_is_split_by_role(db: Database) -> None:
    planned_run(db)
    reserve(db, "p", 1_000, phase_id=None, role=Role.PLANNER)
    reserve(db, "b", 1_000)
    reserve(db, "a", 1_000, role=Role.AUDITOR)
    model_calls.settle(db, "p", Usage(input=1, cost_usd=Decimal("0.5")))
    model_calls.settle(db, "b", Usage(input=2))
    assert usage_by_role(db, "r1") == {
        Role.PLANNER: Usage(input=1, cost_usd=Decimal("0.5")),
        Role.BUILDER: Usage(input=2),
    }
    assert usage_by_role(db, "r2") == {}


def test_models_that_answered_for_a_phase_are_named(db: Database) -> None:
    planned_run(db)
    answered, estimated = Usage(input=1, output=1), Usage(input=1, output=1, estimated=True)
    for number, (role, model, usage) in enumerate(
        [
            (Role.BUILDER, "openai:failed", Usage()),
            (Role.BUILDER, "openai:unreadable", estimated),
            (Role.BUILDER, "openai:b", answered),
            (Role.BUILDER, "anthropic:a", answered),
            (Role.BUILDER, "openai:b", answered),
            (Role.AUDITOR, "local:no-usage", estimated),
        ]
    ):
        reserve(db, f"c{number}", 1_000, role=role, model=model, at=after(seconds=number))
        model_calls.settle(db, f"c{number}", usage)
    reserve(db, "open", 1_000, model="openai:open", at=after(seconds=9))
    assert model_calls.models_of_phase(db, "r1", "P1") == {
        Role.BUILDER: ("openai:b", "anthropic:a"),
        Role.AUDITOR: ("local:no-usage",),
    }
    assert model_calls.models_of_phase(db, "r1", "P2") == {}


def test_tokens_are_counted_by_phase(db: Database) -> None:
    planned_run(db)
    for call_id, phase_id in (("c0", None), ("c1", "P1"), ("c2", "P1"), ("c3", "P3")):
        reserve(db, call_id, 1_000, phase_id=phase_id)
        model_calls.settle(db, call_id, Usage(input=100, output=5))
    reserve(db, "c4", 1_000, phase_id="P3")
    with db.reading() as session:
        by_phase = read_sums(session, ModelCallRow.phase_id, ModelCallRow.run_id == "r1")
    assert {phase_id: sums.usage.total for phase_id, sums in by_phase.items()} == {None: 105, "P1": 210, "P3": 105}


def spend(db: Database, run_id: str, tokens: int) -> None:
    """The run has used so many tokens for its plan."""
    reserve(db, f"spent-{run_id}", tokens, run_id=run_id, phase_id=None, role=Role.PLANNER)
    model_calls.settle(db, f"spent-{run_id}", Usage(input=tokens))


def test_all_runs_of_an_issue_share_its_cap(db: Database) -> None:
    planned_run(db, "r1")
    spend(db, "r1", 600_000)
    transitions.end_run(db, "r1", RunState.DONE_CANCELLED, "enough", NOW)
    run_rows.create(db, new_run("r2"), NOW)
    run_rows.create(db, new_run("plan", intent="plan"), NOW)
    reserve(db, "c1", 300_000, run_id="plan", phase_id=None, issue_cap=1_000_000)
    with pytest.raises(BudgetExhausted) as refused:
        reserve(db, "c2", 100_001, run_id="r2", phase_id=None, role=Role.PLANNER, issue_cap=1_000_000)
    assert str(refused.value) == (
        "issue #7: 600,000 of 1,000,000 tokens used and 300,000 reserved, the next planner request may need 100,001"
    )
    assert refused.value.exhausted.scope is Scope.ISSUE
    reserve(db, "c3", 100_000, run_id="r2", phase_id=None, issue_cap=1_000_000)


def test_each_issue_has_its_own_cap(db: Database) -> None:
    for run_id, repository, issue in (("a", "acme/one", 7), ("b", "acme/one", 8), ("c", "acme/two", 7)):
        run_rows.create(db, new_run(run_id, repository=repository, issue=issue), NOW)
        reserve(db, f"call-{run_id}", 900_000, run_id=run_id, phase_id=None, issue_cap=1_000_000)


def test_parallel_runs_keep_the_issue_cap(db: Database) -> None:
    """Each of them has room of its own; only the cap that they share keeps the sum down."""
    for number in range(12):
        run_rows.create(db, new_run(f"r{number}", intent=f"purpose {number}"), NOW)

    def ask(number: int) -> bool:
        try:
            reserve(db, f"c{number}", 30_000, run_id=f"r{number}", phase_id=None, issue_cap=200_000)
        except BudgetExhausted:
            return False
        return True

    assert at_once(12, ask).count(True) == 6
    assert sum(standing(db, f"r{number}")[1] for number in range(12)) == 180_000


def test_the_refusal_names_role_phase_and_try(db: Database) -> None:
    planned_run(db)
    run_rows.update_phase(db, "r1", "P1", {"builder_attempts": 2, "auditor_attempts": 1})
    with pytest.raises(BudgetExhausted, match=r"the next builder request \(P1, attempt 2\) may need 200,001"):
        reserve(db, "c1", 200_001)
    with pytest.raises(BudgetExhausted, match=r"the next auditor request \(P1, audit 1\) may need") as refused:
        reserve(db, "c2", 300_000, role=Role.AUDITOR)
    assert pickle.loads(pickle.dumps(refused.value)).exhausted == refused.value.exhausted, "steps are stored"


def test_interrupted_request_counts_in_full(db: Database) -> None:
    planned_run(db)
    spend(db, "r1", 1_000)
    reserve(db, "c1", 30_000)
    transitions.end_run(db, "r1", RunState.DONE_FAILED_ENVIRONMENT, "the workflow was lost", NOW)
    assert standing(db) == (31_000, 0)
    model_calls.settle(db, "c1", Usage(input=5))
    assert standing(db) == (31_000, 0)


def test_ci_runs_are_counted_and_capped(db: Database) -> None:
    planned_run(db)  # docs: two tries a phase, so the tier of two phases may have four
    for number in (1, 1, 2, 2):
        model_calls.claim_ci_run(db, "r1", "P1", number)
    assert model_calls.ci_runs(db, "r1", "P1") == 2
    with pytest.raises(BudgetExhausted, match="phase P1: 2 of 2 CI runs used, the next push"):
        model_calls.claim_ci_run(db, "r1", "P1", 3)
    run_rows.update_phase(db, "r1", "P1", {"ci_runs": 4})
    with pytest.raises(BudgetExhausted, match="tier T1: 4 of 4 CI runs used"):
        model_calls.claim_ci_run(db, "r1", "P2", 1)
    model_calls.claim_ci_run(db, "r1", "P3", 1)
    for number in (1, 2, 3):
        model_calls.claim_ci_run(db, "r1", None, number)
    run_rows.update_phase(db, "r1", "P3", {"ci_runs": 2})
    with pytest.raises(BudgetExhausted, match="run r1: 9 of 9 CI runs used, the next push would"):
        model_calls.claim_ci_run(db, "r1", None, 4)
    assert model_calls.ci_runs(db, "r1", None) == 3


def test_every_cap_of_a_run_is_listed(db: Database) -> None:
    planned_run(db)
    listed = {(cap.scope, cap.name, cap.kind): cap.limit for cap in caps_of(db, "r1")}
    assert listed[Scope.ISSUE, "#7", Kind.TOKENS] == 15_000_000
    assert listed[Scope.RUN, "r1", Kind.MINUTES] == 120
    assert listed[Scope.TIER, "T1", Kind.TOKENS] == 3 * 2 * listed[Scope.PHASE, "P1", Kind.TOKENS]
    assert listed[Scope.TIER, "T1", Kind.CI_RUNS] == 4
    assert listed[Scope.RUN, "r1", Kind.USD] == 50
    assert listed[Scope.ISSUE, "#7", Kind.USD] == 150
    assert listed[Scope.TIER, "T1", Kind.USD] == 3 * 2 * listed[Scope.PHASE, "P1", Kind.USD]
    assert len(listed) == 6 + 2 * 3 + 3 * 3


def test_money_is_reserved_and_never_crosses_a_cap(db: Database) -> None:
    planned_run(db)
    (phase_cap,) = (cap for cap in caps_of(db) if (cap.scope, cap.name, cap.kind) == (Scope.PHASE, "P1", Kind.USD))
    dear = Decimal(str(phase_cap.limit)) * Decimal("0.6")

    def ask(call_id: str) -> None:
        model_calls.reserve(db, Reservation(call_id, "r1", "P1", Role.BUILDER, "anthropic:a", 10, dear), NOW)

    ask("c1")
    with pytest.raises(BudgetExhausted, match=r"phase P1: 0\.00 of .* US dollars used and .* reserved, .* may need"):
        ask("c2")
    model_calls.settle(db, "c1", Usage(input=5, output=5, cost_usd=Decimal("0.01")))
    ask("c2")


def test_day_of_a_repository_is_bounded(db: Database) -> None:
    planned_run(db)
    early = EarlyCaps(10, MoneyRules(repository_day=1, service_day=2))
    with db.writing() as session:
        session.get_one(Run, "r1").strategy = None
    asked = [Reservation(f"c{n}", "r1", None, Role.PLANNER, "anthropic:a", 1, Decimal("0.6")) for n in (1, 2)]
    model_calls.reserve(db, asked[0], NOW, early=early)
    with pytest.raises(
        BudgetExhausted, match=r"repository \S+ today: 0\.00 of 1\.00 US dollars used and 0\.60 reserved"
    ):
        model_calls.reserve(db, asked[1], NOW, early=early)
    model_calls.reserve(db, asked[1], NOW + timedelta(days=1), early=early)


def test_day_of_a_person_is_bounded(db: Database) -> None:
    """Over all repositories."""
    planned_run(db)
    early = EarlyCaps(10, MoneyRules(person_day=1))
    with db.writing() as session:
        run = session.get_one(Run, "r1")
        run.strategy, run.requester_id = None, 583231
    asked = [Reservation(f"c{n}", "r1", None, Role.PLANNER, "anthropic:a", 1, Decimal("0.6")) for n in (1, 2)]
    model_calls.reserve(db, asked[0], NOW, early=early)
    with pytest.raises(BudgetExhausted, match=r"person \S+ today: 0\.00 of 1\.00 US dollars used and 0\.60 reserved"):
        model_calls.reserve(db, asked[1], NOW, early=early)
    model_calls.reserve(db, asked[1], NOW + timedelta(days=1), early=early)


def test_cached_input_counts_at_its_share(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 10_000)
    model_calls.settle(db, "c1", Usage(input=1_000, cached=900, output=50, discount=810))
    assert standing(db) == (240, 0)
