"""A plan becomes governed by the ruleset that ships, figure by figure."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.loader import default_ruleset
from app.domain.findings import Severity
from app.domain.plan import Complexity, Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import CiProfile, CiRules, PatchRules, Ruleset, RunScope, SafetyProfile
from app.domain.strategy import (
    Engine,
    NoModel,
    PhaseStrategy,
    RunOptions,
    Strategy,
    TooManyPhases,
    compile_strategy,
    planner_model,
)

BOTH = frozenset({"anthropic", "openai"})
RULES = default_ruleset()
EFFECTIVE = effective_rules(RULES, RepositorySettings())

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
) -> PlannedPhase:
    return PlannedPhase(
        phase_id=f"P{number}",
        tier_id=tier_id,
        phase_index=number - 1,
        name="Step",
        task_category=category,
        complexity=complexity,
    )


def plan(*phases: PlannedPhase) -> Plan:
    tiers = list(dict.fromkeys(one.tier_id for one in phases))
    return Plan(
        tiers=tuple(PlannedTier(tier_id=one, tier_index=index, name="Work") for index, one in enumerate(tiers)),
        phases=phases,
    )


def governed(
    *phases: PlannedPhase,
    options: RunOptions | None = None,
    settings: RepositorySettings | None = None,
    vendors: frozenset[str] = BOTH,
    ruleset: Ruleset = RULES,
    engine: Engine = Engine.AUTOPACK,
) -> Strategy:
    return compile_strategy(
        effective_rules(ruleset, settings or RepositorySettings()),
        plan(*(phases or (phase(),))),
        options or RunOptions(),
        vendors,
        engine=engine,
    )


def settings_of(**values: object) -> RepositorySettings:
    return RepositorySettings.model_validate(values)


def only(strategy: Strategy) -> PhaseStrategy:
    (one,) = strategy.phases
    return one


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_category_is_governed_as_the_table_says(row: list[str]) -> None:
    name, complexity, ci, builder_tries, auditor_tries, cap, auto_apply, profile, severity = row
    category = TaskCategory(name)
    written, compiled = RULES.categories[category], only(governed(phase(category=category)))
    assert written.complexity == complexity
    assert written.ci == compiled.ci_profile == ci
    assert written.builder_tries == compiled.builder_tries == compiled.max_ci_runs == int(builder_tries)
    assert written.auditor_tries == compiled.auditor_tries == int(auditor_tries)
    assert written.incident_token_cap == compiled.token_cap == int(cap.replace(",", ""))
    assert written.auto_apply == compiled.auto_apply == (auto_apply == "yes")
    assert written.auditor_profile == compiled.auditor_profile == (None if profile == "-" else profile)
    assert written.default_severity == compiled.default_severity == severity
    assert written.high_risk == compiled.high_risk == (category in HIGH_RISK)
    assert compiled.task_category is category


def test_the_table_names_every_category() -> None:
    assert {row[0] for row in ROWS} == {category.value for category in TaskCategory}
    assert set(RULES.categories) == set(TaskCategory)
    assert {category for category in TaskCategory if RULES.categories[category].high_risk} == set(HIGH_RISK)


def test_a_run_has_the_figures_of_the_ruleset() -> None:
    strategy = governed(phase(1), phase(2))
    assert (strategy.token_cap, strategy.max_phases, strategy.max_minutes) == (5_000_000, 25, 120)
    assert strategy.max_minor_issues == 6
    assert (strategy.safety_profile, strategy.run_scope) == (SafetyProfile.NORMAL, RunScope.MULTI_TIER)
    assert strategy.issue_token_cap == RULES.issue.tokens == 3 * RULES.run.tokens == 15_000_000
    assert strategy.external_deadline_minutes == RULES.external.deadline_minutes == 24 * 60


@pytest.mark.parametrize(
    ("complexity", "cap"), [(Complexity.LOW, 200_000), (Complexity.MEDIUM, 500_000), (Complexity.HIGH, 1_000_000)]
)
def test_complexity_caps_phase_without_category_cap(complexity: Complexity, cap: int) -> None:
    assert RULES.complexity_token_caps[complexity] == cap
    silent = settings_of(categories={"docs": {"incident_token_cap": None}})
    assert only(governed(phase(complexity=complexity), settings=silent)).token_cap == cap
    assert only(governed(phase(complexity=complexity))).token_cap == 200_000


def test_thresholds_are_those_of_the_ruleset() -> None:
    strategy = governed()
    assert strategy.warn_at == RULES.thresholds.warn_at == 0.8
    assert only(strategy).escalate_after == RULES.thresholds.repeats_before_escalation == 2
    assert RULES.run.minor_issues_per_phase == 3
    assert RULES.tier.major_issues == 0
    assert (RULES.tier.token_factor, RULES.tier.ci_runs_per_phase) == (3, 2)


PROFILES = """
normal          3 2 no  no  2 no
safety_critical 2 1 yes yes 1 yes
"""
"""Aging by runs and tiers, single_tier, strict CI everywhere, a tier's minor issues per phase, NOT_CLEAN is the end."""


