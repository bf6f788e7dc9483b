"""`autopack strategy`: what a plan would be allowed to spend and how it would be judged, without running it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.agents.model_access import ModelAccess
from app.config.loader import default_ruleset, parse_plan, parse_ruleset, parse_settings
from app.config.yaml_errors import SettingsError
from app.domain.commands import BadOption, parse_options
from app.domain.frozen import Frozen
from app.domain.plan_splitting import parts_of
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.ruleset import Ruleset
from app.domain.strategy import NoModel, RunOptions, Strategy, compile_strategy

T = TypeVar("T")


class BadInput(ValueError):
    """A file or an option that does not fit; the text is ready to be shown."""


class DryRun(Frozen):
    """The strategies of the runs that a plan would become."""

    models_assumed: bool
    """No model key is configured, so every vendor of the ruleset is taken to be reachable."""
    runs: tuple[Strategy, ...]


def options_of(safety: str | None, scope: str | None, amount: str | None) -> RunOptions:
    """The run's options, which mean what they mean in a comment. Raises `BadInput`."""
    typed = {"--safety": safety, "--scope": scope, "--tokens": amount}
    try:
        return parse_options({name: text for name, text in typed.items() if text is not None})
    except BadOption as error:
        raise BadInput(str(error)) from error


def dry_run(plan: Path, ruleset: Path | None, settings: Path | None, options: RunOptions) -> DryRun:
    """Compile a plan. What was requested outweighs the plan file's `run`, that the settings, and those the ruleset.

    Raises `BadInput`.
    """
    file = _read(plan, parse_plan)
    default = _read(ruleset, parse_ruleset) if ruleset else default_ruleset()
    rules = effective_rules(default, _read(settings, parse_settings) if settings else RepositorySettings())
    chosen = {key: value for key, value in dict(options).items() if value is not None}
    merged = file.options.model_copy(update=chosen)
    vendors, assumed = _vendors(rules)
    try:
        runs = tuple(
            compile_strategy(rules, part, merged, vendors, engine=file.engine)
            for part in parts_of(file.as_plan(rules.complexities), rules, merged)
        )
    except NoModel as error:
        raise BadInput(str(error)) from error
    return DryRun(models_assumed=assumed, runs=runs)


def _vendors(rules: Ruleset) -> tuple[frozenset[str], bool]:
    """The vendors that can be reached, and whether that is an assumption."""
    access = ModelAccess()
    return (access.vendors, False) if access.any_key else (rules.models.vendors, True)


def _read(path: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except SettingsError as error:
        raise BadInput("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {error}") from error


def as_json(done: DryRun) -> str:
    return json.dumps(done.model_dump(mode="json"), indent=2, ensure_ascii=False)


def show(done: DryRun, console: Console) -> None:
    """Print tables: of each run its phases, its tiers and its own caps."""
    if done.models_assumed:
        console.print("No model key is configured: every vendor of the ruleset is taken to be reachable.")
    for number, strategy in enumerate(done.runs, 1):
        title = f"Run {number} of {len(done.runs)}" if len(done.runs) > 1 else "Run"
        console.print(_phases(strategy, title), _tiers(strategy), *_lines(strategy), sep="\n")


def _phases(strategy: Strategy, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("phase", "category", "tokens", "tries", "CI", "audit", "Builder", "Auditor"):
        table.add_column(name, justify="right" if name == "tokens" else "left", overflow="fold")
    for phase in strategy.phases:
        when = "while CI runs" if phase.auto_apply else "before the push"
        table.add_row(
            escape(phase.phase_id),
            f"{phase.task_category}\n{phase.complexity}{', high risk' if phase.high_risk else ''}",
            f"{phase.token_cap:,}",
            f"{phase.builder_tries} Builder\n{phase.auditor_tries} Auditor",
            f"{phase.ci_profile}\n{phase.max_ci_runs} runs",
            f"{when}\n{phase.auditor_profile or ''}".rstrip(),
            escape("\n".join(phase.builder.ids)),
            escape("\n".join(phase.auditor.ids)),
        )
    return table


def _tiers(strategy: Strategy) -> Table:
    table = Table()
    for name in ("tier", "tokens", "CI runs", "minor issues", "major issues"):
        table.add_column(name, justify="left" if name == "tier" else "right")
    for tier in strategy.tiers:
        figures = (tier.token_cap, tier.max_ci_runs, tier.max_minor_issues, tier.max_major_issues)
        table.add_row(escape(tier.tier_id), *(f"{figure:,}" for figure in figures))
    return table


def _lines(strategy: Strategy) -> Iterator[str]:
    unclean = "ends the run" if strategy.not_clean_fails_run else "keeps promotion closed"
    yield (
        f"run: {strategy.token_cap:,} tokens, {strategy.max_phases} phases, {strategy.max_minutes:g} active minutes, "
        f"{strategy.max_ci_runs} CI runs, {strategy.max_minor_issues} minor issues"
    )
    yield (
        f"issue, all its runs together: {strategy.issue_token_cap:,} tokens; "
        f"warnings from {strategy.warn_at:.0%} of a cap"
    )
    yield (
        f"engine {strategy.engine}, safety {strategy.safety_profile}, scope {strategy.run_scope}; "
        f"a tier that is not clean {unclean}"
    )
    yield f"an issue ages past {strategy.aging_runs} runs or {strategy.aging_tiers} tiers"
    yield f"planner: {escape(', '.join(strategy.planner.ids))}"
