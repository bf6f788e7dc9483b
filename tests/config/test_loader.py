"""A settings file that does not fit is refused with the line to fix; what ships fits."""

import json

import jsonschema_rs
import pytest
import yaml

from app.config.loader import FOLDER, SCHEMAS, default_ruleset, parse_plan, parse_ruleset, parse_settings, schema_text
from app.config.yaml_errors import SettingsError
from app.domain.plan import Complexity, TaskCategory
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import CiRules, CommandRules, PatchRules, Ruleset, RunScope, SafetyProfile
from app.domain.strategy import Engine, RunOptions


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        parse_settings(text)
    return str(refused.value).splitlines()


def plan_problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        parse_plan(text)
    return str(refused.value).splitlines()


def test_the_ruleset_that_ships_is_whole() -> None:
    ruleset = default_ruleset()
    assert set(ruleset.categories) == set(TaskCategory)
    assert set(ruleset.profiles) == set(SafetyProfile)
    assert ruleset.models.strong
    assert Ruleset.model_validate_json(ruleset.model_dump_json()) == ruleset


def test_a_ruleset_with_an_unknown_key_is_refused() -> None:
    data = yaml.safe_load((FOLDER / "default.yaml").read_text(encoding="utf-8"))
    models = yaml.safe_load((FOLDER / "models.yaml").read_text(encoding="utf-8"))
    assert Ruleset.model_validate({**data, "models": models}) == default_ruleset()
    with pytest.raises(ValueError, match="token_caps"):
        Ruleset.model_validate({**data, "models": models, "token_caps": 1})


@pytest.mark.parametrize("empty", ["", "\n\n", "# nothing yet\n", "---\n", "null\n", "{}\n"])
def test_an_empty_file_is_all_defaults(empty: str) -> None:
    assert parse_settings(empty) == RepositorySettings()


def test_everything_can_be_set() -> None:
    text = """\
tokens: 1000000
phases: 5
minutes: 30.5
model: anthropic:claude-sonnet-5-5
safety: safety_critical
model_timeout_seconds: 60
ci: {grace_seconds: 5, deadline_minutes: 10, when_absent: allow}
patch:
  max_files: 10
  protected_paths:
    - infra/**
    - "*.lock"
commands: {allowed: false}
"""
    assert parse_settings(text) == RepositorySettings(
        tokens=1_000_000,
        phases=5,
        minutes=30.5,
        model="anthropic:claude-sonnet-5-5",
        safety=SafetyProfile.SAFETY_CRITICAL,
        model_timeout_seconds=60,
        ci=CiRules(grace_seconds=5, deadline_minutes=10, when_absent="allow"),
        patch=PatchRules(max_files=10, protected_paths=("infra/**", "*.lock")),
        commands=CommandRules(allowed=False),
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("# first\ntokens: 0\n", "line 2: tokens: "),
        ("\n\n\ntokens: lots\n", "line 4: tokens: "),
        ("phases: 5\n\ntoken: 9\n", "line 3: token: unknown key; did you mean `tokens`?"),
        ("ci:\n  grace_seconds: 1\n  deadline_minutes: -1\n", "line 3: ci.deadline_minutes: "),
        ("ci:\n  grace_seconds: 1\n  when_absent: shrug\n", "line 3: ci.when_absent: "),
        (
            "patch:\n  max_files: 3\n  # more\n  max_flies: 4\n",
            "line 4: patch.max_flies: unknown key; did you mean `max_files`?",
        ),
        ("patch:\n  protected_paths:\n    - a\n    - [b]\n", "line 4: patch.protected_paths.1: "),
        ("patch:\n  protected_paths: a\n", "line 2: patch.protected_paths: "),
        ("patch: {max_files: 3,\n  max_lines: x}\n", "line 2: patch.max_lines: "),
        ("phases: 3\nci: 4\n", "line 2: ci: "),
        ("phases: 3\nsafety: critical\n", "line 2: safety: "),
        ("phases: 3\n7: seven\n", "line 2: "),
        (
            "categories:\n  docs:\n    bulder_tries: 1\n",
            "line 3: categories.docs.bulder_tries: unknown key; did you mean ",
        ),
        (
            "categories:\n  docz: {builder_tries: 1}\n",
            "line 2: categories.docz: 'docz' is not known here; did you mean `d",
        ),
        (
            "categories:\n  docs:\n    auditor_profile: securty_review\n",
            "line 3: categories.docs.auditor_profile: 'securty_review' is not known here; did you mean `security_rev",
        ),
        ("safety: critical\n", "line 1: safety: 'critical' is not known here; did you mean `safety_critical`?"),
        (
            "ci: {when_absent: shrug}\n",
            "line 1: ci.when_absent: 'shrug' is not known here; allowed: report, allow, fail",
        ),
        ("commands:\n  x: 1\n", "line 2: commands.x: unknown key; allowed: allowed, timeout_seconds"),
        ("run:\n  tokens:\n", "line 2: run.tokens: "),
        ("tokens: 1\nci: {reruns: 1}\ntokens: 2\n", "line 3: tokens: given twice"),
        ("model: gpt\n", "line 1: model: a model is named `vendor:model`"),
        ("models:\n  light: []\n", "line 2: models.light: at least one is needed"),
        ("models:\n  light: [a:b, c]\n", "line 2: models.light.1: a model is named"),
        (
            "patch:\n  protected_paths: ['!.github/workflows/**']\n",
            "line 2: patch.protected_paths.0: a path can only be",
        ),
        ("profiles:\n  normal: 3\n", "line 2: profiles.normal: a block of keys is expected (strict_ci_everywhere, "),
    ],
)
def test_wrong_value_is_named_with_line(text: str, start: str) -> None:
    (only,) = problems(text)
    assert only.startswith(start)


