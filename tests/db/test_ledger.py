"""Room is reserved before a model is asked and settled after; no cap is ever crossed."""

from datetime import datetime
from decimal import Decimal

import pytest

from app.db import ledger
from app.db.engine import Database
from app.domain.budget import BudgetExhausted, Cap, Role, Scope, Usage
from tests.db.making import NOW, after, at_once, planned_run


def reserve(
    db: Database,
    call_id: str,
    tokens: int,
    *,
    phase_id: str | None = "P1",
    role: Role = Role.BUILDER,
    model: str = "anthropic:a",
    at: datetime = NOW,
) -> None:
    ledger.reserve(db, call_id, "r1", phase_id, role, model, tokens, at)


def standing(db: Database) -> tuple[int, int]:
    cap = ledger.run_cap(db, "r1")
    return cap.used, cap.reserved


def test_a_call_is_reserved_and_then_settled_with_what_it_used(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 10_000)
    assert standing(db) == (0, 10_000)
    ledger.settle(db, "c1", Usage(input=6_000, cached=5_000, output=500))
    assert standing(db) == (6_500, 0)
    assert ledger.run_cap(db, "r1") == Cap(scope=Scope.RUN, name="r1", limit=5_000_000, used=6_500)


def test_reserving_and_settling_again_changes_nothing(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 10_000)
    reserve(db, "c1", 99_000)
    assert standing(db) == (0, 10_000)
    ledger.settle(db, "c1", Usage(input=100, output=1))
    ledger.settle(db, "c1", Usage(input=999, output=9))
    reserve(db, "c1", 10_000)
    assert standing(db) == (101, 0)


def test_what_would_cross_the_phases_cap_is_refused_and_not_reserved(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 150_000)
    with pytest.raises(BudgetExhausted, match="phase P1: 0 of 200,000 tokens used, the next request may need 50,001"):
        reserve(db, "c2", 50_001)
    assert standing(db) == (0, 150_000)
    reserve(db, "c3", 50_000)
    reserve(db, "c4", 200_000, phase_id="P2")


def test_what_a_request_did_not_use_is_free_again(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 200_000)
    ledger.settle(db, "c1", Usage(input=1_000))
    reserve(db, "c2", 199_000)


def test_the_runs_cap_holds_over_all_phases_and_the_planner(db: Database) -> None:
    planned_run(db, tokens=100_000)
    reserve(db, "c0", 30_000, phase_id=None, role=Role.PLANNER)
    reserve(db, "c1", 40_000)
    reserve(db, "c2", 20_000, phase_id="P3")
    with pytest.raises(BudgetExhausted, match="run r1"):
        reserve(db, "c3", 10_001, phase_id="P2")
    reserve(db, "c4", 10_000, phase_id="P2")


def test_a_phase_that_overran_what_it_reserved_uses_up_its_tier(db: Database) -> None:
    """The provider may report more than was reserved; the tier (three times its two phases) then stops its phases."""
    planned_run(db)
    reserve(db, "c1", 1_000)
    ledger.settle(db, "c1", Usage(input=1_199_000))
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


def test_money_adds_up_to_the_cent_and_beyond(db: Database) -> None:
    planned_run(db)
    for number in range(10):
        reserve(db, f"c{number}", 1_000)
        ledger.settle(db, f"c{number}", Usage(input=10, cached=4, output=2, cost_usd=Decimal("0.10000001")))
    usage = ledger.usage_by_role(db, "r1")[Role.BUILDER]
    assert usage.cost_usd == Decimal("1.00000010")
    assert (usage.input, usage.cached, usage.output) == (100, 40, 20)


def test_usage_is_told_apart_by_role_and_only_when_settled(db: Database) -> None:
    planned_run(db)
    reserve(db, "p", 1_000, phase_id=None, role=Role.PLANNER)
    reserve(db, "b", 1_000)
    reserve(db, "a", 1_000, role=Role.AUDITOR)
    ledger.settle(db, "p", Usage(input=1, cost_usd=Decimal("0.5")))
    ledger.settle(db, "b", Usage(input=2))
    assert ledger.usage_by_role(db, "r1") == {
        Role.PLANNER: Usage(input=1, cost_usd=Decimal("0.5")),
        Role.BUILDER: Usage(input=2),
    }
    assert ledger.usage_by_role(db, "r2") == {}


def test_the_model_that_last_answered_is_named(db: Database) -> None:
    planned_run(db)
    reserve(db, "c1", 1_000, at=NOW)
    reserve(db, "c2", 1_000, model="openai:b", at=after(seconds=1))
    reserve(db, "c3", 1_000, role=Role.AUDITOR, model="openai:x", at=after(seconds=2))
    assert ledger.models_by_role(db, "r1") == {Role.BUILDER: "openai:b", Role.AUDITOR: "openai:x"}
    ledger.settle(db, "c2", Usage(input=1), model="anthropic:fallback")
    assert ledger.models_by_role(db, "r1")[Role.BUILDER] == "anthropic:fallback"


def test_tokens_are_counted_by_phase_without_the_planner(db: Database) -> None:
    planned_run(db)
    for call_id, phase_id in (("c0", None), ("c1", "P1"), ("c2", "P1"), ("c3", "P3")):
        reserve(db, call_id, 1_000, phase_id=phase_id)
        ledger.settle(db, call_id, Usage(input=100, output=5))
    reserve(db, "c4", 1_000, phase_id="P3")
    assert ledger.tokens_by_phase(db, "r1") == {"P1": 210, "P3": 105}
