"""Sums over the ledger of model calls; all caps of a run, its phases, tiers and issue, and what is used of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.tables import ModelCallRow, Phase, Run
from app.domain.budget import MAX_MERGES, Cap, Kind, Scope, Usage
from app.domain.strategy import Strategy

K = TypeVar("K", bound=str | None)

# Summed apart: on PostgreSQL, input + output of one call may be more than its integers hold.
_INPUT, _CACHED, _OUTPUT = (
    sa.func.coalesce(sa.func.sum(column), 0)
    for column in (ModelCallRow.input, ModelCallRow.cached, ModelCallRow.output)
)
TOKENS = _INPUT + _OUTPUT
"""Tokens of settled calls: a call has none before it is settled."""
COST = sa.func.sum(ModelCallRow.cost_usd)
_RESERVED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 0), else_=ModelCallRow.reserved)), 0)
_SETTLED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 1), else_=0)), 0)


@dataclass(frozen=True)
class TokenSums:
    """What some calls used, and what those under way have reserved."""

    usage: Usage = field(default_factory=Usage)
    reserved: int = 0
    settled_calls: int = 0

    def __add__(self, other: "TokenSums") -> "TokenSums":
        return TokenSums(
            self.usage + other.usage, self.reserved + other.reserved, self.settled_calls + other.settled_calls
        )


def read_sums(session: Session, column: InstrumentedAttribute[K], *which: sa.ColumnElement[bool]) -> dict[K, TokenSums]:
    """The sums of all calls with the same value in a column of the ledger, by that value."""
    query = sa.select(column, _INPUT, _CACHED, _OUTPUT, COST, _RESERVED, _SETTLED).where(*which).group_by(column)
    return {
        key: TokenSums(
            Usage(input=int(given), cached=int(cached), output=int(output), cost_usd=cost), int(reserved), int(settled)
        )
        for key, given, cached, output, cost, reserved, settled in session.execute(query)
    }


def read_caps(session: Session, run: Run, issue_token_cap: int | None = None) -> tuple[Cap, ...]:
    """All caps of the run: its own first, then its issue's, its tiers' and its phases'.

    `issue_token_cap` holds until the run's strategy says what its issue may use.
    """
    phases = session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id).order_by(Phase.phase_index)).all()
    spent = read_sums(session, ModelCallRow.phase_id, ModelCallRow.run_id == run.run_id)
    return caps_of(session, run, phases, spent, issue_token_cap)


def caps_of(
    session: Session,
    run: Run,
    phases: Sequence[Phase],
    spent: Mapping[str | None, TokenSums],
    issue_token_cap: int | None = None,
) -> tuple[Cap, ...]:
    """As `read_caps`, from the run's phases and from what each spent; only its issue's sums are read."""
    strategy = run.strategy
    own = _cap(Scope.RUN, run.run_id, run.token_cap, *spent.values())
    of_issue = _issue_caps(session, run, strategy.issue_token_cap if strategy else issue_token_cap)
    if strategy is None:
        return (own, *of_issue)
    every = (own, *of_issue, *_work_caps(run, strategy, phases, spent))
    return tuple(cap.model_copy(update={"warn_at": strategy.warn_at}) for cap in every)


def _work_caps(
    run: Run, strategy: Strategy, phases: Sequence[Phase], spent: Mapping[str | None, TokenSums]
) -> Iterable[Cap]:
    ci_runs = sum(phase.ci_runs for phase in phases) + run.merge_ci_runs
    limit = strategy.max_ci_runs + MAX_MERGES
    yield Cap(scope=Scope.RUN, name=run.run_id, kind=Kind.CI_RUNS, limit=limit, used=ci_runs)
    minutes = run.active_seconds / 60
    yield Cap(scope=Scope.RUN, name=run.run_id, kind=Kind.MINUTES, limit=strategy.max_minutes, used=minutes)
    by_tier: defaultdict[str, list[Phase]] = defaultdict(list)
    for phase in phases:
        by_tier[phase.tier_id].append(phase)
    for rules in strategy.tiers:
        within = by_tier[rules.tier_id]
        used = [spent.get(phase.phase_id, TokenSums()) for phase in within]
        yield _cap(Scope.TIER, rules.tier_id, rules.token_cap, *used)
        ci_runs = sum(phase.ci_runs for phase in within)
        yield Cap(scope=Scope.TIER, name=rules.tier_id, kind=Kind.CI_RUNS, limit=rules.max_ci_runs, used=ci_runs)
    for phase in phases:
        rules = strategy.of_phase(phase.phase_id)
        yield _cap(Scope.PHASE, phase.phase_id, rules.token_cap, spent.get(phase.phase_id, TokenSums()))
        limit = rules.max_ci_runs
        yield Cap(scope=Scope.PHASE, name=phase.phase_id, kind=Kind.CI_RUNS, limit=limit, used=phase.ci_runs)


def _issue_caps(session: Session, run: Run, limit: int | None) -> tuple[Cap, ...]:
    """The cap of the issue over its whole life; none for a run without an issue."""
    if limit is None or not run.repository or not run.issue_number:
        return ()
    of_issue = sa.select(Run.run_id).where(Run.repository == run.repository, Run.issue_number == run.issue_number)
    used = read_sums(session, ModelCallRow.run_id, ModelCallRow.run_id.in_(of_issue))
    return (_cap(Scope.ISSUE, f"#{run.issue_number}", limit, *used.values()),)


def _cap(scope: Scope, name: str, limit: int, *spent: TokenSums) -> Cap:
    together = sum(spent, TokenSums())
    return Cap(scope=scope, name=name, limit=limit, used=together.usage.total, reserved=together.reserved)
