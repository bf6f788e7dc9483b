"""What the documentation has to name: every setting, command, option, event and file; and its links lead somewhere."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from app.agents.model_access import ModelAccess
from app.cli import cli
from app.config.loader import default_ruleset, parse_settings
from app.domain.commands import OPTIONS
from app.domain.patch_policy import ALWAYS_PROTECTED
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import Ruleset
from app.settings import Settings
from handlers.commands import COMMANDS
from handlers.dispatch import HANDLERS
from tests import commands_page, github_calls, rules_page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("**/*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_PATH = re.compile(r"`((?:app|handlers|prompts|rulesets|tests|benchmarks|docs|examples)/[\w./-]*)`")
_FENCE = re.compile(r"```.*?```", re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def variables() -> list[str]:
    """Every environment variable that the service reads."""
    return sorted(name.upper() for name in (*ModelAccess.model_fields, *Settings.model_fields))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of a settings model's leaves."""
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        yield from [prefix + name] if inner is None else keys(inner, f"{prefix}{name}.")


def _model_of(annotation: object) -> type[BaseModel] | None:
    """The model in an annotation such as `Model` or `Model | None`."""
    options = (annotation, *getattr(annotation, "__args__", ()))
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def settings_example() -> str:
    """The README's `.github/autopack.yml`."""
    found = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def shown_keys() -> set[str]:
    """The dotted names of the keys in that example."""
    data: dict[str, Any] = yaml.safe_load(settings_example())
    blocks: dict[str, dict[str, Any]] = {name: value for name, value in data.items() if isinstance(value, dict)}
    return {f"{name}.{key}" for name, block in blocks.items() for key in block} | set(data)


@pytest.mark.parametrize("name", variables())
def test_every_environment_variable_is_documented(name: str) -> None:
    for where, text in (
        ("README.md", README),
        ("docs/settings.md", page("settings.md")),
        (".env.example", (ROOT / ".env.example").read_text(encoding="utf-8")),
    ):
        assert re.search(rf"\b{name}\b", text), f"{where} does not name {name}"


def test_no_variable_is_documented_that_nothing_reads() -> None:
    rows = [line.split("|")[1] for line in README.splitlines() if re.match(r"\| `[A-Z_]+`", line)]
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} == set(variables())


@pytest.mark.parametrize("key", list(keys(RepositorySettings)))
def test_every_repository_setting_is_documented(key: str) -> None:
    assert f"`{key}`" in page("settings.md"), f"docs/settings.md does not explain `{key}`"
    assert key in shown_keys(), f"the README's autopack.yml lacks {key}"


def test_readme_settings_are_valid_defaults() -> None:
    shown, rules = parse_settings(settings_example()), default_ruleset()
    assert shown.ci == rules.ci
    assert shown.patch is not None
    assert shown.patch.model_copy(update={"protected_paths": ()}) == rules.patch
    own = {"tokens": None, "phases": None, "minutes": None, "patch": None, "models": None}
    merged = effective_rules(rules, shown.model_copy(update=own))
    assert merged.model_dump(include=set(Ruleset.model_fields)) == rules.model_dump()
    defaults = RepositorySettings()
    assert shown.commands == defaults.commands
    assert shown.safety == defaults.safety
    assert shown.model_timeout_seconds == defaults.model_timeout_seconds
    assert shown.provider_pauses_minutes == rules.provider_pauses_minutes
    for figure in (rules.run.tokens, rules.run.phases, rules.run.minutes):
        assert f"default {figure:,g}" in settings_example() or f"default {figure:,}" in settings_example()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_slash_command_is_documented(command: str) -> None:
    assert f"| `/autopack {command}" in README


def test_documented_slash_commands_exist() -> None:
    named = re.findall(
        r"(?<![\w/])/autopack ([a-z]+)", README + "".join(path.read_text(encoding="utf-8") for path in DOCS)
    )
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_a_slash_command_is_documented(option: str) -> None:
    assert f"`{option} " in README
    assert f"`{option} " in page("settings.md")


def test_command_line_is_documented() -> None:
    commands: Mapping[str, Any] = getattr(typer.main.get_command(cli), "commands")  # noqa: B009  of a click group
    table = [line for line in README.splitlines() if line.startswith("| `autopack ")]
    shown = {name: row for row in table for name in re.findall(r"`autopack ([a-z]+)", row.split(" | ")[0])}
    assert set(commands) == {"demo", "serve", "try"} | set(shown)
    for name, command in commands.items():
        assert name in shown, f"the README has no row for `autopack {name}`"
        for option in (one for parameter in command.params for one in parameter.opts if one.startswith("--")):
            assert option in shown[name], f"the README's row for `autopack {name}` lacks {option}"


def test_command_tables_are_those_of_the_registry() -> None:
    text = page("commands.md")
    assert commands_page.with_table(text, commands_page.page_table()) == text
    assert commands_page.with_table(README, commands_page.readme_table()) == README


def test_every_event_and_permission_is_explained() -> None:
    manifest = yaml.safe_load((ROOT / "app.yml").read_text(encoding="utf-8"))
    text = page("github-app.md").lower()
    names = {*manifest["default_permissions"], *manifest["default_events"]}
    for name in names | set(HANDLERS):
        shown = "commit statuses" if name == "statuses" else name.replace("_", " ")
        assert shown in text, f"docs/github-app.md does not explain {name}"
    sent_unasked = {"installation", "installation_repositories"}
    assert set(manifest["default_events"]) == set(HANDLERS) - sent_unasked


def test_the_protected_paths_are_listed() -> None:
    assert [glob for glob in ALWAYS_PROTECTED if f"`{glob}`" not in page("security.md")] == []


def test_layout_lists_every_top_entry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    top = {line.partition("/")[0] + ("/" if "/" in line else "") for line in listed.stdout.splitlines()}
    assert {"app/", "README.md"} <= top
    layout = page("layout.md")
    assert sorted(name for name in top if f"`{name}`" not in layout) == []


def test_the_layout_names_nothing_that_is_gone() -> None:
    tables = page("layout.md").partition("## What appears while working")[0]
    named = [name for line in tables.splitlines() if line.startswith("| `") for name in _names(line)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def _names(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row.split("|")[1])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for target, anchor in _LINK.findall(text):
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name}: dead link to {target}"
        if anchor:
            assert anchor in _anchors(file), f"{path.name}: {target} has no heading #{anchor}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path: Path) -> None:
    named = _PATH.findall(path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and name not in ALWAYS_PROTECTED] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {target for target, _ in _LINK.findall(README)}
    assert [path.name for path in DOCS if f"docs/{path.name}" not in linked] == []


def test_pictures_load_nothing_from_elsewhere() -> None:
    for path in (ROOT / "docs").glob("*.svg"):
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|url\(|href|<script", text), path.name


def _anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_table_of_calls_is_that_of_the_code() -> None:
    """Made anew with `python -m tests.github_calls --write`."""
    assert github_calls.PAGE.read_text(encoding="utf-8") == github_calls.page()


def test_no_call_that_only_tells_is_work() -> None:
    kinds = github_calls.operations()
    shown = ("create_comment", "create_review", "create_reply_for_review_comment", "create_for_issue", "create_label")
    assert {name for name, telling in kinds.items() if name.partition(".")[2] in shown and not telling} == set()
    assert {name for name in github_calls.REFUSED if name not in kinds} == set()


def test_integrity_rules_are_the_ones_that_there_are() -> None:
    text = rules_page.PAGE.read_text(encoding="utf-8")
    assert rules_page.with_table(text) == text
