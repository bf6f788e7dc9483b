"""The ledger of model calls: room is reserved before a request is sent and settled with what it really used."""

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.engine import LOCK, Database
from app.db.tables import ModelCall, Phase, Run
from app.domain.budget import Cap, Role, Scope, Usage, check_fit
from app.domain.strategy import Strategy

_SPENT = sa.func.coalesce(sa.func.sum(sa.case((ModelCall.settled, ModelCall.input + ModelCall.output), else_=0)), 0)
_RESERVED = sa.func.coalesce(sa.func.sum(sa.case((ModelCall.settled, 0), else_=ModelCall.reserved)), 0)


def reserve(
    db: Database, call_id: str, run_id: str, phase_id: str | None, role: Role, model: str, tokens: int, now: datetime
) -> None:
    """Reserve `tokens` for one request under the caps of phase, tier and run; the same `call_id` again changes nothing.

    Raises `BudgetExhausted` naming the cap, and then nothing is reserved and the request must not be sent.
    """
    with db.writing() as session:
        # Held until the reservation is stored: of two that only one fits, the second sees the first.
        session.get_one(Run, run_id, with_for_update=LOCK)
        if session.get(ModelCall, call_id) is not None:
            return
        check_fit(tokens, _caps(session, run_id, phase_id))
        session.add(
            ModelCall(id=call_id, run_id=run_id, phase_id=phase_id, role=role, model=model, reserved=tokens, at=now)
        )


def settle(db: Database, call_id: str, usage: Usage, model: str | None = None) -> None:
    """Replace the reservation by what was used. A second settlement of the same call changes nothing."""
    values: dict[str, int | Decimal | str | bool | None] = {
        "settled": True,
        "input": usage.input,
        "cached": usage.cached,
        "output": usage.output,
        "cost_usd": usage.cost_usd,
    }
    if model:
        values["model"] = model
    with db.writing() as session:
        session.execute(
            sa.update(ModelCall).where(ModelCall.id == call_id, ModelCall.settled.is_(False)).values(**values)
        )


def run_cap(db: Database, run_id: str) -> Cap:
    """The run's token cap and what stands against it."""
    with db.reading() as session:
        return _run_cap(session, run_id)


def usage_by_role(db: Database, run_id: str) -> dict[Role, Usage]:
    """Settled usage apart for planner, builder and auditor."""
    query = (
        sa.select(
            ModelCall.role,
            sa.func.sum(ModelCall.input),
            sa.func.sum(ModelCall.cached),
            sa.func.sum(ModelCall.output),
            sa.func.sum(ModelCall.cost_usd),
        )
        .where(ModelCall.run_id == run_id, ModelCall.settled)
        .group_by(ModelCall.role)
    )
    with db.reading() as session:
        rows = session.execute(query).all()
    return {Role(role): Usage(input=i, cached=c, output=o, cost_usd=cost) for role, i, c, o, cost in rows}


def models_by_role(db: Database, run_id: str) -> dict[Role, str]:
    """The model that last answered in each role."""
    query = sa.select(ModelCall.role, ModelCall.model).where(ModelCall.run_id == run_id).order_by(ModelCall.at)
    with db.reading() as session:
        return {Role(role): model for role, model in session.execute(query)}


def tokens_by_phase(db: Database, run_id: str) -> dict[str, int]:
    """Settled tokens of each phase."""
    query = (
        sa.select(ModelCall.phase_id, _SPENT)
        .where(ModelCall.run_id == run_id, ModelCall.phase_id.is_not(None))
        .group_by(ModelCall.phase_id)
    )
    with db.reading() as session:
        return {phase_id: int(tokens) for phase_id, tokens in session.execute(query) if phase_id is not None}


def _caps(session: Session, run_id: str, phase_id: str | None) -> list[Cap]:
    run = session.get_one(Run, run_id)
    caps = [_run_cap(session, run_id)]
    if phase_id is not None and run.strategy is not None:
        strategy = Strategy.model_validate(run.strategy)
        phase = session.get_one(Phase, (run_id, phase_id))
        of_tier = sa.select(Phase.phase_id).where(Phase.run_id == run_id, Phase.tier_id == phase.tier_id)
        tier_cap = strategy.of_tier(phase.tier_id).token_cap
        caps.append(_cap(session, Scope.TIER, phase.tier_id, tier_cap, run_id, ModelCall.phase_id.in_(of_tier)))
        phase_cap = strategy.of_phase(phase_id).token_cap
        caps.append(_cap(session, Scope.PHASE, phase_id, phase_cap, run_id, ModelCall.phase_id == phase_id))
    return caps


def _run_cap(session: Session, run_id: str) -> Cap:
    limit = session.get_one(Run, run_id).token_cap
    return _cap(session, Scope.RUN, run_id, limit, run_id, sa.true())


def _cap(session: Session, scope: Scope, name: str, limit: int, run_id: str, condition: sa.ColumnElement[bool]) -> Cap:
    used, reserved = session.execute(sa.select(_SPENT, _RESERVED).where(ModelCall.run_id == run_id, condition)).one()
    return Cap(scope=scope, name=name, limit=limit, used=int(used), reserved=int(reserved))