def test_every_problem_is_told_at_once() -> None:
    found = problems("tokens: 0\nphases: 2\nminutes: never\nci:\n  wait: 1\n")
    assert sorted(one.split(":")[0] for one in found) == ["line 1", "line 3", "line 5"]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("tokens: 5\n  phases: 3\n", "line 2: not valid YAML: "),
        ("tokens: 5\nci: {grace_seconds: 1\n", "line 3: not valid YAML: "),
        ("tokens: 5\n\tphases: 3\n", "line 2: not valid YAML: "),
        ("a: 1\n---\nb: 2\n", "line 2: not valid YAML: "),
        ("tokens: 5\nmodel: !!python/object/apply:os.getcwd []\n", "line 2: not valid YAML: "),
        ("model: *nothing\n", "line 1: not valid YAML: "),
        ("model: a\x00b\n", "not valid YAML: "),
        ("tokens: 5\nmodel: 2026-99-99\n", "not valid YAML: "),
        ("[" * 5_000, "not valid YAML: "),
    ],
)
def test_invalid_yaml_is_named_with_line(text: str, start: str) -> None:
    assert problems(text)[0].startswith(start)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "42\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    (only,) = problems(text)
    assert only.startswith("line 1: ")


def test_file_may_be_json() -> None:
    for text in ('{"tokens": 5}', "{tokens: 5}", '{"tokens": 5, }', '{\n\t"tokens": 5\n}'):
        assert parse_settings(text) == RepositorySettings(tokens=5)


# Rulesets


def test_a_ruleset_may_leave_out_its_models() -> None:
    text = (FOLDER / "default.yaml").read_text(encoding="utf-8")
    assert parse_ruleset(text) == default_ruleset()
    own = parse_ruleset(
        text + "models: {light: [local:a], standard: [local:b], strong: [local:c], by_complexity: "
        "{low: light, medium: light, high: strong}}\n"
    )
    assert own.models.vendors == {"local"}


def test_incomplete_ruleset_is_refused_by_name() -> None:
    with pytest.raises(SettingsError) as refused:
        parse_ruleset("run:\n  tokens: 5\n")
    assert "line 1: run.phases: missing" in str(refused.value)
    assert "line 1: categories: missing" in str(refused.value)


# Published schemas


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_what_the_model_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == schema_text(name)


def test_what_ships_fits_the_published_schema() -> None:
    schema = json.loads(schema_text("schema.json"))
    rules = yaml.safe_load((FOLDER / "default.yaml").read_text(encoding="utf-8"))
    models = yaml.safe_load((FOLDER / "models.yaml").read_text(encoding="utf-8"))
    jsonschema_rs.validate(schema, rules)
    jsonschema_rs.validate(schema, rules | {"models": models})
    assert not jsonschema_rs.is_valid(schema, rules | {"tokens": 1})
    assert not jsonschema_rs.is_valid(schema, {key: value for key, value in rules.items() if key != "run"})


@pytest.mark.parametrize(
    "text", ["{}", "tokens: 5\ncategories: {docs: {builder_tries: 1}}\nprofiles: {normal: {aging_runs: 5}}\n"]
)
def test_settings_that_fit_the_model_fit_the_schema(text: str) -> None:
    assert parse_settings(text)
    assert jsonschema_rs.is_valid(json.loads(schema_text("settings.schema.json")), yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    ["tokns: 5", "tokens: 0", "categories: {docs: {tries: 1}}", "categories: {x: {}}", "safety: none", "model: m"],
)
def test_model_and_schema_refuse_the_same(text: str) -> None:
    assert problems(text)
    assert not jsonschema_rs.is_valid(json.loads(schema_text("settings.schema.json")), yaml.safe_load(text))


# Plans

