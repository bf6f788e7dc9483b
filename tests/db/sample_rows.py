"""Plain values for the database's tests."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

from app.config.loader import default_ruleset
from app.db import run_rows
from app.db.engine import Database
from app.db.run_rows import NewRun
from app.domain.api_requests import RunStart
from app.domain.findings import Finding, Severity, Source
from app.domain.plan import Plan, PlannedPhase, PlannedTier, TaskCategory
from app.domain.plan_splitting import split
from app.domain.repository_rules import RepositorySettings, effective_rules
from app.domain.strategy import Engine, RunOptions, Strategy, compile_strategy
from app.runs import api_commands, transitions
from app.runs.api_commands import RunTarget

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
T = TypeVar("T")


def after(**distance: float) -> datetime:
    return NOW + timedelta(**distance)


def new_run(
    run_id: str = "r1",
    *,
    repository: str = "acme/widgets",
    issue: int = 7,
    intent: str = "build",
    token_cap: int = 5_000_000,
) -> NewRun:
    return NewRun(
        run_id=run_id,
        repository=repository,
        installation_id=5_000_000_000,
        issue_number=issue,
        issue_title="Greet people",
        intent=intent,
        requester="maintainer",
        requester_id=42,
        options=RunOptions(tokens=token_cap),
        base_branch="main",
        token_cap=token_cap,
    )


RULES = effective_rules(default_ruleset(), RepositorySettings())


def phase(phase_id: str, tier_id: str, index: int) -> PlannedPhase:
    return PlannedPhase(
        phase_id=phase_id, tier_id=tier_id, phase_index=index, name=f"Step {phase_id}", task_category=TaskCategory.DOCS
    )


PLAN = Plan(
    tiers=(PlannedTier(tier_id="T1", tier_index=0, name="Base"), PlannedTier(tier_id="T2", tier_index=1, name="Top")),
    phases=(phase("P1", "T1", 0), phase("P2", "T1", 1), phase("P3", "T2", 2)),
)


def strategy_of(plan: Plan = PLAN, *, tokens: int | None = None) -> Strategy:
    vendors = frozenset({"anthropic", "openai"})
    return compile_strategy(RULES, plan, RunOptions(tokens=tokens), vendors)


def planned_run(db: Database, run_id: str = "r1", *, issue: int = 7, tokens: int | None = None) -> str:
    """A run with plan and strategy: tiers T1 (P1, P2) and T2 (P3), each phase capped at 200,000 tokens."""
    run_rows.create(db, new_run(run_id, issue=issue), NOW)
    transitions.store_strategy(db, run_id, PLAN, strategy_of(tokens=tokens), NOW)
    return run_id


def posted_run(
    db: Database,
    run_id: str = "r1",
    tiers: Sequence[Sequence[str]] = (("P1", "P2"),),
    *,
    most: int = 25,
    issue: int = 0,
) -> str:
    """A run that was started over the REST API: tiers T1… of these phases, in runs of `most` phases at most.

    With an issue it is one of the repository acme/widgets, else it has none.
    """
    body = {
        "run": {
            "run_id": run_id,
            "repository": "acme/widgets" if issue else None,
            "issue_number": issue or None,
            "token_cap": 5_000,
            "max_phases": most,
        },
        "tiers": [
            {"tier_id": f"T{n}", "tier_index": n, "name": f"Tier {n}", "description": f"About {n}"}
            for n in range(1, len(tiers) + 1)
        ],
        "phases": [
            {"phase_id": phase_id, "phase_index": n, "tier_id": f"T{tier}", "name": "x", "task_category": "docs"}
            for n, (tier, phase_id) in enumerate((n, one) for n, held in enumerate(tiers, 1) for one in held)
        ],
    }
    asked = RunStart.model_validate(body)
    options = asked.run.options
    parts = split(asked.plan(RULES.complexities), most)
    strategies = [compile_strategy(RULES, part, options, frozenset(), engine=Engine.EXTERNAL) for part in parts]
    target = (
        RunTarget(
            repository="acme/widgets", repository_id=4, project_id="acme/widgets", installation_id=1, base_branch="main"
        )
        if issue
        else None
    )
    api_commands.create_run(db, asked, parts, strategies[:1] if issue else strategies, target, NOW)
    return run_id


def finding(slug: str = "typo", severity: Severity = Severity.MINOR, *, path: str | None = "a.py") -> Finding:
    return Finding(
        issue_key=f"docs__readme__{slug}",
        severity=severity,
        source=Source.AUDITOR,
        category="docs",
        problem=f"There is a {slug}.",
        path=path,
    )


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """Let `count` threads begin `act` at the same moment; their results, or the first exception."""
    barrier = Barrier(count, timeout=20)

    def one(number: int) -> T:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=60))
