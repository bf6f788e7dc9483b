"""What a repository changes of the ruleset is merged into it, and nothing loosens what is always protected."""

import pickle

import pytest
from pydantic import ValidationError

from app.config.loader import default_ruleset
from app.domain.findings import Severity
from app.domain.patch_policy import ALWAYS_PROTECTED, protected
from app.domain.plan import Complexity, TaskCategory
from app.domain.repository_rules import EffectiveRules, RepositorySettings, effective_rules
from app.domain.ruleset import CiProfile, OutputTokens, PatchRules, Ruleset, RunScope, SafetyProfile

RULES = default_ruleset()


def merged(**values: object) -> EffectiveRules:
    return effective_rules(RULES, RepositorySettings.model_validate(values))


def test_without_settings_the_ruleset_stays_as_it_is() -> None:
    assert merged().model_dump(include=set(Ruleset.model_fields)) == RULES.model_dump()


def test_a_category_is_changed_key_by_key() -> None:
    rules = merged(
        categories={
            "docs": {"builder_tries": 1, "auditor_profile": "schema_review", "model": "openai:x"},
            "tests": {"ci": "strict", "default_severity": "major", "auto_apply": False, "high_risk": True},
        }
    )
    docs, tests = rules.categories[TaskCategory.DOCS], rules.categories[TaskCategory.TESTS]
    before = RULES.categories[TaskCategory.DOCS]
    assert docs == before.model_copy(
        update={"builder_tries": 1, "auditor_profile": "schema_review", "model": "openai:x"}
    )
    assert (tests.ci, tests.default_severity, tests.auto_apply, tests.high_risk) == (
        CiProfile.STRICT,
        Severity.MAJOR,
        False,
        True,
    )
    others = {category for category in TaskCategory if category not in {TaskCategory.DOCS, TaskCategory.TESTS}}
    assert all(rules.categories[one] == RULES.categories[one] for one in others)


def test_nullable_key_accepts_null() -> None:
    rules = merged(categories={"docs": {"incident_token_cap": None}, "debt_cleanup": {"auditor_profile": None}})
    assert rules.categories[TaskCategory.DOCS].incident_token_cap is None
    assert rules.categories[TaskCategory.DEBT_CLEANUP].auditor_profile is None
    with pytest.raises(ValidationError):
        merged(categories={"docs": {"builder_tries": None}})


def test_every_part_of_a_ruleset_can_be_changed() -> None:
    rules = merged(
        complexity_token_caps={"low": 7},
        run={"tokens": 1, "minor_issues_per_phase": 9},
        tier={"token_factor": 1.5},
        issue={"tokens": 42},
        scope="single_tier",
        profiles={"safety_critical": {"aging_runs": 1}},
        thresholds={"warn_at": 0.5},
        ci={"reruns": 0},
        patch={"max_files": 3},
        promotion={"allow_skipped": True},
        external={"deadline_minutes": 5},
        models={"light": ["local:small"], "by_complexity": {"high": "light"}},
        output_tokens={"builder": 1000},
        requests_per_attempt=5,
        provider_pauses_minutes=[1],
    )
    assert rules.complexity_token_caps == RULES.complexity_token_caps | {Complexity.LOW: 7}
    assert rules.run == RULES.run.model_copy(update={"tokens": 1, "minor_issues_per_phase": 9})
    assert rules.tier == RULES.tier.model_copy(update={"token_factor": 1.5})
    assert rules.issue.tokens == 42
    assert rules.scope is RunScope.SINGLE_TIER
    critical = RULES.profiles[SafetyProfile.SAFETY_CRITICAL]
    assert rules.profiles == RULES.profiles | {
        SafetyProfile.SAFETY_CRITICAL: critical.model_copy(update={"aging_runs": 1})
    }
    assert rules.thresholds == RULES.thresholds.model_copy(update={"warn_at": 0.5})
    assert rules.ci == RULES.ci.model_copy(update={"reruns": 0})
    assert rules.patch == RULES.patch.model_copy(update={"max_files": 3})
    assert rules.promotion == RULES.promotion.model_copy(update={"allow_skipped": True})
    assert rules.external.deadline_minutes == 5
    assert (rules.models.light, rules.models.strong) == (("local:small",), RULES.models.strong)
    assert rules.models.by_complexity == RULES.models.by_complexity | {Complexity.HIGH: "light"}
    assert rules.output_tokens == OutputTokens(builder=1000)
    assert (rules.requests_per_attempt, rules.provider_pauses_minutes) == (5, (1,))


def test_settings_cover_the_whole_ruleset() -> None:
    assert set(Ruleset.model_fields) <= set(RepositorySettings.model_fields)


def test_the_short_keys_outweigh_the_long_ones() -> None:
    rules = merged(tokens=5, phases=6, run={"tokens": 50, "phases": 60, "minutes": 70})
    assert (rules.run.tokens, rules.run.phases, rules.run.minutes) == (5, 6, 70)


@pytest.mark.parametrize("path", ALWAYS_PROTECTED)
def test_no_settings_loosen_what_is_always_protected(path: str) -> None:
    file = path.replace("**", "x.yml")
    assert protected(file, merged().patch.protected_paths) is not None
    assert protected(file, merged(patch={"protected_paths": []}).patch.protected_paths) is not None
    assert protected(file, merged(patch={"protected_paths": ["docs/**"]}).patch.protected_paths) is not None


@pytest.mark.parametrize("glob", ["!.github/workflows/**", "!.github/autopack.yml"])
def test_a_path_cannot_be_taken_out_of_protection(glob: str) -> None:
    with pytest.raises(ValidationError, match="only be protected"):
        merged(patch={"protected_paths": [glob]})


def test_a_repository_adds_to_what_the_ruleset_protects() -> None:
    base = RULES.model_copy(update={"patch": PatchRules(protected_paths=("infra/**", "*.lock"))})
    settings = RepositorySettings.model_validate({"patch": {"protected_paths": ["deploy/**", "*.lock"]}})
    assert effective_rules(base, settings).patch.protected_paths == ("infra/**", "*.lock", "deploy/**")


def test_ruleset_without_a_row_is_refused() -> None:
    data = RULES.model_dump()
    del data["categories"][TaskCategory.DOCS]
    with pytest.raises(ValidationError, match="no entry for docs"):
        Ruleset.model_validate(data)


def test_stored_settings_act_the_same() -> None:
    settings = RepositorySettings.model_validate({"ci": {"reruns": 1}, "categories": {"docs": {"builder_tries": 1}}})
    stored = pickle.loads(pickle.dumps(settings))
    assert effective_rules(RULES, stored) == effective_rules(RULES, settings) != merged()
