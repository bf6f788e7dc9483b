"""Figures of runs, tiers and phases, read for metrics and reports. Tokens are sums of the ledger's settled calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db import finding_rows
from app.db.budget_usage import TokenSums, read_sums
from app.db.engine import Database
from app.db.tables import ModelCallRow, Phase, Run, Tier
from app.domain.budget import Kind, Scope, Usage
from app.domain.metrics import (
    CapUse,
    PhaseMetrics,
    RunBudgets,
    RunIssues,
    RunMetrics,
    RunSummary,
    TierMetrics,
    TierSummary,
    share,
)
from app.domain.ruleset import RunCaps
from app.domain.states import PhaseState, RunState
from app.queries.run_tree import RunTree, read_run_tree
from app.queries.run_view import promotion_blockers


def run_metrics(
    db: Database, defaults: RunCaps, *, state: RunState | None = None, limit: int = 100, offset: int = 0
) -> tuple[int, list[RunMetrics]]:
    """How many runs (in `state`, if given) there are, and a page of them, the newest first.

    `defaults` are the caps of runs that have no strategy yet.
    """
    which = sa.true() if state is None else Run.state == state
    with db.reading() as session:
        total = session.scalar(sa.select(sa.func.count()).select_from(Run).where(which)) or 0
        return total, [RunMetrics(**row) for row in run_metric_rows(session, defaults, which, limit, offset)]


def run_metric_rows(
    session: Session, defaults: RunCaps, which: sa.ColumnElement[bool], limit: int, offset: int = 0
) -> list[dict[str, Any]]:
    """The fields of `RunMetrics`, and `failure_reason` and `exhausted`, of a page of runs."""
    query = (
        sa.select(
            *(Run.run_id, Run.project_id, Run.state, Run.safety_profile, Run.run_scope, Run.engine, Run.token_cap),
            *(Run.created_at, Run.started_at, Run.completed_at, Run.failure_reason, Run.exhausted),
            Run.strategy["max_minor_issues"].as_integer().label("max_minor"),
            Run.strategy["max_phases"].as_integer().label("max_phases"),
        )
        .where(which)
        .order_by(Run.created_at.desc(), Run.run_id)
        .limit(limit)
        .offset(offset)
    )
    found = session.execute(query).mappings().all()
    ids = [str(row["run_id"]) for row in found]
    phases, tiers = _count(session, Phase.run_id, ids), _count(session, Tier.run_id, ids)
    counts = finding_rows.counts_of(session, ids)
    used = read_sums(session, ModelCallRow.run_id, ModelCallRow.run_id.in_(ids))
    return [
        {
            **{name: value for name, value in row.items() if name != "max_minor"},
            **_figures(row, defaults, phases.get(row["run_id"], 0), used.get(row["run_id"], TokenSums()).usage),
            "minor_issues_count": counts[row["run_id"]].run.minor,
            "major_issues_count": counts[row["run_id"]].run.major,
            "tier_count": tiers.get(row["run_id"], 0),
        }
        for row in found
    ]


def _figures(row: Mapping[Any, Any], defaults: RunCaps, phase_count: int, used: Usage) -> dict[str, Any]:
    return {
        "tokens_used": used.against_caps,
        "cost_usd": used.cost_usd,
        "max_minor_issues_total": _value_or_default(row["max_minor"], defaults.minor_issues_per_phase * phase_count),
        "phase_count": phase_count,
        "max_phases": _value_or_default(row["max_phases"], defaults.phases),
    }


def tier_metrics(db: Database, run_id: str) -> list[TierMetrics]:
    """The run's tiers in order. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        tree = read_run_tree(session, session.get_one(Run, run_id))
    limits = _token_and_ci_limits(tree)
    return [
        TierMetrics(
            tier_id=tier.row.tier_id,
            tier_index=tier.row.tier_index,
            name=tier.row.name,
            state=tier.row.state,
            minor_issues_count=tier.issues.minor,
            major_issues_count=tier.issues.major,
            max_minor_issues=tier.rules.max_minor_issues if tier.rules else None,
            phase_count=len(tier.phases),
            phase_states={
                state: found for state in PhaseState if (found := sum(one.row.state is state for one in tier.phases))
            },
            tokens_used=tier.tokens,
            token_cap=limits.get((Scope.TIER, tier.row.tier_id, Kind.TOKENS)),
            ci_runs=sum(phase.row.ci_runs for phase in tier.phases),
            max_ci_runs=limits.get((Scope.TIER, tier.row.tier_id, Kind.CI_RUNS)),
        )
        for tier in tree.tiers
    ]


