"""A settings file that does not fit is refused with the line to mend; what ships fits."""

import pytest
import yaml

from app.domain.plan import TaskCategory
from app.domain.ruleset import CiRules, CommandRules, PatchRules, RepositorySettings, Ruleset, SafetyProfile
from app.lifecycle.rules import FOLDER, SettingsError, default_ruleset, parse_settings


def problems(text: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        parse_settings(text)
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
        ("phases: 5\n\ntoken: 9\n", "line 3: token: Extra inputs are not permitted"),
        ("ci:\n  grace_seconds: 1\n  deadline_minutes: -1\n", "line 3: ci.deadline_minutes: "),
        ("ci:\n  grace_seconds: 1\n  when_absent: shrug\n", "line 3: ci.when_absent: "),
        ("patch:\n  max_files: 3\n  # more\n  max_flies: 4\n", "line 4: patch.max_flies: Extra inputs"),
        ("patch:\n  protected_paths:\n    - a\n    - [b]\n", "line 4: patch.protected_paths.1: "),
        ("patch:\n  protected_paths: a\n", "line 2: patch.protected_paths: "),
        ("patch: {max_files: 3,\n  max_lines: x}\n", "line 2: patch.max_lines: "),
        ("phases: 3\nci: 4\n", "line 2: ci: "),
        ("phases: 3\nsafety: critical\n", "line 2: safety: "),
        ("phases: 3\n7: seven\n", "line 2: "),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(text: str, start: str) -> None:
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
        ("model: *nobody\n", "line 1: not valid YAML: "),
        ("model: a\x00b\n", "not valid YAML: "),
        ("tokens: 5\nmodel: 2026-99-99\n", "not valid YAML: "),
        ("[" * 5_000, "not valid YAML: "),
    ],
)
def test_what_is_not_yaml_is_named_with_its_line(text: str, start: str) -> None:
    assert problems(text)[0].startswith(start)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "42\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    (only,) = problems(text)
    assert only.startswith("line 1: ")
