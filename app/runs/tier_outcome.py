"""Whether a tier is clean, by what is open in it and what it spent."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import budget_usage, finding_rows
from app.db.engine import Database
from app.db.tables import Phase, Run
from app.domain import promotion
from app.domain.budget import Scope
from app.domain.states import TierState


def read_tier_outcome(db: Database, run_id: str, tier_id: str) -> TierState:
    """Whether the tier is clean, by the findings that are still open in it and what it spent."""
    with db.reading() as session:
        return tier_outcome(session, session.get_one(Run, run_id), tier_id)


def tier_outcome(session: Session, run: Run, tier_id: str) -> TierState:
    """How the tier ends, now that its last phase has. The run has a strategy."""
    session.flush()
    states = session.scalars(sa.select(Phase.state).where(Phase.run_id == run.run_id, Phase.tier_id == tier_id))
    allowed = run.frozen_strategy.of_tier(tier_id)
    found = finding_rows.counts(session, run.run_id).of_tier(tier_id)
    return promotion.tier_outcome(
        list(states),
        major_issues=found.major,
        minor_issues=found.minor,
        max_major=allowed.max_major_issues,
        max_minor=allowed.max_minor_issues,
        budgets=[
            cap for cap in budget_usage.read_caps(session, run) if cap.scope is Scope.TIER and cap.name == tier_id
        ],
    )
