"""All caps of a run, of its phases, tiers and issue: tokens, CI runs and minutes, and what is used of each."""

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db.tables import ModelCallRow, Phase, Run
from app.db.token_sums import TokenSums, read_sums
from app.domain.budget import MAX_MERGES, Cap, Kind, Scope
from app.domain.strategy import Strategy


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
    for rules in strategy.tiers:
        within = [phase for phase in phases if phase.tier_id == rules.tier_id]
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