@pytest.mark.parametrize("row", [line.split() for line in PROFILES.strip().splitlines()], ids=lambda row: row[0])
def test_every_safety_profile_is_as_the_specification_says(row: list[str]) -> None:
    name, runs, tiers, single, strict, minor, fails = row
    profile = SafetyProfile(name)
    written = RULES.profiles[profile]
    compiled = governed(phase(1), phase(2), options=RunOptions(safety=profile))
    assert written.aging_runs == compiled.aging_runs == int(runs)
    assert written.aging_tiers == compiled.aging_tiers == int(tiers)
    assert written.single_tier == compiled.run_scope.one_tier_each == (single == "yes")
    assert written.strict_ci_everywhere == (strict == "yes")
    assert {one.ci_profile for one in compiled.phases} == {CiProfile.STRICT if strict == "yes" else CiProfile.NORMAL}
    assert written.tier_minor_issues_per_phase == int(minor)
    assert compiled.of_tier("T1").max_minor_issues == 2 * int(minor)
    assert written.not_clean_fails_run == compiled.not_clean_fails_run == (fails == "yes")


def test_every_safety_profile_is_in_that_table() -> None:
    assert {line.split()[0] for line in PROFILES.strip().splitlines()} == set(SafetyProfile) == set(RULES.profiles)


@pytest.mark.parametrize(
    ("scope", "one_each"), [(RunScope.MULTI_TIER, False), (RunScope.INCREMENTAL, False), (RunScope.SINGLE_TIER, True)]
)
def test_scope_decides_the_number_of_tiers(scope: RunScope, one_each: bool) -> None:
    strategy = governed(options=RunOptions(scope=scope))
    assert strategy.run_scope is scope
    assert strategy.run_scope.one_tier_each is one_each
    assert governed(settings=settings_of(scope=scope)).run_scope is scope


def test_a_tiers_caps_are_sums_over_its_phases() -> None:
    strategy = governed(
        phase(1, TaskCategory.DOCS), phase(2, TaskCategory.TESTS), phase(3, TaskCategory.DEBT_CLEANUP, tier_id="T2")
    )
    first, second = strategy.of_tier("T1"), strategy.of_tier("T2")
    assert (first.token_cap, first.max_ci_runs, first.max_minor_issues) == (3 * (200_000 + 300_000), 4, 4)
    assert (second.token_cap, second.max_ci_runs, second.max_minor_issues) == (3 * 400_000, 2, 2)
    assert first.max_major_issues == second.max_major_issues == 0
    assert strategy.max_ci_runs == 6


def test_safety_critical_is_stricter_everywhere() -> None:
    strategy = governed(phase(1), phase(2), options=RunOptions(safety=SafetyProfile.SAFETY_CRITICAL))
    assert {one.ci_profile for one in strategy.phases} == {CiProfile.STRICT}
    assert strategy.of_tier("T1").max_minor_issues == 2
    assert strategy.run_scope is RunScope.SINGLE_TIER
    assert strategy.safety_profile is SafetyProfile.SAFETY_CRITICAL


def test_safety_critical_cannot_be_widened_to_several_tiers() -> None:
    options = RunOptions(safety=SafetyProfile.SAFETY_CRITICAL, scope=RunScope.MULTI_TIER)
    assert governed(options=options).run_scope is RunScope.SINGLE_TIER


def test_settings_can_make_repository_safety_critical() -> None:
    strategy = governed(settings=RepositorySettings(safety=SafetyProfile.SAFETY_CRITICAL))
    assert strategy.safety_profile is SafetyProfile.SAFETY_CRITICAL


def test_request_beats_repository_beats_ruleset() -> None:
    settings = RepositorySettings(
        tokens=1_000_000, phases=3, minutes=10, ci=CiRules(deadline_minutes=5), patch=PatchRules(max_files=2)
    )
    by_repository = governed(settings=settings)
    assert (by_repository.token_cap, by_repository.max_phases, by_repository.max_minutes) == (1_000_000, 3, 10)
    assert (by_repository.ci.deadline_minutes, by_repository.patch.max_files) == (5, 2)
    assert (by_repository.ci.reruns, by_repository.patch.max_lines) == (RULES.ci.reruns, RULES.patch.max_lines)
    asked = governed(settings=settings, options=RunOptions(tokens=70_000, phases=4, minutes=2.5))
    assert (asked.token_cap, asked.max_phases, asked.max_minutes) == (70_000, 4, 2.5)
    assert governed(options=RunOptions(scope=RunScope.SINGLE_TIER)).run_scope is RunScope.SINGLE_TIER


