"""What completed phases have cost, by category and complexity: from this the cost of a plan is estimated."""

from collections import defaultdict
from decimal import Decimal

import sqlalchemy as sa

from app.db.engine import Database
from app.db.tables import ModelCallRow, Phase, Run
from app.domain.phase_cost import FEWEST, PhaseCost
from app.domain.states import PhaseState

NEWEST = 200
"""Phases that are looked at."""
_OF_ONE_KIND = 20


def read_phase_costs(db: Database, project_id: str) -> dict[tuple[str, str], PhaseCost]:
    """The mean cost of a project's newest completed phases of each kind; only kinds with at least `FEWEST`."""
    spent = (
        sa.select(
            Phase.task_category,
            Phase.complexity,
            sa.func.sum(ModelCallRow.input + ModelCallRow.output),
            sa.func.sum(ModelCallRow.cost_usd),
        )
        .join(Run, Run.run_id == Phase.run_id)
        .join(ModelCallRow, sa.and_(ModelCallRow.run_id == Phase.run_id, ModelCallRow.phase_id == Phase.phase_id))
        .where(Run.project_id == project_id, Phase.state == PhaseState.COMPLETE, ModelCallRow.settled)
        .group_by(Phase.run_id, Phase.phase_id, Phase.task_category, Phase.complexity, Run.created_at)
        .order_by(Run.created_at.desc())
        .limit(NEWEST)
    )
    found: dict[tuple[str, str], list[tuple[int, Decimal | None]]] = defaultdict(list)
    with db.reading() as session:
        for category, complexity, tokens, usd in session.execute(spent):
            found[category, complexity].append((int(tokens or 0), usd))
    newest = {kind: phases[:_OF_ONE_KIND] for kind, phases in found.items() if len(phases) >= FEWEST}
    return {kind: _mean(phases) for kind, phases in newest.items()}


def _mean(phases: list[tuple[int, Decimal | None]]) -> PhaseCost:
    prices = [float(usd) for _, usd in phases if usd is not None]
    return PhaseCost(
        phases=len(phases),
        tokens=sum(tokens for tokens, _ in phases) // len(phases),
        usd=sum(prices) / len(prices) if len(prices) == len(phases) else None,
    )