COMPLEXITIES = effective_rules(default_ruleset(), RepositorySettings()).complexities
BODY = """\
{
\t"run": {"run_id": "r1", "safety_profile": "safety_critical", "token_cap": 70000, "max_phases": 5,
\t\t"max_duration_minutes": 30, "run_scope": "incremental"},
\t"tiers": [{"tier_id": "T1", "tier_index": 3, "name": "Base", "description": null}],
\t"phases": [{"phase_id": "P1", "phase_index": 7, "tier_id": "T1", "name": "Step", "task_category": "docs",
\t\t"complexity": null, "builder_mode": "compose"}]
}
"""


def test_rest_start_body_is_a_plan() -> None:
    file = parse_plan(BODY)
    assert file.engine is Engine.EXTERNAL
    assert file.options == RunOptions(
        tokens=70_000,
        phases=5,
        minutes=30,
        safety=SafetyProfile.SAFETY_CRITICAL,
        scope=RunScope.INCREMENTAL,
    )
    (tier,), (phase,) = file.as_plan(COMPLEXITIES).tiers, file.as_plan(COMPLEXITIES).phases
    assert (tier.tier_index, phase.phase_index) == (3, 7)
    assert (phase.task_category, phase.complexity) == (TaskCategory.DOCS, Complexity.LOW)


def test_a_plan_by_hand_needs_no_indexes() -> None:
    file = parse_plan("{tiers: [{tier_id: T1, name: A}], phases: [{phase_id: P1, tier_id: T1, name: B}]}")
    assert (file.engine, file.options) == (Engine.AUTOPACK, RunOptions())
    assert file.as_plan(COMPLEXITIES).phases[0].phase_index == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            BODY.replace('"docs"', '"doc"'),
            "line 5: phases.0.task_category: 'doc' is not known here; did you mean `docs`?",
        ),
        (BODY.replace('"tier_id": "T1", "name": "Step"', '"name": "Step"'), "line 5: phases.0.tier_id: missing"),
        (BODY.replace('"P1"', '"../P1"'), "line 5: phases.0.phase_id: String should match pattern"),
        (BODY.replace('"P1"', '"P..1"'), "line 5: phases.0.phase_id: must be usable in a git branch name"),
        (BODY.replace('"max_phases": 5', '"max_phases": 0'), "line 2: run.max_phases: "),
        (BODY.replace("null}]", "null}"), "line 5: not valid JSON: "),
        (BODY.replace("30", "Infinity"), "line 3: run.max_duration_minutes: "),
        (BODY.replace("30", "NaN"), "line 3: run.max_duration_minutes: "),
        (BODY.replace("Step", "\x7f").replace('"docs"', '"doc"'), "line 1: phases.0.task_category: 'doc' is not known"),
        pytest.param('{"tiers":' * 100_000, "not valid JSON: ", id="deeper than can be read"),
        ("tiers:\n  - {tier_id: T1, name: A}\nphases: []\n", "line 3: phases: at least one is needed"),
        ("tiers:\n  - {tier_id: T1, name: A}\nphases: 3\n", "line 3: phases: a list is expected"),
        (
            "tiers:\n  - {tier_id: T1, name: A}\nphases:\n  - {phase_id: P1, tier_id: T2, name: B}\n",
            "line 4: phases.0.tier_id: unknown tier: T2; there are T1",
        ),
        (
            "tiers:\n  - {tier_id: T1, name: A}\n  - {tier_id: T1, name: B}\nphases:\n"
            "  - {phase_id: P1, tier_id: T1, name: B}\n",
            "line 3: tiers.1.tier_id: duplicate tier id: T1",
        ),
        (
            "tiers:\n  - {tier_id: T1, name: A}\nphases:\n  - {phase_id: P1, tier_id: T1, name: B}\n"
            "  - {phase_id: P1, tier_id: T1, name: B}\n",
            "line 5: phases.1.phase_id: duplicate phase id: P1",
        ),
        ("", "line 1: a block of keys is expected (run, tiers, phases)"),
        ("- a\n", "line 1: a block of keys is expected (run, tiers, phases)"),
    ],
)
def test_wrong_plan_is_named_with_line(text: str, expected: str) -> None:
    (only,) = plan_problems(text)
    assert only.startswith(expected)


def test_key_is_named_as_it_stands() -> None:
    """YAML 1.1 reads the key `on` as true (ohdearquant/lionagi#2300)."""
    with pytest.raises(SettingsError, match=r"line 4: .*\bon\b"):
        parse_settings("# ours\ntokens: 1000000\n\non: push\n")


def test_aliases_are_refused_at_once() -> None:
    """Nested, they grow without a bound (nodeca/js-yaml#738)."""
    levels = ["x0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(SettingsError, match=r"line 2: not valid YAML: aliases"):
        parse_settings("\n".join([*levels, "safety: *a8\n"]))
