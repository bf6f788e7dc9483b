"""A plan becomes governed by the ruleset that ships, figure by figure."""

import pytest

from app.domain.findings import Severity
from app.domain.plan import Complexity, Phase, Plan, TaskCategory, Tier
from app.domain.ruleset import (
    CiProfile,
    CiRules,
    PatchRules,
    RepositorySettings,
    Ruleset,
    RunScope,
    SafetyProfile,
)
from app.domain.strategy import (
    NoModel,
    PhaseStrategy,
    RunOptions,
    Strategy,
    TooManyPhases,
    compile_strategy,
    planner_model,
)
from app.lifecycle.rules import default_ruleset

BOTH = frozenset({"anthropic", "openai"})
RULES = default_ruleset()

CATEGORIES = """
cross_cutting_refactor     high   strict 2 2 1,000,000 no  refactor_review             major
index_registry_change      high   strict 2 2   800,000 no  index_review                major
schema_contract_change     high   strict 2 3 1,000,000 no  schema_review               major
bulk_multi_file_operation  high   strict 1 2 1,500,000 no  bulk_review                 major
security_auth_change       high   strict 2 3   800,000 no  security_review             major
external_feature_reuse     high   strict 2 2 1,000,000 no  external_code_review        major
external_code_intake       high   strict 2 3 1,200,000 no  license_and_security_review major
feature_scaffolding        medium normal 3 2   500,000 yes -                           minor
docs                       low    normal 2 1   200,000 yes -                           minor
tests                      low    normal 3 1   300,000 yes -                           minor
debt_cleanup               medium normal 2 1   400,000 no  debt_cleanup_review         minor
"""
ROWS = [line.split() for line in CATEGORIES.strip().splitlines()]
HIGH_RISK = [TaskCategory(row[0]) for row in ROWS if row[1] == "high"]


def phase(
    number: int = 1,
    category: TaskCategory = TaskCategory.DOCS,
    complexity: Complexity = Complexity.LOW,
    tier_id: str = "T1",
) -> Phase:
    return Phase(
        phase_id=f"P{number}",
        tier_id=tier_id,
        phase_index=number - 1,
        name="Step",
        task_category=category,
        complexity=complexity,
    )


def plan(*phases: Phase) -> Plan:
    tiers = list(dict.fromkeys(one.tier_id for one in phases))
    return Plan(
        tiers=tuple(Tier(tier_id=one, tier_index=index, name="Work") for index, one in enumerate(tiers)), phases=phases
    )


def governed(
    *phases: Phase,
    options: RunOptions | None = None,
    settings: RepositorySettings | None = None,
    vendors: frozenset[str] = BOTH,
    ruleset: Ruleset = RULES,
) -> Strategy:
    return compile_strategy(
        ruleset, plan(*(phases or (phase(),))), options or RunOptions(), settings or RepositorySettings(), vendors
    )


def only(strategy: Strategy) -> PhaseStrategy:
    (one,) = strategy.phases
    return one


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_category_is_governed_as_the_table_says(row: list[str]) -> None:
    name, complexity, ci, builder_tries, auditor_tries, cap, auto_apply, profile, severity = row
    category = TaskCategory(name)
    rules = only(governed(phase(category=category)))
    assert RULES.categories[category].complexity == complexity
    assert rules.ci_profile == ci
    assert (rules.builder_tries, rules.auditor_tries) == (int(builder_tries), int(auditor_tries))
    assert rules.token_cap == int(cap.replace(",", ""))
    assert rules.auto_apply == (auto_apply == "yes")
    assert rules.auditor_profile == (None if profile == "-" else profile)
    assert rules.default_severity == severity


def test_the_table_names_every_category() -> None:
    assert {row[0] for row in ROWS} == {category.value for category in TaskCategory}
    assert set(RULES.categories) == set(TaskCategory)
    assert {category for category in TaskCategory if RULES.categories[category].high_risk} == set(HIGH_RISK)


