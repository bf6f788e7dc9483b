"""All caps of a run, of its phases, tiers and issue: tokens, CI runs and minutes, and what stands against each."""

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.tables import ModelCallRow, Phase, Run
from app.domain.budget import MAX_MERGES, Cap, Kind, Scope
from app.domain.strategy import Strategy

UsedAndReserved = tuple[int, int]
"""Tokens used, and tokens reserved."""

_USED = sa.func.coalesce(
    sa.func.sum(sa.case((ModelCallRow.settled, ModelCallRow.input + ModelCallRow.output), else_=0)), 0
)
_RESERVED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 0), else_=ModelCallRow.reserved)), 0)


def read_caps(session: Session, run: Run, issue_token_cap: int | None = None) -> tuple[Cap, ...]:
    """All caps of the run: its own first, then its issue's, its tiers' and its phases'.

    `issue_token_cap` holds until the run's strategy says what its issue may use.
    """
    spent = _spent_by_phase(session, run.run_id)
    strategy = run.strategy
    own = _cap(Scope.RUN, run.run_id, run.token_cap, _sum(spent.values()))
    of_issue = _issue_caps(session, run, strategy.issue_token_cap if strategy else issue_token_cap)
    if strategy is None:
        return (own, *of_issue)
    phases = session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id).order_by(Phase.phase_index)).all()
    every = (own, *of_issue, *_work_caps(run, strategy, phases, spent))
    return tuple(cap.model_copy(update={"warn_at": strategy.warn_at}) for cap in every)


def _work_caps(
    run: Run, strategy: Strategy, phases: Sequence[Phase], spent: Mapping[str | None, UsedAndReserved]
) -> Iterable[Cap]:
    ci_runs = sum(phase.ci_runs for phase in phases) + run.merge_ci_runs
    limit = strategy.max_ci_runs + MAX_MERGES
    yield Cap(scope=Scope.RUN, name=run.run_id, kind=Kind.CI_RUNS, limit=limit, used=ci_runs)
    minutes = run.active_seconds / 60
    yield Cap(scope=Scope.RUN, name=run.run_id, kind=Kind.MINUTES, limit=strategy.max_minutes, used=minutes)
    for rules in strategy.tiers:
        within = [phase for phase in phases if phase.tier_id == rules.tier_id]
        used = _sum(spent.get(phase.phase_id, (0, 0)) for phase in within)
        yield _cap(Scope.TIER, rules.tier_id, rules.token_cap, used)
        ci_runs = sum(phase.ci_runs for phase in within)
        yield Cap(scope=Scope.TIER, name=rules.tier_id, kind=Kind.CI_RUNS, limit=rules.max_ci_runs, used=ci_runs)
    for phase in phases:
        rules = strategy.of_phase(phase.phase_id)
        yield _cap(Scope.PHASE, phase.phase_id, rules.token_cap, spent.get(phase.phase_id, (0, 0)))
        limit = rules.max_ci_runs
        yield Cap(scope=Scope.PHASE, name=phase.phase_id, kind=Kind.CI_RUNS, limit=limit, used=phase.ci_runs)


def _issue_caps(session: Session, run: Run, limit: int | None) -> tuple[Cap, ...]:
    """The cap of the issue over its whole life; none for a run that no issue asked for."""
    if limit is None or not run.repository or not run.issue_number:
        return ()
    of_issue = sa.select(Run.run_id).where(Run.repository == run.repository, Run.issue_number == run.issue_number)
    used, reserved = session.execute(sa.select(_USED, _RESERVED).where(ModelCallRow.run_id.in_(of_issue))).one()
    return (_cap(Scope.ISSUE, f"#{run.issue_number}", limit, (int(used), int(reserved))),)


def _spent_by_phase(session: Session, run_id: str) -> dict[str | None, UsedAndReserved]:
    """By phase; None for what no phase spent, such as planning."""
    query = sa.select(ModelCallRow.phase_id, _USED, _RESERVED).where(ModelCallRow.run_id == run_id)
    rows = session.execute(query.group_by(ModelCallRow.phase_id))
    return {phase_id: (int(used), int(reserved)) for phase_id, used, reserved in rows}


def _sum(amounts: Iterable[UsedAndReserved]) -> UsedAndReserved:
    listed = list(amounts)
    return sum(used for used, _ in listed), sum(reserved for _, reserved in listed)


def _cap(scope: Scope, name: str, limit: int, spent: UsedAndReserved) -> Cap:
    used, reserved = spent
    return Cap(scope=scope, name=name, limit=limit, used=used, reserved=reserved)