def read_run_summary(db: Database, run_id: str, defaults: RunCaps) -> RunSummary:
    """The run as a whole. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        return run_summary(read_run_tree(session, session.get_one(Run, run_id)), defaults)


def run_summary(tree: RunTree, defaults: RunCaps) -> RunSummary:
    run, strategy = tree.run, tree.run.strategy
    blockers = promotion_blockers(tree) if run.state.terminal else ()
    max_minor = strategy.max_minor_issues if strategy else int(defaults.minor_issues_per_phase * len(tree.phases))
    return RunSummary(
        **{name: getattr(run, name) for name in _RUN_FIELDS},
        promotion_eligible=run.state is RunState.DONE_SUCCESS and not blockers,
        promotion_blockers=blockers,
        budgets=_budgets(tree, defaults),
        issues=RunIssues(
            minor_count=tree.issues.minor,
            major_count=tree.issues.major,
            max_minor_total=max_minor,
            distinct_issues=len({record.issue_key for record in tree.records}),
        ),
        tiers=tuple(
            TierSummary(
                tier_id=tier.row.tier_id,
                tier_index=tier.row.tier_index,
                name=tier.row.name,
                state=tier.row.state,
                phase_count=len(tier.phases),
                minor_issues=tier.issues.minor,
                major_issues=tier.issues.major,
                tokens_used=tier.tokens,
            )
            for tier in tree.tiers
        ),
        phases=_phases(tree),
    )


_RUN_FIELDS = (
    *("run_id", "project_id", "repository", "issue_number", "pull_number", "engine", "safety_profile", "run_scope"),
    *("state", "reason", "next_action", "created_at", "started_at", "completed_at"),
)


def _budgets(tree: RunTree, defaults: RunCaps) -> RunBudgets:
    run = tree.run
    return RunBudgets(
        tokens_used=tree.spent.against_caps,
        token_cap=run.token_cap,
        token_utilization=share(tree.spent.against_caps, run.token_cap),
        cost_usd=tree.spent.cost_usd,
        phase_count=len(tree.phases),
        max_phases=run.strategy.max_phases if run.strategy else defaults.phases,
        active_minutes=round(run.active_seconds / 60, 2),
        max_minutes=run.max_minutes,
        ci_runs=tree.ci_runs,
        caps=tuple(
            CapUse(
                scope=cap.scope,
                name=cap.name,
                kind=cap.kind,
                used=cap.used if cap.kind is not Kind.MINUTES else round(cap.used, 2),
                limit=cap.limit,
            )
            for cap in tree.caps
            # What an issue has used over its life is changed by its other runs: it is not a figure of this one.
            if cap.scope is not Scope.ISSUE
        ),
    )


def _token_and_ci_limits(tree: RunTree) -> dict[tuple[Scope, str, Kind], int]:
    return {(cap.scope, cap.name, cap.kind): int(cap.limit) for cap in tree.caps}


def _phases(tree: RunTree) -> tuple[PhaseMetrics, ...]:
    limits = _token_and_ci_limits(tree)
    return tuple(
        PhaseMetrics(
            phase_id=row.phase_id,
            phase_index=row.phase_index,
            tier_id=row.tier_id,
            name=spec.name if (spec := phase.spec) else row.phase_id,
            state=row.state,
            task_category=row.task_category,
            complexity=row.complexity,
            builder_mode=spec.builder_mode if spec else "",
            builder_attempts=row.builder_attempts,
            auditor_attempts=row.auditor_attempts,
            ci_runs=row.ci_runs,
            tokens_used=phase.tokens,
            token_cap=limits.get((Scope.PHASE, row.phase_id, Kind.TOKENS)),
            minor_issues=phase.issues.minor,
            major_issues=phase.issues.major,
        )
        for phase in tree.phases
        for row in [phase.row]
    )


def _count(session: Session, column: InstrumentedAttribute[str], ids: Sequence[str]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(column.in_(ids)).group_by(column)
    return dict(session.execute(query).all())


def _value_or_default(value: int | None, otherwise: float) -> int:
    return int(otherwise) if value is None else value
