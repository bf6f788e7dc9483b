"""A request that could not fit is not sent."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.budget import (
    BudgetExhausted,
    Cap,
    Kind,
    ModelFailed,
    ModelFailure,
    Purpose,
    Role,
    Scope,
    Usage,
    check_fit,
    concerning,
    exhausted,
)

amounts = st.integers(min_value=0, max_value=2_000_000)
caps = st.builds(Cap, scope=st.sampled_from(Scope), name=st.just("x"), limit=amounts, used=amounts, reserved=amounts)
money = st.none() | st.decimals(min_value=0, max_value=100, places=6)
usages = st.builds(Usage, input=amounts, cached=amounts, output=amounts, cost_usd=money)


def cap(limit: int, used: int, reserved: int = 0, scope: Scope = Scope.RUN, name: str = "r1") -> Cap:
    return Cap(scope=scope, name=name, limit=limit, used=used, reserved=reserved)


@given(caps)
def test_remainder_is_between_zero_and_cap(one: Cap) -> None:
    assert 0 <= one.left <= one.limit


@given(st.lists(caps, max_size=4), amounts)
def test_fitting_request_stays_below_every_cap(listed: list[Cap], tokens: int) -> None:
    crossed = [one for one in listed if tokens > 0 and one.used + one.reserved + tokens > one.limit]
    try:
        check_fit(tokens, listed)
    except BudgetExhausted:
        assert crossed
    else:
        assert not crossed


def test_last_token_may_be_spent() -> None:
    check_fit(100, [cap(1000, 700, 200)])
    with pytest.raises(BudgetExhausted):
        check_fit(101, [cap(1000, 700, 200)])


def test_what_is_reserved_counts_as_spent() -> None:
    assert cap(1000, 300, 200).left == 500
    assert cap(1000, 900, 200).left == 0


def test_the_refusal_names_the_cap_and_its_figures() -> None:
    with pytest.raises(BudgetExhausted) as refused:
        check_fit(9_000, [cap(1_000_000, 0), cap(200_000, 195_500, scope=Scope.PHASE, name="P2")])
    assert str(refused.value) == "phase P2: 195,500 of 200,000 tokens used, the next request may need 9,000"


def test_at_four_fifths_it_warns() -> None:
    assert not cap(1000, 799).warns
    assert cap(1000, 800).warns


@given(usages, usages, usages)
def test_usage_adds_up_in_any_order(a: Usage, b: Usage, c: Usage) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert (a + b).total == a.total + b.total


def test_cached_tokens_are_part_of_the_input() -> None:
    assert Usage(input=100, cached=90, output=7).total == 107


def test_money_is_unknown_only_where_no_price_is() -> None:
    assert (Usage() + Usage()).cost_usd is None
    assert (Usage(cost_usd=Decimal("0.1")) + Usage()).cost_usd == Decimal("0.1")
    assert (Usage(cost_usd=Decimal("0.1")) + Usage(cost_usd=Decimal("0.2"))).cost_usd == Decimal("0.3")


def test_usage_below_zero_is_refused() -> None:
    with pytest.raises(ValidationError):
        Usage(input=-1)


def test_a_failed_model_says_how_and_why() -> None:
    failed = ModelFailed(ModelFailure.TIMEOUT, "no answer in 180 s")
    assert str(failed) == "model timeout: no answer in 180 s"


def test_each_cap_has_its_own_text() -> None:
    builder = Purpose(role=Role.BUILDER, phase_id="P1", attempt=2)
    minutes = Cap(scope=Scope.RUN, name="r1", kind=Kind.MINUTES, limit=120.0, used=120.25)
    told = "run r1: 120.2 of 120 active minutes used before the next builder request (P1, attempt 2)"
    assert str(exhausted(minutes, 0, builder)) == told
    pushes = Cap(scope=Scope.TIER, name="T1", kind=Kind.CI_RUNS, limit=2, used=2)
    told = "tier T1: 2 of 2 CI runs used, the next push (P1) would start one more"
    assert str(exhausted(pushes, 1, Purpose(phase_id="P1"))) == told


def test_request_counts_against_own_caps_only() -> None:
    names = {Scope.PHASE: ("P1", "P2"), Scope.TIER: ("T1", "T2"), Scope.RUN: ("r1",), Scope.ISSUE: ("#7",)}
    every = [
        Cap(scope=scope, name=name, kind=kind, limit=1, used=0)
        for scope in names
        for name in names[scope]
        for kind in Kind
    ]
    chosen = concerning(every, Kind.TOKENS, tier_id="T1", phase_id="P1")
    assert {(one.scope, one.name) for one in chosen} == {
        (Scope.PHASE, "P1"),
        (Scope.TIER, "T1"),
        (Scope.RUN, "r1"),
        (Scope.ISSUE, "#7"),
    }
    assert {one.kind for one in chosen} == {Kind.TOKENS}
    planning = concerning(every, Kind.TOKENS, tier_id=None, phase_id=None)
    assert {one.scope for one in planning} == {Scope.RUN, Scope.ISSUE}
