"""The ledger of model calls: room is reserved before a request is sent and settled with what it really used."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import budget_usage
from app.db.budget_usage import EarlyCaps, read_sums
from app.db.engine import LOCK, Database
from app.db.tables import ModelCallRow, Phase, Run
from app.domain.budget import Cap, Kind, ModelUse, Purpose, Role, Usage, check_fit, concerning


@dataclass(frozen=True)
class Reservation:
    """A model request that is about to be sent. `tokens` is the most it may need."""

    call_id: str
    run_id: str
    phase_id: str | None
    role: Role
    model: str
    tokens: int
    cost_usd: Decimal | None = None
    """The most it may cost; None where the price is not known."""


def reserve(db: Database, request: Reservation, now: datetime, *, early: EarlyCaps | None = None) -> None:
    """Reserve tokens and money of one request under the caps of phase, tier, run, issue and day.

    The same `call_id` again changes nothing. `early` holds until the run's strategy is stored.
    Raises `BudgetExhausted` naming the cap, and then nothing is reserved and the request must not be sent.
    """
    with db.writing() as session:
        run = _lock_run(session, request.run_id)
        if session.get(ModelCallRow, request.call_id) is not None:
            return
        phase = session.get_one(Phase, (run.run_id, request.phase_id)) if request.phase_id is not None else None
        purpose = Purpose(role=request.role, phase_id=request.phase_id, attempt=_attempt(phase, request.role))
        caps_now = budget_usage.read_caps(session, run, early)
        check_fit(request.tokens, _concerning(caps_now, Kind.TOKENS, phase), purpose)
        if request.cost_usd is not None:
            in_money = (*_concerning(caps_now, Kind.USD, phase), *budget_usage.read_day_caps(session, run, now, early))
            check_fit(float(request.cost_usd), in_money, purpose)
        session.add(
            ModelCallRow(
                id=request.call_id,
                run_id=run.run_id,
                phase_id=request.phase_id,
                role=request.role,
                model=request.model,
                reserved=request.tokens,
                reserved_usd=request.cost_usd,
                at=now,
            )
        )


def claim_ci_run(db: Database, run_id: str, phase_id: str | None, number: int) -> None:
    """Count the phase's CI run of this number (from 1), or for None the one of the run's merges with the base.

    Counted already, nothing changes. Raises `BudgetExhausted` naming the cap, and then nothing may be pushed.
    """
    with db.writing() as session:
        run = _lock_run(session, run_id)
        phase = session.get_one(Phase, (run_id, phase_id)) if phase_id is not None else None
        if number <= (phase.ci_runs if phase else run.merge_ci_runs):
            return
        check_fit(1, _concerning(budget_usage.read_caps(session, run), Kind.CI_RUNS, phase), Purpose(phase_id=phase_id))
        if phase is not None:
            phase.ci_runs = number
        else:
            run.merge_ci_runs = number


def check_ci_budget(db: Database, run_id: str, phase_id: str) -> None:
    """Raise `BudgetExhausted` when `claim_ci_run` would; nothing is counted."""
    with db.reading() as session:
        run, phase = session.get_one(Run, run_id), session.get_one(Phase, (run_id, phase_id))
        check_fit(1, _concerning(budget_usage.read_caps(session, run), Kind.CI_RUNS, phase), Purpose(phase_id=phase_id))


def ci_runs(db: Database, run_id: str, phase_id: str | None) -> int:
    """How many CI runs the phase has started, or for None the run's merges with the base."""
    with db.reading() as session:
        if phase_id is None:
            return session.get_one(Run, run_id).merge_ci_runs
        return session.get_one(Phase, (run_id, phase_id)).ci_runs


