"""A run as the REST API shows it, read in one transaction."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog, finding_rows, linked_runs, model_calls
from app.db.engine import LOCK, Database
from app.db.model_calls import Spent
from app.db.tables import Phase, Run, Tier
from app.domain import promotion
from app.domain.api_errors import NotFound
from app.domain.api_run import FollowingRun, PhaseCard, RunCard, TierCard
from app.domain.finding_counts import IssueCounts
from app.domain.frozen import Frozen
from app.domain.gate import PhaseStatus
from app.domain.plan import Plan, PlannedPhase, is_identifier
from app.domain.states import TierState
from app.domain.strategy import Strategy
from app.queries import phase_status, run_view


class RunLocation(Frozen):
    """Where a run works, for decisions that need no more of it."""

    repository: str | None
    installation_id: int
    base_branch: str
    head_sha: str | None
    over: bool


def get_run_location(db: Database, run_id: str) -> RunLocation:
    """Where the run works. Raises `Unknown`."""
    columns = (Run.repository, Run.installation_id, Run.base_branch, Run.head_sha, Run.completed_at)
    query = sa.select(*columns).where(Run.run_id == run_id)
    with db.reading() as session:
        row = session.execute(query).one_or_none() if is_identifier(run_id) else None
    if row is None:
        raise _not_found(run_id)
    return RunLocation(
        repository=row.repository,
        installation_id=row.installation_id or 0,
        base_branch=row.base_branch,
        head_sha=row.head_sha,
        over=row.completed_at is not None,
    )


def read_run_card(db: Database, run_id: str) -> RunCard:
    """The run as it stands now. Raises `Unknown`."""
    with db.reading() as session:
        return run_card(session, get_run(session, run_id))


def get_run(session: Session, run_id: str, *, held: bool = False) -> Run:
    """The run, on request held until the transaction ends. Raises `Unknown`."""
    lock = LOCK if held else None
    run = session.get(Run, run_id, with_for_update=lock) if is_identifier(run_id) else None
    if run is None:
        raise _not_found(run_id)
    return run


def _not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id[:100]!r}; POST /runs/start makes one")


def run_card(session: Session, run: Run) -> RunCard:
    """As `of_run`, in the caller's transaction."""
    tiers = session.scalars(sa.select(Tier).where(Tier.run_id == run.run_id).order_by(Tier.tier_index)).all()
    counts = finding_rows.counts(session, run.run_id)
    plan, strategy = run.plan, run.strategy
    used = model_calls.spent_by_phase(session, run.run_id)
    rows = _rows(session, run.run_id)
    phases = _phases(session, run, rows, plan, strategy, counts, used)
    held: dict[str, list[PhaseCard]] = {tier.tier_id: [] for tier in tiers}
    for phase in phases:
        held[phase.tier_id].append(phase)
    said = {tier.tier_id: tier.description for tier in plan.tiers} if plan else {}
    tier_cards = [_tier(tier, said.get(tier.tier_id, ""), held[tier.tier_id], counts, strategy) for tier in tiers]
    views = run_view.tier_views(plan, strategy, tiers, rows, used, counts)
    blockers = list(run_view.promotion_blockers(run, views, strategy, counts))
    return RunCard(
        id=run.run_id,
        run_id=run.run_id,
        state=run.state,
        project_id=run.project_id,
        repository=run.repository,
        installation_id=run.installation_id or 0,
        base_branch=run.base_branch or None,
        issue_number=run.issue_number,
        builder=run.engine,
        safety_profile=run.safety_profile,
        run_scope=run.run_scope,
        created_at=run.created_at,
        started_at=run.started_at,
        completed_at=run.completed_at,
        tokens_used=model_calls.spent_by_run(session, [run.run_id]).get(run.run_id, Spent()).tokens,
        token_cap=run.token_cap,
        max_phases=strategy.max_phases if strategy else None,
        max_duration_minutes=run.max_minutes,
        active_minutes=round(run.active_seconds / 60, 3),
        ci_runs_used=sum(phase.ci_runs_used for phase in phases) + run.merge_ci_runs,
        minor_issues_count=counts.run.minor,
        major_issues_count=counts.run.major,
        promotion_eligible_to_main=not blockers,
        promotion_blockers=blockers if run.completed_at else [],
        debt_status=promotion.debt_status(backlog.list_entries(session, run.project_id)),
        failure_reason=run.failure_reason,
        branch=f"autonomous/{run.run_id}",
        head_sha=run.head_sha,
        pull_number=run.pull_number,
        part=run.part,
        parts=run.parts,
        follows=run.follows,
        linked_runs=_following(run),
        strategy=strategy.model_dump(mode="json") if strategy else None,
        tiers=tier_cards,
    )


