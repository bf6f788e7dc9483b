"""Sums over the ledger of model calls: tokens and money, grouped by columns of the ledger."""

from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.tables import ModelCallRow
from app.domain.budget import Usage

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
