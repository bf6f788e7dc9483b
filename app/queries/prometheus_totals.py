"""What the whole database holds, counted: for monitoring. Few labels, and none that names a run or a repository."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.budget_usage import TokenSums, read_sums
from app.db.engine import Database
from app.db.tables import Backlog, DeliveryRow, FindingRow, ModelCallRow, OwedText, Phase, Run
from app.domain.budget import Role

T = TypeVar("T", str, bool)


@dataclass(frozen=True)
class ServiceTotals:
    runs: Mapping[str, int]
    """By state."""
    open_runs: int
    waiting_runs: int
    """Of these, runs with a repository that wait for their turn."""
    roles: Mapping[Role, TokenSums]
    calls_under_way: Mapping[str, int]
    """Reserved, not settled; by role."""
    phases: Mapping[tuple[str, str], int]
    """By category and state."""
    ci_runs: int
    findings: Mapping[tuple[str, bool], int]
    """By severity, and whether they are open."""
    backlog: Mapping[tuple[str, str], int]
    """By base severity and status."""
    deliveries: int
    waiting_deliveries: int
    oldest_waiting: datetime | None
    owed_texts: int


def read_totals(db: Database) -> ServiceTotals:
    """Count everything, in one consistent state."""
    with db.reading() as session:
        waiting, oldest = session.execute(
            sa.select(sa.func.count(), sa.func.min(DeliveryRow.received_at)).where(DeliveryRow.handed_at.is_(None))
        ).one()
        return ServiceTotals(
            runs=_counted(session, Run.state),
            open_runs=session.scalar(sa.select(sa.func.count()).where(Run.completed_at.is_(None))) or 0,
            waiting_runs=session.scalar(
                sa.select(sa.func.count()).where(
                    Run.completed_at.is_(None), Run.repository.is_not(None), Run.base_sha.is_(None)
                )
            )
            or 0,
            roles=read_sums(session, ModelCallRow.role),
            calls_under_way=_counted(session, ModelCallRow.role, ModelCallRow.settled.is_(False)),
            phases=_counted_by_two(session, Phase.task_category, Phase.state),
            ci_runs=_sum(session, Phase.ci_runs) + _sum(session, Run.merge_ci_runs),
            findings=_counted_by_two(session, FindingRow.severity, FindingRow.open),
            backlog=_counted_by_two(session, Backlog.base_severity, Backlog.status),
            deliveries=session.scalar(sa.select(sa.func.count()).select_from(DeliveryRow)) or 0,
            waiting_deliveries=waiting,
            oldest_waiting=oldest,
            owed_texts=session.scalar(sa.select(sa.func.count()).select_from(OwedText)) or 0,
        )


def _counted(session: Session, column: InstrumentedAttribute[str], *which: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(*which).group_by(column)
    return dict(session.execute(query).all())


def _counted_by_two(
    session: Session, one: InstrumentedAttribute[str], two: InstrumentedAttribute[T]
) -> dict[tuple[str, T], int]:
    query = sa.select(one, two, sa.func.count()).group_by(one, two)
    return {(first, second): count for first, second, count in session.execute(query)}


def _sum(session: Session, column: InstrumentedAttribute[int]) -> int:
    return int(session.scalar(sa.select(sa.func.coalesce(sa.func.sum(column), 0))) or 0)