def phase_card(session: Session, run: Run, phase: Phase) -> PhaseCard:
    """One phase as it stands now."""
    plan, strategy = run.plan, run.strategy
    counts, used = finding_rows.counts(session, run.run_id), model_calls.spent_by_phase(session, run.run_id)
    cards = _phases(session, run, _rows(session, run.run_id), plan, strategy, counts, used)
    return next(card for card in cards if card.phase_id == phase.phase_id)


def _rows(session: Session, run_id: str) -> Sequence[Phase]:
    return session.scalars(
        sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index, Phase.phase_id)
    ).all()


def _phases(
    session: Session,
    run: Run,
    rows: Sequence[Phase],
    plan: Plan | None,
    strategy: Strategy | None,
    counts: IssueCounts,
    used: Mapping[str, Spent],
) -> list[PhaseCard]:
    if plan is None or strategy is None:
        return []
    specs = {phase.phase_id: phase for phase in plan.phases}
    return [
        _phase(
            number,
            row,
            specs[row.phase_id],
            strategy,
            counts,
            used.get(row.phase_id, Spent()).tokens,
            phase_status.read_status(session, run, row, strategy),
        )
        for number, row in enumerate(rows, 1)
    ]


def _phase(
    number: int,
    row: Phase,
    spec: PlannedPhase,
    strategy: Strategy,
    counts: IssueCounts,
    tokens: int,
    status: PhaseStatus | None,
) -> PhaseCard:
    rules, own = strategy.of_phase(row.phase_id), counts.of_phase(row.phase_id)
    return PhaseCard(
        id=number,
        run_id=row.run_id,
        phase_id=row.phase_id,
        tier_id=row.tier_id,
        phase_index=row.phase_index,
        name=spec.name,
        description=spec.description,
        state=row.state,
        task_category=spec.task_category,
        complexity=spec.complexity,
        builder_mode=spec.builder_mode,
        builder_attempts=row.builder_attempts,
        auditor_attempts=row.auditor_attempts,
        max_builder_attempts=rules.builder_tries,
        max_auditor_attempts=rules.auditor_tries,
        tokens_used=tokens,
        token_cap=rules.token_cap,
        ci_runs_used=row.ci_runs,
        minor_issues_count=own.minor,
        major_issues_count=own.major,
        head_sha=row.head_sha,
        snapshot=row.snapshot,
        awaiting=status.awaiting if status else "",
        note=row.note,
    )


def _tier(
    tier: Tier, description: str, phases: list[PhaseCard], counts: IssueCounts, strategy: Strategy | None
) -> TierCard:
    own = counts.of_tier(tier.tier_id)
    rules = strategy.of_tier(tier.tier_id) if strategy else None
    over = rules is not None and (own.minor > rules.max_minor_issues or own.major > rules.max_major_issues)
    return TierCard(
        id=tier.tier_index + 1,
        tier_id=tier.tier_id,
        name=tier.name,
        description=description,
        state=tier.state,
        tier_index=tier.tier_index,
        cleanliness="not_clean" if over or tier.state == TierState.NOT_CLEAN else "clean",
        minor_issues_count=own.minor,
        major_issues_count=own.major,
        tokens_used=sum(phase.tokens_used for phase in phases),
        token_cap=rules.token_cap if rules else 0,
        phases=phases,
    )


def _following(run: Run) -> list[FollowingRun]:
    return [
        FollowingRun(run_id=following, part=run.part + number, phase_ids=plan.phase_ids)
        for number, (following, plan) in enumerate(zip(linked_runs.following_run_ids(run), run.rest, strict=True), 1)
    ]
