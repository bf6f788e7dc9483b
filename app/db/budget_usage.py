"""Sums over the ledger of model calls; all caps of a run, its phases, tiers and issue, and what is used of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.tables import ModelCallRow, Phase, Run
from app.domain.budget import MAX_MERGES, Cap, Kind, Scope, Usage
from app.domain.ruleset import MoneyRules
from app.domain.strategy import Strategy

K = TypeVar("K", bound=str | bool | None)

# Summed apart: on PostgreSQL, input + output of one call may be more than its integers hold.
_INPUT, _CACHED, _OUTPUT, _DISCOUNT = (
    sa.func.coalesce(sa.func.sum(column), 0)
    for column in (ModelCallRow.input, ModelCallRow.cached, ModelCallRow.output, ModelCallRow.discount)
)
TOKENS = _INPUT + _OUTPUT - _DISCOUNT
"""Tokens of settled calls, as caps count them: a call has none before it is settled."""
COST = sa.func.sum(ModelCallRow.cost_usd)
_ESTIMATED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.estimated, 1), else_=0)), 0)
_UNPRICED = sa.func.coalesce(
    sa.func.sum(sa.case((sa.and_(ModelCallRow.cost_usd.is_(None), ModelCallRow.input > 0), 1), else_=0)), 0
)
_RESERVED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 0), else_=ModelCallRow.reserved)), 0)
_RESERVED_USD = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 0), else_=ModelCallRow.reserved_usd)), 0)
_SETTLED = sa.func.coalesce(sa.func.sum(sa.case((ModelCallRow.settled, 1), else_=0)), 0)


@dataclass(frozen=True)
class TokenSums:
    """What some calls used, and what those under way have reserved."""

    usage: Usage = field(default_factory=Usage)
    reserved: int = 0
    settled_calls: int = 0
    reserved_usd: Decimal = Decimal(0)

    def __add__(self, other: "TokenSums") -> "TokenSums":
        return TokenSums(
            self.usage + other.usage,
            self.reserved + other.reserved,
            self.settled_calls + other.settled_calls,
            self.reserved_usd + other.reserved_usd,
        )


def read_sums(session: Session, column: InstrumentedAttribute[K], *which: sa.ColumnElement[bool]) -> dict[K, TokenSums]:
    """The sums of all calls with the same value in a column of the ledger, by that value."""
    return {key: sums for (key,), sums in read_sums_of((column,), session, *which)}


def read_sums_of(
    columns: Sequence[InstrumentedAttribute[Any]], session: Session, *which: sa.ColumnElement[bool]
) -> list[tuple[tuple[Any, ...], TokenSums]]:
    """The sums of all calls with the same values in some columns, by these values, in the order of first calls."""
    sums = (_INPUT, _CACHED, _OUTPUT, _DISCOUNT, COST, _UNPRICED, _ESTIMATED, _RESERVED, _SETTLED, _RESERVED_USD)
    query = sa.select(*columns, *sums).where(*which).group_by(*columns).order_by(sa.func.min(ModelCallRow.at))
    listed: list[tuple[tuple[Any, ...], TokenSums]] = []
    for row in session.execute(query):
        key, figures = tuple(row[: len(columns)]), row[len(columns) :]
        given, cached, output, discount, cost, unpriced, estimated, reserved, settled, held = figures
        usage = Usage(
            input=int(given),
            cached=int(cached),
            output=int(output),
            discount=int(discount),
            cost_usd=cost,
            cost_partial=cost is not None and unpriced > 0,
            estimated=estimated > 0,
        )
        listed.append((key, TokenSums(usage, int(reserved), int(settled), Decimal(held))))
    return listed


@dataclass(frozen=True)
class EarlyCaps:
    """What bounds a run and its issue before the run has a strategy."""

    issue_tokens: int
    usd: MoneyRules = field(default_factory=MoneyRules)


def read_caps(session: Session, run: Run, early: EarlyCaps | None = None) -> tuple[Cap, ...]:
    """All caps of the run: its own first, then its issue's, its tiers' and its phases'.

    `early` holds until the run's strategy says what it may use.
    """
    phases = session.scalars(sa.select(Phase).where(Phase.run_id == run.run_id).order_by(Phase.phase_index)).all()
    spent = read_sums(session, ModelCallRow.phase_id, ModelCallRow.run_id == run.run_id)
    return caps_of(session, run, phases, spent, early)


def caps_of(
    session: Session,
    run: Run,
    phases: Sequence[Phase],
    spent: Mapping[str | None, TokenSums],
    early: EarlyCaps | None = None,
) -> tuple[Cap, ...]:
    """As `read_caps`, from the run's phases and from what each spent; only its issue's sums are read."""
    strategy = run.strategy
    money = _money_rules(run, early)
    own = _caps(Scope.RUN, run.run_id, run.token_cap, money.run, *spent.values())
    issue_tokens = strategy.issue_token_cap if strategy else early.issue_tokens if early else None
    every = (*own, *_issue_caps(session, run, issue_tokens, money.issue))
    if strategy is None:
        return every
    every = (*every, *_work_caps(run, strategy, phases, spent))
    return tuple(cap.model_copy(update={"warn_at": strategy.warn_at}) for cap in every)


def read_day_caps(session: Session, run: Run, now: datetime, early: EarlyCaps | None = None) -> tuple[Cap, ...]:
    """What the run's repository and requester, and the service, may spend on this day, by UTC, in US dollars."""
    money = _money_rules(run, early)
    today = ModelCallRow.at >= now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    caps: list[Cap] = []
    if money.repository_day is not None and run.repository:
        runs = sa.select(Run.run_id).where(Run.repository == run.repository)
        used = read_sums(session, ModelCallRow.settled, today, ModelCallRow.run_id.in_(runs))
        caps.append(_usd_cap(Scope.REPOSITORY, f"{run.repository} today", money.repository_day, *used.values()))
    if money.person_day is not None and run.requester_id:
        theirs = sa.select(Run.run_id).where(Run.requester_id == run.requester_id)
        used = read_sums(session, ModelCallRow.settled, today, ModelCallRow.run_id.in_(theirs))
        caps.append(_usd_cap(Scope.PERSON, f"{run.requester} today", money.person_day, *used.values()))
    if money.service_day is not None:
        used = read_sums(session, ModelCallRow.settled, today)
        caps.append(_usd_cap(Scope.SERVICE, "today", money.service_day, *used.values()))
    return tuple(caps)