def test_large_plan_is_refused_with_figures() -> None:
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
def test_auditor_is_of_another_vendor(category: TaskCategory) -> None:
    strategy = governed(phase(category=category))
    assert strategy.cross_vendor
    assert only(strategy).auditor.vendor != only(strategy).builder.vendor


def test_no_model_is_listed_twice_for_the_auditor() -> None:
    ids = only(governed(phase(complexity=Complexity.HIGH))).auditor.ids
    assert len(ids) == len(set(ids))


def test_single_key_uses_same_vendor_auditor() -> None:
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


def test_requested_model_without_key_is_refused() -> None:
    with pytest.raises(NoModel, match="azure:own was requested, but no key for azure"):
        governed(options=RunOptions(model="azure:own"))


def test_planner_uses_standard_or_requested_model() -> None:
    assert planner_model(EFFECTIVE, RunOptions(), BOTH).first == RULES.models.standard[0]
    asked = planner_model(
        effective_rules(RULES, RepositorySettings(model="openai:y")), RunOptions(model="openai:x"), BOTH
    )
    assert asked.ids[0] == "openai:x"
    assert "openai:y" not in asked.ids


# The external engine


def test_who_posts_results_needs_no_model_of_ours() -> None:
    strategy = governed(phase(1), phase(2), vendors=frozenset(), engine=Engine.EXTERNAL)
    assert strategy.engine is Engine.EXTERNAL
    named = {*strategy.planner.ids, *(name for one in strategy.phases for name in (*one.builder.ids, *one.auditor.ids))}
    assert named == {"external"}
    assert not strategy.cross_vendor


def test_our_auditor_is_there_for_what_others_built() -> None:
    strategy = governed(phase(complexity=Complexity.HIGH), vendors=frozenset({"openai"}), engine=Engine.EXTERNAL)
    assert only(strategy).builder.ids == strategy.planner.ids == ("external",)
    assert only(strategy).auditor.ids == tuple(name for name in RULES.models.strong if name.startswith("openai:"))
    assert strategy.cross_vendor


def test_external_builder_ignores_the_requested_model() -> None:
    strategy = governed(options=RunOptions(model="azure:own"), engine=Engine.EXTERNAL)
    assert only(strategy).builder.ids == ("external",)


def test_unlisted_vendor_never_audits() -> None:
    strategy = governed(vendors=frozenset({"elsewhere"}), engine=Engine.EXTERNAL)
    assert only(strategy).auditor.ids == ("external",)


# Promotion


@pytest.mark.parametrize(("when_absent", "required"), [("report", True), ("fail", True), ("allow", False)])
def test_promotion_needs_ci_unless_its_absence_is_allowed(when_absent: str, required: bool) -> None:
    promotion = governed(settings=settings_of(ci={"when_absent": when_absent})).promotion
    assert promotion.require_ci is required
    assert promotion.require_audit
    assert not promotion.require_other_vendor
    assert not promotion.allow_skipped


def test_a_repository_may_demand_more_for_promotion() -> None:
    promotion = governed(settings=settings_of(promotion={"require_other_vendor": True})).promotion
    assert promotion.require_other_vendor
    assert promotion.require_audit


# As a value


def test_equal_input_gives_equal_stored_strategy() -> None:
    once, twice = (governed(phase(1), phase(2, TaskCategory.TESTS)) for _ in range(2))
    assert once == twice
    assert once.model_dump_json() == twice.model_dump_json()
    assert Strategy.model_validate(once.model_dump(mode="json")) == once


def test_phases_and_tiers_are_found_by_id() -> None:
    strategy = governed(phase(1), phase(2, TaskCategory.SECURITY_AUTH_CHANGE, tier_id="T2"))
    assert strategy.of_phase("P2").default_severity is Severity.MAJOR
    assert strategy.of_tier("T2").tier_id == "T2"


# For any plan and any settings

CATEGORY, COMPLEXITY = st.sampled_from(TaskCategory), st.sampled_from(Complexity)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    tiers = [f"T{number}" for number in range(1, draw(st.integers(1, 4)) + 1)]
    drawn = draw(
        st.lists(st.tuples(st.sampled_from(tiers), CATEGORY, COMPLEXITY), min_size=1, max_size=RULES.run.phases)
    )
    return Plan(
        tiers=tuple(PlannedTier(tier_id=one, tier_index=index, name="Work") for index, one in enumerate(tiers)),
        phases=tuple(
            phase(number, category, complexity, tier_id)
            for number, (tier_id, category, complexity) in enumerate(drawn, 1)
        ),
    )


