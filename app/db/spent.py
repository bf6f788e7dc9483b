"""What the ledger's settled calls sum up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.tables import ModelCall

# Summed apart: on PostgreSQL, input + output of one call may be more than its integers hold.
TOKENS = sa.func.coalesce(sa.func.sum(ModelCall.input), 0) + sa.func.coalesce(sa.func.sum(ModelCall.output), 0)
COST = sa.func.sum(ModelCall.cost_usd)


@dataclass(frozen=True)
class Spent:
    """Settled tokens, and their price in US dollars where one is known."""

    tokens: int = 0
    cost_usd: Decimal | None = None


def by_phase(session: Session, run_id: str) -> dict[str, Spent]:
    """What each phase of a run has spent; what belongs to no phase, such as planning, is left out."""
    query = sa.select(ModelCall.phase_id, TOKENS, COST).where(ModelCall.run_id == run_id, ModelCall.settled)
    found = session.execute(query.where(ModelCall.phase_id.is_not(None)).group_by(ModelCall.phase_id))
    return {str(phase_id): Spent(int(tokens), cost) for phase_id, tokens, cost in found}


def by_run(session: Session, ids: Sequence[str]) -> dict[str, Spent]:
    """What each of these runs has spent in all."""
    query = sa.select(ModelCall.run_id, TOKENS, COST).where(ModelCall.run_id.in_(ids), ModelCall.settled)
    found = session.execute(query.group_by(ModelCall.run_id))
    return {run_id: Spent(int(tokens), cost) for run_id, tokens, cost in found}