def _money_rules(run: Run, early: EarlyCaps | None) -> MoneyRules:
    if run.strategy is not None:
        return run.strategy.usd
    return early.usd if early else MoneyRules()


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
        yield from _caps(Scope.TIER, rules.tier_id, rules.token_cap, rules.usd_cap, *used)
        ci_runs = sum(phase.ci_runs for phase in within)
        yield Cap(scope=Scope.TIER, name=rules.tier_id, kind=Kind.CI_RUNS, limit=rules.max_ci_runs, used=ci_runs)
    for phase in phases:
        rules = strategy.of_phase(phase.phase_id)
        of_phase = spent.get(phase.phase_id, TokenSums())
        yield from _caps(Scope.PHASE, phase.phase_id, rules.token_cap, rules.usd_cap, of_phase)
        limit = rules.max_ci_runs
        yield Cap(scope=Scope.PHASE, name=phase.phase_id, kind=Kind.CI_RUNS, limit=limit, used=phase.ci_runs)


def _issue_caps(session: Session, run: Run, tokens: int | None, usd: float | None) -> tuple[Cap, ...]:
    """The caps of the issue over its whole life; none for a run without an issue."""
    if tokens is None or not run.repository or not run.issue_number:
        return ()
    of_issue = sa.select(Run.run_id).where(Run.repository == run.repository, Run.issue_number == run.issue_number)
    used = read_sums(session, ModelCallRow.run_id, ModelCallRow.run_id.in_(of_issue))
    return _caps(Scope.ISSUE, f"#{run.issue_number}", tokens, usd, *used.values())


def _caps(scope: Scope, name: str, tokens: int, usd: float | None, *spent: TokenSums) -> tuple[Cap, ...]:
    """The cap in tokens, and the one in money where there is one."""
    together = sum(spent, TokenSums())
    counted = Cap(scope=scope, name=name, limit=tokens, used=together.usage.against_caps, reserved=together.reserved)
    return (counted,) if usd is None else (counted, _usd_cap(scope, name, usd, together))


def _usd_cap(scope: Scope, name: str, limit: float, *spent: TokenSums) -> Cap:
    together = sum(spent, TokenSums())
    used = float(together.usage.cost_usd or 0)
    reserved = float(together.reserved_usd)
    return Cap(scope=scope, name=name, kind=Kind.USD, limit=limit, used=used, reserved=reserved)
