"""Where budgets ran out and what they went into, over all runs."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.budget_usage import COST, TOKENS
from app.db.engine import Database
from app.db.tables import ModelCallRow, Phase, Run
from app.domain.budget import Exhausted, Scope
from app.domain.metrics import (
    AuditedPhases,
    AuditorTries,
    BudgetAnalysis,
    BudgetFailure,
    SliceSpending,
    failures_by_cap,
    most_expensive,
    share,
)
from app.domain.ruleset import RunCaps
from app.domain.states import PhaseState, RunState
from app.queries import run_metrics

_FAILED = Run.state == RunState.DONE_FAILED_BUDGET_EXHAUSTED


def budget_analysis(db: Database, defaults: RunCaps, *, limit: int = 100) -> BudgetAnalysis:
    """Budget failures, the newest `limit` of them one by one; what phases of each kind spent; what audits helped."""
    with db.reading() as session:
        total = session.scalar(sa.select(sa.func.count()).select_from(Run).where(_FAILED)) or 0
        failures = [_failure(session, row) for row in run_metrics.run_metric_rows(session, defaults, _FAILED, limit)]
        return BudgetAnalysis(
            total_budget_failures=total,
            average_token_utilization=_utilization(session, _FAILED),
            average_token_utilization_all_runs=_utilization(session, sa.true()),
            failures=failures,
            failures_by_cap=failures_by_cap(failures),
            spending=most_expensive(_slices(session)),
            auditor_tries=AuditorTries(
                one_audit=_audited(session, Phase.auditor_attempts == 1),
                several_audits=_audited(session, Phase.auditor_attempts > 1),
            ),
        )


def _failure(session: Session, row: dict[str, object]) -> BudgetFailure:
    cap = row.pop("exhausted")
    assert cap is None or isinstance(cap, Exhausted)
    phase_id = (cap.phase_id or (cap.name if cap.scope is Scope.PHASE else None)) if cap else None
    tier_id = cap.name if cap and cap.scope is Scope.TIER else None
    if phase_id is not None:
        tier_id = session.scalar(
            sa.select(Phase.tier_id).where(Phase.run_id == row["run_id"], Phase.phase_id == phase_id)
        )
    return BudgetFailure.model_validate({**row, "cap": cap, "phase_id": phase_id, "tier_id": tier_id})


def _utilization(session: Session, which: sa.ColumnElement[bool]) -> float:
    """The average share of its cap that a run has used."""
    used = (
        sa.select(ModelCallRow.run_id, TOKENS.label("tokens")).where(ModelCallRow.settled).group_by(ModelCallRow.run_id)
    )
    of_run = used.subquery()
    shares = sa.func.sum(sa.func.coalesce(of_run.c.tokens, 0) * 1.0 / Run.token_cap)
    query = sa.select(shares, sa.func.count()).select_from(Run).outerjoin(of_run, of_run.c.run_id == Run.run_id)
    total, runs = session.execute(query.where(which, Run.token_cap > 0)).one()
    return share(float(total or 0), runs)


def _slices(session: Session) -> list[SliceSpending]:
    key = (Phase.task_category, Phase.complexity)
    spent = session.execute(
        sa.select(*key, TOKENS, COST)
        .select_from(ModelCallRow)
        .join(Phase, sa.and_(Phase.run_id == ModelCallRow.run_id, Phase.phase_id == ModelCallRow.phase_id))
        .where(ModelCallRow.settled)
        .group_by(*key)
    )
    amounts = {(category, complexity): (int(tokens), cost) for category, complexity, tokens, cost in spent}
    completed = sa.func.sum(sa.case((Phase.state == PhaseState.COMPLETE, 1), else_=0))
    counted = session.execute(
        sa.select(*key, sa.func.count(), completed, sa.func.sum(Phase.builder_attempts)).group_by(*key)
    )
    return [
        SliceSpending(
            task_category=category,
            complexity=complexity,
            phases=phases,
            completed=done,
            builder_attempts=attempts,
            tokens_used=amounts.get((category, complexity), (0, None))[0],
            cost_usd=amounts.get((category, complexity), (0, None))[1],
        )
        for category, complexity, phases, done, attempts in counted
    ]


def _audited(session: Session, which: sa.ColumnElement[bool]) -> AuditedPhases:
    ended = [PhaseState.COMPLETE, PhaseState.FAILED]
    query = sa.select(Phase.state, sa.func.count()).where(which, Phase.state.in_(ended)).group_by(Phase.state)
    found = dict(session.execute(query).all())
    return AuditedPhases(ended=sum(found.values()), completed=found.get(PhaseState.COMPLETE, 0))
