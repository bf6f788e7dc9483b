"""The picture of a run: everything that is shown of it, read in one place from the database."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from app.db import budget_usage, finding_rows, linked_runs, model_calls
from app.db.engine import Database
from app.db.model_calls import Spent
from app.db.tables import Phase, Run, Tier
from app.domain import promotion
from app.domain.budget import Cap, Scope
from app.domain.finding_counts import IssueCounts
from app.domain.plan import Plan
from app.domain.states import PhaseState, TierState
from app.domain.status_view import PhaseView, RunView, TierView
from app.domain.strategy import Strategy

_DONE = {PhaseState.COMPLETE, PhaseState.SKIPPED}


def read_run_view(db: Database, run_id: str, server_url: str) -> RunView:
    """Read a run as it stands now. Raises `sqlalchemy.exc.NoResultFound`."""
    findings = finding_rows.list_findings(db, run_id)
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        tier_rows = session.scalars(sa.select(Tier).where(Tier.run_id == run_id).order_by(Tier.tier_index)).all()
        phase_rows = session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index)).all()
        every_cap = budget_usage.read_caps(session, run)
        before, after = linked_runs.linked_neighbors(session, run)
        counts = finding_rows.counts(session, run_id)
        used = model_calls.spent_by_phase(session, run_id)
    plan, strategy = run.plan, run.strategy
    tiers = tier_views(plan, strategy, tier_rows, phase_rows, used, counts)
    state = run.state
    return RunView(
        run_id=run_id,
        repository=run.repository or "",
        issue_number=run.issue_number or 0,
        issue_title=run.issue_title,
        requester=run.requester,
        state=state,
        headline=run.headline,
        reason=run.reason,
        next_action=run.next_action,
        since=run.headline_since,
        deadline=run.deadline,
        branch=f"autonomous/{run_id}",
        base_branch=run.base_branch,
        pull_number=run.pull_number,
        head_sha=run.head_sha,
        tiers=tiers,
        strategy=strategy,
        run_cap=every_cap[0],
        caps=_open_caps(every_cap, tiers),
        exhausted=run.exhausted,
        part=run.part,
        parts=run.parts,
        before=before,
        after=after,
        usage=model_calls.usage_by_role(db, run_id),
        models=model_calls.models_by_role(db, run_id),
        findings=findings,
        promotion_blockers=promotion_blockers(run, tiers, strategy, counts) if state.terminal else (),
        promoted=run.promoted_at is not None,
        server_url=server_url,
        notices=tuple(run.notices),
    )


def promotion_blockers(
    run: Run, tiers: Sequence[TierView], strategy: Strategy | None, counts: IssueCounts
) -> tuple[str, ...]:
    """Why the run may not be promoted, by what is known now: an audit or issue that came late counts too."""
    state, minor = run.state, counts.run.minor
    return promotion.blockers(
        state, tiers, strategy, ci_absent=run.ci_absent, minor_issues=minor, late_objection=run.late_objection
    )


def _open_caps(every: Sequence[Cap], tiers: Sequence[TierView]) -> tuple[Cap, ...]:
    """Without those of tiers and phases that are done: nothing can reach them any more."""
    done = {(Scope.TIER, tier.tier_id) for tier in tiers if tier.state is TierState.COMPLETE}
    done |= {(Scope.PHASE, phase.phase_id) for tier in tiers for phase in tier.phases if phase.state in _DONE}
    return tuple(cap for cap in every if (cap.scope, cap.name) not in done)


def tier_views(
    plan: Plan | None,
    strategy: Strategy | None,
    tier_rows: Sequence[Tier],
    phase_rows: Sequence[Phase],
    used: Mapping[str, Spent],
    counts: IssueCounts,
) -> tuple[TierView, ...]:
    """The tiers with their phases; none before the run is planned and governed."""
    if plan is None or strategy is None:
        return ()
    specs = {phase.phase_id: phase for phase in plan.phases}

    def phase_view(row: Phase) -> PhaseView:
        return PhaseView(
            phase_id=row.phase_id,
            name=specs[row.phase_id].name,
            state=row.state,
            task_category=specs[row.phase_id].task_category,
            complexity=specs[row.phase_id].complexity,
            builder_attempts=row.builder_attempts,
            auditor_attempts=row.auditor_attempts,
            tokens=used.get(row.phase_id, Spent()).tokens,
            token_cap=strategy.of_phase(row.phase_id).token_cap,
            head_sha=row.head_sha,
            snapshot=row.snapshot,
            minor_issues=counts.of_phase(row.phase_id).minor,
            major_issues=counts.of_phase(row.phase_id).major,
            note=row.note,
        )

    return tuple(
        TierView(
            tier_id=tier.tier_id,
            name=tier.name,
            state=tier.state,
            phases=tuple(phase_view(row) for row in phase_rows if row.tier_id == tier.tier_id),
            minor_issues=counts.of_tier(tier.tier_id).minor,
            major_issues=counts.of_tier(tier.tier_id).major,
        )
        for tier in tier_rows
    )