@st.composite
def any_settings(draw: st.DrawFn) -> RepositorySettings:
    tokens = st.integers(1, 10**9)
    values = {
        "tokens": tokens,
        "minutes": st.floats(0.001, 10_000),
        "safety": st.sampled_from(SafetyProfile),
        "scope": st.sampled_from(RunScope),
        "complexity_token_caps": st.dictionaries(COMPLEXITY, tokens),
        "categories": st.dictionaries(
            CATEGORY,
            st.fixed_dictionaries(
                {},
                optional={
                    "incident_token_cap": st.none() | tokens,
                    "builder_tries": st.integers(1, 10),
                    "auditor_tries": st.integers(1, 10),
                },
            ),
        ),
        "tier": st.fixed_dictionaries(
            {},
            optional={
                "token_factor": st.floats(0.001, 1000),
                "ci_runs_per_phase": st.floats(0.001, 1000),
                "major_issues": st.integers(0, 9),
            },
        ),
        "run": st.fixed_dictionaries({}, optional={"minor_issues_per_phase": st.integers(0, 1000)}),
        "thresholds": st.fixed_dictionaries({}, optional={"warn_at": st.floats(0.01, 1)}),
        "issue": st.fixed_dictionaries({"tokens": tokens}),
    }
    return RepositorySettings.model_validate(draw(st.fixed_dictionaries({}, optional=values)))


@given(plan=plans(), settings=any_settings(), engine=st.sampled_from(Engine))
def test_budgets_are_never_negative_and_tiers_are_sums(
    plan: Plan, settings: RepositorySettings, engine: Engine
) -> None:
    rules = effective_rules(RULES, settings)
    strategy = compile_strategy(rules, plan, RunOptions(), BOTH, engine=engine)
    assert strategy.token_cap > 0
    assert strategy.issue_token_cap > 0
    assert all(one.token_cap > 0 and one.max_ci_runs > 0 for one in strategy.phases)
    assert [one.phase_id for one in strategy.phases] == [one.phase_id for one in plan.phases]
    for tier in strategy.tiers:
        held = [strategy.of_phase(one.phase_id) for one in plan.phases_of(tier.tier_id)]
        assert tier.token_cap == int(rules.tier.token_factor * sum(one.token_cap for one in held)) >= 0
        assert tier.max_ci_runs == int(rules.tier.ci_runs_per_phase * len(held)) >= 0
        assert 0 <= tier.max_minor_issues <= 2 * len(held)
        assert tier.max_major_issues >= 0
    assert strategy.max_ci_runs == sum(tier.max_ci_runs for tier in strategy.tiers)
    assert strategy.max_minor_issues == rules.run.minor_issues_per_phase * len(plan.phases) >= 0


@given(plan=plans(), settings=any_settings(), engine=st.sampled_from(Engine))
def test_equal_input_always_gives_an_equal_strategy(plan: Plan, settings: RepositorySettings, engine: Engine) -> None:
    once = compile_strategy(effective_rules(RULES, settings), plan, RunOptions(), BOTH, engine=engine)
    again = compile_strategy(
        effective_rules(
            Ruleset.model_validate_json(RULES.model_dump_json()),
            RepositorySettings.model_validate_json(settings.model_dump_json(exclude_unset=True)),
        ),
        Plan.model_validate_json(plan.model_dump_json()),
        RunOptions(),
        frozenset({"openai", "anthropic"}),
        engine=engine,
    )
    assert once == again
    assert once.model_dump_json() == again.model_dump_json()
    assert Strategy.model_validate_json(once.model_dump_json()) == once


def test_searched_strategy_stays_the_same() -> None:
    """It is compared and stored: what is remembered for searching is no part of it."""
    plan = Plan(tiers=(PlannedTier(tier_id="T1", tier_index=0, name="Base"),), phases=(phase(1), phase(2)))
    fresh, searched = (compile_strategy(EFFECTIVE, plan, RunOptions(), BOTH) for _ in range(2))
    assert [searched.of_phase(one).phase_id for one in ("P2", "P1")] == ["P2", "P1"]
    assert searched.of_tier("T1") == fresh.tiers[0]
    assert searched == fresh
    assert searched.model_dump_json() == fresh.model_dump_json()
    assert pickle.loads(pickle.dumps(searched)).of_phase("P2") == fresh.of_phase("P2")
