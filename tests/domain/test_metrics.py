"""Figures that are derived, never stored: shares, averages, orders."""

import math
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.domain.budget import Exhausted, Kind, Scope
from app.domain.metrics import (
    AuditedPhases,
    AuditorTries,
    BudgetFailure,
    RunMetrics,
    SliceSpending,
    failures_by_cap,
    most_expensive,
    share,
)
from app.domain.states import RunState

NOW = datetime(2026, 1, 2, tzinfo=UTC)
counts = st.integers(min_value=0, max_value=10**18)


def metrics(tokens: int, cap: int) -> RunMetrics:
    return RunMetrics(
        run_id="r1",
        project_id="autopack",
        state=RunState.GATE,
        safety_profile="normal",
        run_scope="multi_tier",
        engine="external",
        tokens_used=tokens,
        token_cap=cap,
        cost_usd=None,
        minor_issues_count=0,
        major_issues_count=0,
        max_minor_issues_total=0,
        phase_count=0,
        max_phases=25,
        tier_count=0,
        created_at=NOW,
        started_at=None,
        completed_at=None,
    )


def failure(cap: Exhausted | None) -> BudgetFailure:
    return BudgetFailure(**dict(metrics(1, 1)), failure_reason=None, cap=cap, phase_id=None, tier_id=None)


def exhausted(scope: Scope, kind: Kind) -> Exhausted:
    return Exhausted(scope=scope, name="x", kind=kind, limit=1, used=1, needs=0)


def slice_of(category: str, tokens: int, phases: int = 1) -> SliceSpending:
    return SliceSpending(
        task_category=category, complexity="low", phases=phases, completed=0, builder_attempts=0, tokens_used=tokens
    )


@given(counts, counts)
def test_a_share_is_a_number_from_zero_on(part: int, whole: int) -> None:
    found = share(part, whole)
    assert found >= 0
    assert math.isfinite(found)
    assert whole or found == 0


@given(counts, counts)
def test_utilization_is_part_of_the_answer(tokens: int, cap: int) -> None:
    assert metrics(tokens, cap).model_dump(mode="json")["token_utilization"] == share(tokens, cap)


def test_money_is_exact_and_a_json_number() -> None:
    costly = metrics(1, 2).model_copy(update={"cost_usd": Decimal("0.10")})
    assert costly.model_dump(mode="json")["cost_usd"] == 0.1
    assert costly.model_dump()["cost_usd"] == Decimal("0.10")


@given(st.lists(st.builds(slice_of, st.text(max_size=2), counts), unique_by=lambda one: one.task_category))
def test_what_spent_most_comes_first(slices: list[SliceSpending]) -> None:
    tokens = [one.tokens_used for one in most_expensive(slices)]
    assert tokens == sorted(tokens, reverse=True)
    assert most_expensive(reversed(slices)) == most_expensive(slices), "equal figures give equal reports"


def test_of_no_phases_there_is_no_average() -> None:
    assert slice_of("a", 10, phases=0).tokens_per_phase == 0
    assert slice_of("a", 10, phases=4).tokens_per_phase == 2


def test_failures_are_counted_by_what_ran_out() -> None:
    tokens, minutes = exhausted(Scope.PHASE, Kind.TOKENS), exhausted(Scope.RUN, Kind.MINUTES)
    found = failures_by_cap([failure(minutes), failure(tokens), failure(None), failure(tokens)])
    assert list(found.items()) == [("phase tokens", 2), ("run minutes", 1), ("unknown", 1)]


def test_whether_audits_help_is_said_in_words() -> None:
    helped = AuditorTries(
        one_audit=AuditedPhases(ended=4, completed=4), several_audits=AuditedPhases(ended=4, completed=3)
    )
    assert helped.verdict == "Of phases audited more than once 75% completed, of those audited once 100%."
    none = AuditorTries(one_audit=AuditedPhases(ended=4, completed=4), several_audits=AuditedPhases())
    assert none.verdict == "No phase has been audited more than once yet."
