"""Figures of runs, tiers and phases, read for metrics and reports. Tokens are sums of the ledger's settled calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db import budget_usage, finding_rows, model_calls
from app.db.engine import Database
from app.db.model_calls import Spent
from app.db.tables import Phase, Run, Tier
from app.domain.budget import Cap, Kind, Scope
from app.domain.finding_counts import Counts, IssueCounts
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
from app.queries import run_view

NO_COUNTS = Counts()


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
    used, counts = model_calls.spent_by_run(session, ids), finding_rows.counts_of(session, ids)
    return [
        {
            **{name: value for name, value in row.items() if name != "max_minor"},
            **_figures(row, defaults, phases.get(row["run_id"], 0), used.get(row["run_id"], Spent())),
            "minor_issues_count": counts[row["run_id"]].run.minor,
            "major_issues_count": counts[row["run_id"]].run.major,
            "tier_count": tiers.get(row["run_id"], 0),
        }
        for row in found
    ]


def _figures(row: Mapping[Any, Any], defaults: RunCaps, phase_count: int, used: Spent) -> dict[str, Any]:
    return {
        "tokens_used": used.tokens,
        "cost_usd": used.cost_usd,
        "max_minor_issues_total": _value_or_default(row["max_minor"], defaults.minor_issues_per_phase * phase_count),
        "phase_count": phase_count,
        "max_phases": _value_or_default(row["max_phases"], defaults.phases),
    }


def tier_metrics(db: Database, run_id: str) -> list[TierMetrics]:
    """The run's tiers in order. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        return _tiers(session, run, finding_rows.counts(session, run_id), budget_usage.read_caps(session, run))


def run_summary(db: Database, run_id: str, defaults: RunCaps) -> RunSummary:
    """The run as a whole. Raises `sqlalchemy.exc.NoResultFound`."""
    blockers = run_view.read_run_view(db, run_id, "").promotion_blockers
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        counts, listed = finding_rows.counts(session, run_id), budget_usage.read_caps(session, run)
        tiers, phases = _tiers(session, run, counts, listed), _phases(session, run, counts, listed)
        return RunSummary(
            **{name: getattr(run, name) for name in _RUN_FIELDS},
            state=run.state,
            promotion_eligible=run.state is RunState.DONE_SUCCESS and not blockers,
            promotion_blockers=blockers,
            budgets=_budgets(
                run, model_calls.spent_by_run(session, [run_id]).get(run_id, Spent()), defaults, phases, listed
            ),
            issues=RunIssues(
                minor_count=counts.run.minor,
                major_count=counts.run.major,
                max_minor_total=_value_or_default(
                    run.strategy.max_minor_issues if run.strategy else None,
                    defaults.minor_issues_per_phase * len(phases),
                ),
                distinct_issues=len(finding_rows.run_index(session, run_id)),
            ),
            tiers=tuple(
                TierSummary(
                    minor_issues=tier.minor_issues_count,
                    major_issues=tier.major_issues_count,
                    **_shared_fields(tier, TierSummary),
                )
                for tier in tiers
            ),
            phases=tuple(phases),
        )


_RUN_FIELDS = (
    *("run_id", "project_id", "repository", "issue_number", "pull_number", "engine", "safety_profile", "run_scope"),
    *("reason", "next_action", "created_at", "started_at", "completed_at"),
)


def _shared_fields(one: TierMetrics, kind: type[TierSummary]) -> dict[str, Any]:
    return {name: value for name, value in dict(one).items() if name in kind.model_fields}


