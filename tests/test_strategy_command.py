"""`autopack strategy` and `autopack schema`: what they print, and how they refuse."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from app.config.loader import FOLDER, SCHEMAS
from app.domain.strategy import Strategy
from handlers.commands.parser import UnknownCommand, parse_comment

PLAN = """\
tiers:
  - {tier_id: T1, name: Base}
  - {tier_id: T2, name: Rest}
phases:
  - {phase_id: P1, tier_id: T1, name: Schema, task_category: schema_contract_change, complexity: high}
  - {phase_id: P2, tier_id: T2, name: Guide, task_category: docs, complexity: low}
"""
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AUTOPACK_LOCAL_BASE_URL")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def strategy(tmp_path: Path, *options: str, plan: str = PLAN, name: str = "plan.yaml") -> Result:
    file = tmp_path / name
    file.write_text(plan, encoding="utf-8")
    return CliRunner().invoke(cli, ["strategy", "--plan", str(file), *options])


def compiled(tmp_path: Path, *options: str, plan: str = PLAN) -> list[Strategy]:
    done = strategy(tmp_path, *options, "--json", plan=plan)
    assert done.exit_code == 0, done.output
    return [Strategy.model_validate(one) for one in json.loads(done.stdout)["runs"]]


def test_table_shows_every_cap(tmp_path: Path) -> None:
    done = strategy(tmp_path)
    assert done.exit_code == 0
    rows = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    for said in ("schema_contract_change", "1,000,000", "2 Builder", "strict", "before the push"):
        assert said in rows["P1"]
    for said in ("docs", "200,000", "2 Builder", "normal", "while CI runs"):
        assert said in rows["P2"]
    assert "3,000,000" in rows["T1"]
    assert "600,000" in rows["T2"]
    assert "5,000,000 tokens, 25 phases, 120 active minutes, 4 CI runs, 6 minor issues" in done.stdout
    assert "15,000,000 tokens" in done.stdout
    assert "ages past 3 runs or 2 tiers" in done.stdout


def test_missing_keys_assume_every_vendor(tmp_path: Path) -> None:
    assert "every vendor of the ruleset is taken to be reachable" in strategy(tmp_path).stdout
    (one,) = compiled(tmp_path)
    assert {name.partition(":")[0] for name in one.phases[0].builder.ids} == {"anthropic", "openai", "azure", "local"}


def test_with_a_key_only_its_vendor_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert "taken to be reachable" not in strategy(tmp_path).stdout
    (one,) = compiled(tmp_path)
    assert {name.partition(":")[0] for phase in one.phases for name in phase.builder.ids} == {"openai"}


def test_options_outweigh_settings_and_those_the_ruleset(tmp_path: Path) -> None:
    settings, ruleset = tmp_path / "autopack.yml", tmp_path / "ruleset.yaml"
    settings.write_text("tokens: 70000\nissue: {tokens: 90000}\n", encoding="utf-8")
    text = (FOLDER / "default.yaml").read_text(encoding="utf-8")
    ruleset.write_text(text.replace("minutes: 120", "minutes: 7").replace("tokens: 5000000", "tokens: 6000000"))
    (one,) = compiled(tmp_path, "--ruleset", str(ruleset))
    assert (one.token_cap, one.max_minutes, one.issue_token_cap) == (6_000_000, 7, 15_000_000)
    (one,) = compiled(tmp_path, "--ruleset", str(ruleset), "--settings", str(settings))
    assert (one.token_cap, one.max_minutes, one.issue_token_cap) == (70_000, 7, 90_000)
    (one,) = compiled(tmp_path, "--settings", str(settings), "--tokens", "2M")
    assert one.token_cap == 2_000_000


def test_phase_without_complexity_takes_its_categorys(tmp_path: Path) -> None:
    plan = PLAN.replace(", complexity: high", "").replace(", complexity: low", "")
    settings = tmp_path / "autopack.yml"
    settings.write_text("categories: {docs: {complexity: medium}}\n", encoding="utf-8")
    (shipped,), (changed,) = compiled(tmp_path, plan=plan), compiled(tmp_path, "--settings", str(settings), plan=plan)
    assert [phase.complexity for phase in shipped.phases] == ["high", "low"]
    assert [phase.complexity for phase in changed.phases] == ["high", "medium"]
    assert shipped.phases[1].builder != changed.phases[1].builder


def test_plan_of_several_runs_is_listed(tmp_path: Path) -> None:
    first, second = compiled(tmp_path, "--safety", "critical")
    assert [phase.phase_id for phase in (*first.phases, *second.phases)] == ["P1", "P2"]
    assert first.not_clean_fails_run
    shown = strategy(tmp_path, "--scope", "single_tier").stdout
    assert "Run 1 of 2" in shown
    assert "Run 2 of 2" in shown


def test_rest_body_is_governed_like_rest(tmp_path: Path) -> None:
    body: dict[str, Any] = {
        "run": {"run_id": "r", "token_cap": 123_456, "max_duration_minutes": 9},
        "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "Base"}],
        "phases": [{"phase_id": "P1", "phase_index": 0, "tier_id": "T1", "name": "Step", "task_category": "tests"}],
    }
    (one,) = compiled(tmp_path, plan=json.dumps(body, indent="\t"))
    assert (one.engine, one.token_cap, one.max_minutes) == ("external", 123_456, 9)
    assert one.phases[0].builder.ids == ("external",)
    (one,) = compiled(tmp_path, "--tokens", "500k", plan=json.dumps(body))
    assert one.token_cap == 500_000


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "plan.yaml",
            PLAN.replace("task_category: docs", "task_categry: docs"),
            "line 6: phases.1.task_categry: unknown",
        ),
        ("plan.json", '{"tiers": [\n}', "line 2: not valid JSON"),
        ("plan.yaml", "tiers: [\n", "line 2: not valid YAML"),
        ("plan.yaml", "phases: 3\ntiers: {}\n", "line 1: phases: a list is expected"),
    ],
)
def test_wrong_file_is_refused_with_line(tmp_path: Path, name: str, text: str, expected: str) -> None:
    done = strategy(tmp_path, plan=text, name=name)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].startswith(f"{tmp_path / name}: {expected}")
    assert not done.stdout


@pytest.mark.parametrize("option", ["--settings", "--ruleset"])
def test_wrong_settings_or_ruleset_is_refused(tmp_path: Path, option: str) -> None:
    other = tmp_path / "other.yml"
    other.write_text("run:\n  tokns: 5\n", encoding="utf-8")
    done = strategy(tmp_path, option, str(other))
    assert done.exit_code == 2
    assert f"{other}: line 2: run.tokns: unknown key; did you mean `tokens`?" in done.stderr


@pytest.mark.parametrize("amount", ["0", "999", "lots", "-5", "2000M", "1.5.5M", "1e9"])
def test_invalid_token_amount_is_refused(tmp_path: Path, amount: str) -> None:
    done = strategy(tmp_path, "--tokens", amount)
    assert done.exit_code == 2
    assert f"--tokens {amount}: give a number from 1k to 1,000M" in done.stderr
    assert isinstance(parse_comment(f"/autopack run --tokens {amount}"), UnknownCommand), "a comment refuses it too"


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = CliRunner().invoke(cli, ["strategy", "--plan", str(tmp_path / "binary")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "binary" in done.stderr
    assert CliRunner().invoke(cli, ["strategy", "--plan", str(tmp_path / "nowhere")]).exit_code == 2
    assert strategy(tmp_path, "--safety", "extreme").exit_code == 2


def test_strategy_needs_no_model_client(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    program = (
        "import sys; from app.cli import cli; cli(sys.argv[1:], standalone_mode=False);"
        "print([name for name in sys.modules if name in"
        " {'anthropic', 'openai', 'pydantic_ai', 'dbos', 'sqlalchemy', 'httpx', 'fastapi'}], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "strategy", "--plan", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_the_schemas_are_printed(tmp_path: Path) -> None:
    for options, name in (([], "schema.json"), (["--settings"], "settings.schema.json")):
        done = CliRunner().invoke(cli, ["schema", *options])
        assert (done.exit_code, done.stdout) == (0, (FOLDER / name).read_text(encoding="utf-8"))


def test_outdated_schemas_are_found_and_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.config.loader.FOLDER", tmp_path)
    assert CliRunner().invoke(cli, ["schema", "--check"]).exit_code == 1
    assert CliRunner().invoke(cli, ["schema", "--write"]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == set(SCHEMAS)
    assert CliRunner().invoke(cli, ["schema", "--check"]).exit_code == 0
    (tmp_path / "schema.json").write_text("{}\n", encoding="utf-8")
    done = CliRunner().invoke(cli, ["schema", "--check"])
    assert done.exit_code == 1
    assert "schema.json: not what the models say" in done.stderr
    assert "settings.schema.json" not in done.stderr