def read_tokens_left(db: Database, run_id: str, phase_id: str | None) -> int | None:
    """Tokens left under the tightest cap of what is done for this phase, or for none; None where nothing is capped."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        phase = session.get_one(Phase, (run_id, phase_id)) if phase_id is not None else None
        caps = _concerning(budget_usage.read_caps(session, run), Kind.TOKENS, phase)
        return min((int(cap.left) for cap in caps), default=None)


def settle(db: Database, call_id: str, usage: Usage, model: str | None = None) -> None:
    """Replace the reservation by what was used. A second settlement of the same call changes nothing."""
    values: dict[str, int | Decimal | str | bool | None] = {
        "settled": True,
        "input": usage.input,
        "cached": usage.cached,
        "output": usage.output,
        "discount": usage.discount,
        "estimated": usage.estimated,
        "cost_usd": usage.cost_usd,
    }
    if model:
        values["model"] = model
    with db.writing() as session:
        session.execute(
            sa.update(ModelCallRow).where(ModelCallRow.id == call_id, ModelCallRow.settled.is_(False)).values(**values)
        )


def usage_by_role(session: Session, run_id: str) -> dict[Role, Usage]:
    """Settled usage of planner, builder and auditor; a role without a settled call is absent."""
    by_role = read_sums(session, ModelCallRow.role, ModelCallRow.run_id == run_id)
    return {role: sums.usage for role, sums in by_role.items() if sums.settled_calls}


def list_model_uses(session: Session, run_id: str) -> tuple[ModelUse, ...]:
    """What each model of each role was used for, in the order of first requests; those that never answered too."""
    listed = budget_usage.read_sums_of((ModelCallRow.role, ModelCallRow.model), session, ModelCallRow.run_id == run_id)
    return tuple(ModelUse(role=role, model=model, usage=sums.usage) for (role, model), sums in listed)


def models_of_phase(db: Database, run_id: str, phase_id: str) -> Mapping[Role, tuple[str, ...]]:
    """The models that answered for a phase in each role, in the order of their first answers."""
    with db.reading() as session:
        return list_models(session, run_id).get(phase_id, {})


def list_models(session: Session, run_id: str) -> Mapping[str, Mapping[Role, tuple[str, ...]]]:
    """`models_of_phase` of every phase of the run."""
    reported = sa.func.max(sa.case((ModelCallRow.estimated, 0), else_=1))
    answered = (
        sa.select(ModelCallRow.phase_id, ModelCallRow.role, ModelCallRow.model, reported)
        .where(ModelCallRow.run_id == run_id, ModelCallRow.phase_id.is_not(None))
        .where(ModelCallRow.settled, ModelCallRow.output > 0)
        .group_by(ModelCallRow.phase_id, ModelCallRow.role, ModelCallRow.model)
        .order_by(sa.func.min(ModelCallRow.at))
    )
    models: defaultdict[tuple[str, Role, bool], tuple[str, ...]] = defaultdict(tuple)
    for phase_id, role, model, has_reported in session.execute(answered):
        models[str(phase_id), role, bool(has_reported)] += (model,)
    # Without a report it may be a server that makes none, or one whose reply was none.
    found: defaultdict[str, dict[Role, tuple[str, ...]]] = defaultdict(dict)
    for phase_id, role, _ in models:
        found[phase_id][role] = models.get((phase_id, role, True)) or models.get((phase_id, role, False), ())
    return found


def _lock_run(session: Session, run_id: str) -> Run:
    """The run, held until the transaction ends: of two requests that only one fits, the second sees the first.

    All runs of a GitHub issue share a cap, so each holds the first of them too, and holds it first.
    """
    run = session.get_one(Run, run_id)
    if run.repository and run.issue_number:
        of_issue = sa.select(Run.run_id).where(Run.repository == run.repository, Run.issue_number == run.issue_number)
        session.scalar(of_issue.order_by(Run.created_at, Run.run_id).limit(1).with_for_update(**LOCK))
    session.refresh(run, with_for_update=LOCK)
    return run


def _concerning(listed: Iterable[Cap], kind: Kind, phase: Phase | None) -> tuple[Cap, ...]:
    tier_id, phase_id = (phase.tier_id, phase.phase_id) if phase else (None, None)
    return concerning(listed, kind, tier_id=tier_id, phase_id=phase_id)


def _attempt(phase: Phase | None, role: Role) -> int | None:
    if phase is None:
        return None
    return phase.auditor_attempts if role is Role.AUDITOR else phase.builder_attempts