def _budgets(
    run: Run, used: Spent, defaults: RunCaps, phases: Sequence[PhaseMetrics], listed: Sequence[Cap]
) -> RunBudgets:
    return RunBudgets(
        tokens_used=used.tokens,
        token_cap=run.token_cap,
        token_utilization=share(used.tokens, run.token_cap),
        cost_usd=used.cost_usd,
        phase_count=len(phases),
        max_phases=_value_or_default(run.strategy.max_phases if run.strategy else None, defaults.phases),
        active_minutes=round(run.active_seconds / 60, 2),
        max_minutes=run.max_minutes,
        ci_runs=sum(phase.ci_runs for phase in phases) + run.merge_ci_runs,
        caps=tuple(
            CapUse(
                scope=cap.scope,
                name=cap.name,
                kind=cap.kind,
                used=cap.used if cap.kind is not Kind.MINUTES else round(cap.used, 2),
                limit=cap.limit,
            )
            for cap in listed
            # What an issue has used over its life is changed by its other runs: it is not a figure of this one.
            if cap.scope is not Scope.ISSUE
        ),
    )


def _tiers(session: Session, run: Run, counts: IssueCounts, listed: Sequence[Cap]) -> list[TierMetrics]:
    of_tiers = session.scalars(sa.select(Tier).where(Tier.run_id == run.run_id).order_by(Tier.tier_index, Tier.tier_id))
    phases = session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id)).all()
    limits = {(cap.scope, cap.name, cap.kind): int(cap.limit) for cap in listed}
    max_minor = {tier.tier_id: tier.max_minor_issues for tier in run.strategy.tiers} if run.strategy else {}
    used = model_calls.spent_by_phase(session, run.run_id)
    return [
        TierMetrics(
            tier_id=tier.tier_id,
            tier_index=tier.tier_index,
            name=tier.name,
            state=tier.state,
            minor_issues_count=counts.tiers.get(tier.tier_id, NO_COUNTS).minor,
            major_issues_count=counts.tiers.get(tier.tier_id, NO_COUNTS).major,
            max_minor_issues=max_minor.get(tier.tier_id),
            phase_count=len(within),
            phase_states={
                state: found for state in PhaseState if (found := sum(phase.state == state for phase in within))
            },
            tokens_used=sum(used.get(phase.phase_id, Spent()).tokens for phase in within),
            token_cap=limits.get((Scope.TIER, tier.tier_id, Kind.TOKENS)),
            ci_runs=sum(phase.ci_runs for phase in within),
            max_ci_runs=limits.get((Scope.TIER, tier.tier_id, Kind.CI_RUNS)),
        )
        for tier in of_tiers
        for within in [[phase for phase in phases if phase.tier_id == tier.tier_id]]
    ]


def _phases(session: Session, run: Run, counts: IssueCounts, listed: Sequence[Cap]) -> list[PhaseMetrics]:
    found = session.scalars(
        sa.select(Phase).where(Phase.run_id == run.run_id).order_by(Phase.phase_index, Phase.phase_id)
    )
    planned = {phase.phase_id: phase for phase in run.plan.phases} if run.plan else {}
    limits = {cap.name: int(cap.limit) for cap in listed if (cap.scope, cap.kind) == (Scope.PHASE, Kind.TOKENS)}
    used = model_calls.spent_by_phase(session, run.run_id)
    return [
        PhaseMetrics(
            phase_id=phase.phase_id,
            phase_index=phase.phase_index,
            tier_id=phase.tier_id,
            name=spec.name if (spec := planned.get(phase.phase_id)) else phase.phase_id,
            state=phase.state,
            task_category=phase.task_category,
            complexity=phase.complexity,
            builder_mode=spec.builder_mode if spec else "",
            builder_attempts=phase.builder_attempts,
            auditor_attempts=phase.auditor_attempts,
            ci_runs=phase.ci_runs,
            tokens_used=used.get(phase.phase_id, Spent()).tokens,
            token_cap=limits.get(phase.phase_id),
            minor_issues=counts.phases.get(phase.phase_id, NO_COUNTS).minor,
            major_issues=counts.phases.get(phase.phase_id, NO_COUNTS).major,
        )
        for phase in found
    ]


def _count(session: Session, column: InstrumentedAttribute[str], ids: Sequence[str]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(column.in_(ids)).group_by(column)
    return dict(session.execute(query).all())


def _value_or_default(value: int | None, otherwise: float) -> int:
    return int(otherwise) if value is None else value