def test_a_run_has_the_figures_of_the_ruleset() -> None:
    strategy = governed(phase(1), phase(2))
    assert (strategy.token_cap, strategy.max_phases, strategy.max_minutes) == (5_000_000, 25, 120)
    assert strategy.max_minor_issues == 6
    assert (strategy.safety_profile, strategy.run_scope) == (SafetyProfile.NORMAL, RunScope.MULTI_TIER)
    assert RULES.complexity_token_caps == {
        Complexity.LOW: 200_000,
        Complexity.MEDIUM: 500_000,
        Complexity.HIGH: 1_000_000,
    }


def test_a_tiers_caps_are_sums_over_its_phases() -> None:
    strategy = governed(
        phase(1, TaskCategory.DOCS), phase(2, TaskCategory.TESTS), phase(3, TaskCategory.DEBT_CLEANUP, tier_id="T2")
    )
    first, second = strategy.of_tier("T1"), strategy.of_tier("T2")
    assert (first.token_cap, first.max_ci_runs, first.max_minor_issues) == (3 * (200_000 + 300_000), 4, 4)
    assert (second.token_cap, second.max_ci_runs, second.max_minor_issues) == (3 * 400_000, 2, 2)
    assert first.max_major_issues == second.max_major_issues == 0


def test_safety_critical_is_stricter_everywhere() -> None:
    strategy = governed(phase(1), phase(2), options=RunOptions(safety=SafetyProfile.SAFETY_CRITICAL))
    assert {one.ci_profile for one in strategy.phases} == {CiProfile.STRICT}
    assert strategy.of_tier("T1").max_minor_issues == 2
    assert strategy.run_scope is RunScope.SINGLE_TIER
    assert strategy.safety_profile is SafetyProfile.SAFETY_CRITICAL
    assert RULES.profiles[SafetyProfile.SAFETY_CRITICAL].not_clean_fails_run
    assert not RULES.profiles[SafetyProfile.NORMAL].not_clean_fails_run


def test_safety_critical_cannot_be_widened_to_several_tiers() -> None:
    options = RunOptions(safety=SafetyProfile.SAFETY_CRITICAL, scope=RunScope.MULTI_TIER)
    assert governed(options=options).run_scope is RunScope.SINGLE_TIER


def test_a_repository_may_be_safety_critical_by_its_settings() -> None:
    strategy = governed(settings=RepositorySettings(safety=SafetyProfile.SAFETY_CRITICAL))
    assert strategy.safety_profile is SafetyProfile.SAFETY_CRITICAL


def test_the_request_outweighs_the_repository_and_that_the_ruleset() -> None:
    settings = RepositorySettings(
        tokens=1_000_000, phases=3, minutes=10, ci=CiRules(deadline_minutes=5), patch=PatchRules(max_files=2)
    )
    by_repository = governed(settings=settings)
    assert (by_repository.token_cap, by_repository.max_phases, by_repository.max_minutes) == (1_000_000, 3, 10)
    assert (by_repository.ci.deadline_minutes, by_repository.patch.max_files) == (5, 2)
    assert governed(settings=settings, options=RunOptions(tokens=70_000)).token_cap == 70_000
    assert governed(options=RunOptions(scope=RunScope.SINGLE_TIER)).run_scope is RunScope.SINGLE_TIER


def test_a_plan_larger_than_a_run_is_refused_with_its_figures() -> None:
    assert len(governed(*map(phase, range(1, 26))).phases) == 25
    with pytest.raises(TooManyPhases, match="the plan has 26 phases, a run may have 25"):
        governed(*map(phase, range(1, 27)))
    with pytest.raises(TooManyPhases, match="a run may have 1"):
        governed(phase(1), phase(2), settings=RepositorySettings(phases=1))


# Models


@pytest.mark.parametrize(
    ("complexity", "strength"),
    [
        (Complexity.LOW, RULES.models.light),
        (Complexity.MEDIUM, RULES.models.standard),
        (Complexity.HIGH, RULES.models.strong),
    ],
)
def test_complexity_chooses_the_model(complexity: Complexity, strength: tuple[str, ...]) -> None:
    one = only(governed(phase(complexity=complexity)))
    assert one.builder.first == next(name for name in strength if name.split(":")[0] in BOTH)
    assert one.builder.ids == tuple(name for name in strength if name.split(":")[0] in BOTH)


