"""Clean-up of aged issues goes into a plan once, and a plan that is too large is split without losing anything."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.loader import default_ruleset
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.findings import Severity
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.plan_splitting import DEBT, MAX_CLEANUP_PHASES, parts_of, split, with_debt_cleanup
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.strategy import RunOptions, TooManyPhases, compile_strategy

RULES = effective_rules(default_ruleset(), RepositorySettings())
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def plan_of(*sizes: int, names: tuple[str, ...] = ()) -> Plan:
    """A plan of tiers with so many phases each."""
    ids = names or tuple(f"T{number}" for number in range(1, len(sizes) + 1))
    owners = [ids[index] for index, size in enumerate(sizes) for _ in range(size)]
    return Plan(
        tiers=tuple(PlannedTier(tier_id=one, tier_index=index, name=f"Tier {one}") for index, one in enumerate(ids)),
        phases=tuple(
            PlannedPhase(phase_id=f"P{number}", tier_id=owner, phase_index=number - 1, name="Step")
            for number, owner in enumerate(owners, 1)
        ),
    )


def entry(
    key: str, status: BacklogStatus = BacklogStatus.NEEDS_CLEANUP, runs: int = 3, tiers: int = 2, problem: str = ""
) -> BacklogEntry:
    return BacklogEntry(
        issue_key=key,
        category="style",
        base_severity=Severity.MINOR,
        problem=problem,
        status=status,
        occurrences=4,
        age_in_runs=runs,
        age_in_tiers=tiers,
        seen_in_tiers=("T1", "T2"),
        first_seen_run_id="run-1",
        last_seen_run_id="run-3",
        last_seen_at=WHEN,
    )


def shape(parts: tuple[Plan, ...]) -> list[list[tuple[str, int]]]:
    """Of each part: its tiers and how many phases each has."""
    return [[(tier.tier_id, len(part.phases_of(tier.tier_id))) for tier in part.tiers] for part in parts]


# Clean-up


def test_aged_issue_gets_a_last_phase() -> None:
    plan = with_debt_cleanup(plan_of(2, 1), [entry("style__a__unused", problem="An import is unused.")], RULES)
    assert [tier.tier_id for tier in plan.tiers] == ["T1", "T2", DEBT]
    assert (plan.tiers[-1].name, plan.tiers[-1].tier_index) == ("Debt clean-up", 2)
    (phase,) = plan.phases_of(DEBT)
    assert (phase.phase_id, phase.phase_index, phase.mends) == ("DEBT-1", 3, ("style__a__unused",))
    assert (phase.task_category, phase.complexity) == (TaskCategory.DEBT_CLEANUP, Complexity.MEDIUM)
    assert "The issue style__a__unused is gone." in phase.acceptance_criteria
    for said in ("`style__a__unused`", "An import is unused.", "4 times", "3 runs and 2 tiers", "run-1", "run-3"):
        assert said in phase.description


@pytest.mark.parametrize("status", [BacklogStatus.OPEN, BacklogStatus.RESOLVED])
def test_what_has_not_aged_changes_no_plan(status: BacklogStatus) -> None:
    plan = plan_of(2)
    assert with_debt_cleanup(plan, [entry("a", status)], RULES) == plan
    assert with_debt_cleanup(plan, [], RULES) == plan


def test_the_oldest_come_first_and_the_rest_waits() -> None:
    aged = [entry("young", runs=3), entry("b", runs=5), entry("a", runs=5), entry("wide", runs=5, tiers=4)]
    plan = with_debt_cleanup(plan_of(1), aged, RULES)
    assert [phase.mends[0] for phase in plan.phases_of(DEBT)] == ["wide", "a", "b", "young"]
    many = with_debt_cleanup(plan_of(1), [entry(f"key{number}") for number in range(9)], RULES)
    assert len(many.phases_of(DEBT)) == MAX_CLEANUP_PHASES == 5


def test_existing_cleanup_phase_is_enough() -> None:
    plan = plan_of(1)
    plan = plan.model_copy(update={"phases": (plan.phases[0].model_copy(update={"mends": ("a",)}),)})
    assert with_debt_cleanup(plan, [entry("a")], RULES) == plan


def test_used_ids_are_not_given_again() -> None:
    plan = plan_of(1, names=(DEBT,))
    plan = plan.model_copy(update={"phases": (plan.phases[0].model_copy(update={"phase_id": "DEBT-1"}),)})
    done = with_debt_cleanup(plan, [entry("a")], RULES)
    assert [phase.phase_id for phase in done.phases] == ["DEBT-1", "DEBT-2"]
    assert len(done.tiers) == 1


KEYS = st.from_regex(r"[a-z]{1,8}__[a-z]{1,8}__[a-z]{1,8}", fullmatch=True)
ENTRIES = st.lists(
    st.builds(
        entry, KEYS, st.sampled_from(BacklogStatus), runs=st.integers(0, 9), tiers=st.integers(0, 9), problem=st.text()
    ),
    max_size=12,
    unique_by=lambda one: one.issue_key,
)
SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any)


@given(sizes=SIZES, backlog=ENTRIES)
def test_cleanup_is_added_once(sizes: list[int], backlog: list[BacklogEntry]) -> None:
    plan = plan_of(*sizes)
    once = with_debt_cleanup(plan, backlog, RULES)
    assert with_debt_cleanup(once, backlog, RULES) == once
    assert with_debt_cleanup(plan, backlog[::-1], RULES) == once
    assert Plan.model_validate_json(once.model_dump_json()) == once
    assert once.phases[: len(plan.phases)] == plan.phases
    aged = {one.issue_key for one in backlog if one.status is BacklogStatus.NEEDS_CLEANUP}
    mended = [key for phase in once.phases for key in phase.mends]
    assert len(mended) == len(set(mended)) == min(len(aged), MAX_CLEANUP_PHASES)
    assert set(mended) <= aged


# Splitting


def test_sixty_phases_are_three_runs() -> None:
    parts = split(plan_of(20, 20, 20), 25)
    assert shape(parts) == [[("T1", 20)], [("T2", 20)], [("T3", 20)]]


def test_tiers_that_fit_stay_together() -> None:
    assert shape(split(plan_of(10, 10, 10, 5), 25)) == [[("T1", 10), ("T2", 10)], [("T3", 10), ("T4", 5)]]


def test_a_tier_that_is_too_large_is_cut() -> None:
    assert shape(split(plan_of(1, 60, 2), 25)) == [[("T1", 1)], [("T2", 25)], [("T2-2", 25)], [("T2-3", 10), ("T3", 2)]]


def test_piece_never_shares_a_tiers_name() -> None:
    parts = split(plan_of(5, 1, names=("T1", "T1-2")), 2)
    assert shape(parts) == [[("T1", 2)], [("T1-3", 2)], [("T1-4", 1), ("T1-2", 1)]]
    long = "a" * 100
    pieces = split(plan_of(3, names=(long,)), 1)
    assert [part.tiers[0].tier_id for part in pieces] == [long, "a" * 98 + "-2", "a" * 98 + "-3"]


def test_indexes_begin_anew_in_every_part() -> None:
    second = split(plan_of(2, 2), 2)[1]
    assert [tier.tier_index for tier in second.tiers] == [0]
    assert [(phase.phase_id, phase.phase_index) for phase in second.phases] == [("P3", 0), ("P4", 1)]


def test_a_plan_that_fits_stays_as_it_is() -> None:
    plan = plan_of(2, 0, 3)
    assert split(plan, 5) == (plan,)
    assert split(plan_of(2), 5, one_tier_each=True) == (plan_of(2),)


def test_one_tier_each() -> None:
    parts = split(plan_of(2, 0, 3, 1), 2, one_tier_each=True)
    assert shape(parts) == [[("T1", 2), ("T2", 0)], [("T3", 2)], [("T3-2", 1)], [("T4", 1)]]


def test_a_part_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        split(plan_of(1), 0)


@given(sizes=SIZES, most=st.integers(1, 40), one_tier_each=st.booleans())
def test_splitting_loses_nothing_and_keeps_to_the_cap(sizes: list[int], most: int, one_tier_each: bool) -> None:
    plan = plan_of(*sizes)
    parts = split(plan, most, one_tier_each=one_tier_each)
    assert [phase.phase_id for part in parts for phase in part.phases] == [phase.phase_id for phase in plan.phases]
    tiers = [tier.tier_id for part in parts for tier in part.tiers]
    assert len(tiers) == len(set(tiers))
    assert [one for one in tiers if one in {tier.tier_id for tier in plan.tiers}] == [t.tier_id for t in plan.tiers]
    before = {phase.phase_id: phase for phase in plan.phases}
    for part in parts:
        assert Plan.model_validate_json(part.model_dump_json()) == part
        assert 1 <= len(part.phases) <= most
        assert [tier.tier_index for tier in part.tiers] == list(range(len(part.tiers)))
        assert [phase.phase_index for phase in part.phases] == list(range(len(part.phases)))
        assert not one_tier_each or len({phase.tier_id for phase in part.phases}) == 1
        for phase in part.phases:
            kept = phase.model_dump(exclude={"tier_id", "phase_index"})
            assert kept == before[phase.phase_id].model_dump(exclude={"tier_id", "phase_index"})
            assert phase.tier_id.startswith(before[phase.phase_id].tier_id)


# By the rules


def test_the_rules_say_how_large_a_part_is() -> None:
    plan = plan_of(20, 20, 20)
    with pytest.raises(TooManyPhases):
        compile_strategy(RULES, plan, RunOptions(), frozenset({"openai"}))
    parts = parts_of(plan, RULES, RunOptions())
    assert len(parts) == 3
    for part in parts:
        assert len(compile_strategy(RULES, part, RunOptions(), frozenset({"openai"})).phases) == 20
    assert len(parts_of(plan, RULES, RunOptions(phases=10))) == 6
    assert len(parts_of(plan, effective_rules(default_ruleset(), RepositorySettings(phases=60)), RunOptions())) == 1


@pytest.mark.parametrize(
    "options", [RunOptions(scope=RunScope.SINGLE_TIER), RunOptions(safety=SafetyProfile.SAFETY_CRITICAL)]
)
def test_single_tier_scope_splits_all_tiers(options: RunOptions) -> None:
    assert shape(parts_of(plan_of(1, 2), RULES, options)) == [[("T1", 1)], [("T2", 2)]]


@pytest.mark.parametrize("scope", [RunScope.MULTI_TIER, RunScope.INCREMENTAL])
def test_other_scopes_keep_the_tiers_together(scope: RunScope) -> None:
    assert len(parts_of(plan_of(1, 2), RULES, RunOptions(scope=scope))) == 1