@pytest.mark.parametrize("category", HIGH_RISK)
def test_a_high_risk_category_always_takes_the_strongest(category: TaskCategory) -> None:
    one = only(governed(phase(category=category, complexity=Complexity.LOW)))
    assert one.builder.first == RULES.models.strong[0]


def test_a_category_may_override_the_model() -> None:
    rules = RULES.categories[TaskCategory.DOCS].model_copy(update={"model": "openai:gpt-6.1-terra"})
    ruleset = RULES.model_copy(update={"categories": {**RULES.categories, TaskCategory.DOCS: rules}})
    assert only(governed(ruleset=ruleset)).builder.first == "openai:gpt-6.1-terra"


@pytest.mark.parametrize("category", list(TaskCategory))
def test_the_auditor_is_of_another_vendor_than_the_builder(category: TaskCategory) -> None:
    strategy = governed(phase(category=category))
    assert strategy.cross_vendor
    assert only(strategy).auditor.vendor != only(strategy).builder.vendor


def test_no_model_is_listed_twice_for_the_auditor() -> None:
    ids = only(governed(phase(complexity=Complexity.HIGH))).auditor.ids
    assert len(ids) == len(set(ids))


def test_with_one_key_the_auditor_is_of_the_same_vendor_and_that_is_said() -> None:
    strategy = governed(vendors=frozenset({"openai"}))
    one = only(strategy)
    assert not strategy.cross_vendor
    assert one.builder.vendor == one.auditor.vendor == "openai"
    assert all(name.startswith("openai:") for name in (*one.builder.ids, *one.auditor.ids))


def test_only_vendors_with_a_key_are_ever_named() -> None:
    strategy = governed(*(phase(n, category) for n, category in enumerate(TaskCategory, 1)))
    named = {name for one in strategy.phases for name in (*one.builder.ids, *one.auditor.ids, *strategy.planner.ids)}
    assert {name.split(":")[0] for name in named} == BOTH


def test_without_any_key_there_is_no_model() -> None:
    with pytest.raises(NoModel, match="anthropic"):
        governed(vendors=frozenset())


def test_a_model_that_was_asked_for_comes_first() -> None:
    one = only(governed(options=RunOptions(model="openai:gpt-6-luna")))
    assert one.builder.first == "openai:gpt-6-luna"
    assert one.auditor.vendor == "anthropic"
    assert one.builder.ids.count("openai:gpt-6-luna") == 1


def test_a_model_that_was_asked_for_without_a_key_is_refused_not_replaced() -> None:
    with pytest.raises(NoModel, match="azure:own was asked for, but no key for azure"):
        governed(options=RunOptions(model="azure:own"))


def test_the_planner_takes_the_standard_model_or_the_one_asked_for() -> None:
    assert planner_model(RULES, RunOptions(), RepositorySettings(), BOTH).first == RULES.models.standard[0]
    asked = planner_model(RULES, RunOptions(model="openai:x"), RepositorySettings(model="openai:y"), BOTH)
    assert asked.ids[0] == "openai:x"
    assert "openai:y" not in asked.ids


# As a value


def test_equal_input_gives_an_equal_strategy_that_survives_storage() -> None:
    once, twice = (governed(phase(1), phase(2, TaskCategory.TESTS)) for _ in range(2))
    assert once == twice
    assert once.model_dump_json() == twice.model_dump_json()
    assert Strategy.model_validate(once.model_dump(mode="json")) == once


def test_phases_and_tiers_are_found_by_id() -> None:
    strategy = governed(phase(1), phase(2, TaskCategory.SECURITY_AUTH_CHANGE, tier_id="T2"))
    assert strategy.of_phase("P2").default_severity is Severity.MAJOR
    assert strategy.of_tier("T2").tier_id == "T2"
