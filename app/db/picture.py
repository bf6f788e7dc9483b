"""The picture of a run: everything that is shown of it, read in one place from the database."""

from collections.abc import Sequence

import sqlalchemy as sa

from app.db import issues, ledger
from app.db.engine import Database
from app.db.tables import Phase, Run, Tier
from app.domain import promotion
from app.domain.findings import Severity
from app.domain.plan import Plan
from app.domain.states import PhaseState, RunState, TierState
from app.domain.strategy import Strategy
from app.domain.view import FindingView, Headline, PhaseView, RunView, TierView


def take(db: Database, run_id: str, server_url: str) -> RunView:
    """Read a run as it stands now. Raises `sqlalchemy.exc.NoResultFound`."""
    findings = issues.of_run(db, run_id)
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        tier_rows = session.scalars(sa.select(Tier).where(Tier.run_id == run_id).order_by(Tier.tier_index)).all()
        phase_rows = session.scalars(sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index)).all()
    tokens = ledger.tokens_by_phase(db, run_id)
    tiers = _tiers(run, tier_rows, phase_rows, tokens, findings)
    state = RunState(run.state)
    return RunView(
        run_id=run_id,
        repository=run.repository or "",
        issue_number=run.issue_number or 0,
        issue_title=run.issue_title,
        requester=run.requester,
        state=state,
        headline=Headline(run.headline),
        reason=run.reason,
        next_action=run.next_action,
        since=run.headline_since,
        deadline=run.deadline,
        branch=f"autonomous/{run_id}",
        base_branch=run.base_branch,
        pull_number=run.pull_number,
        head_sha=run.head_sha,
        tiers=tiers,
        run_cap=ledger.run_cap(db, run_id),
        usage=ledger.usage_by_role(db, run_id),
        models=ledger.models_by_role(db, run_id),
        findings=findings,
        promotion_blockers=promotion.blockers(state, tiers, ci_absent=run.ci_absent) if state.terminal else (),
        promoted=run.promoted_at is not None,
        server_url=server_url,
        notices=tuple(run.notices),
    )


def _tiers(
    run: Run,
    tier_rows: Sequence[Tier],
    phase_rows: Sequence[Phase],
    tokens: dict[str, int],
    findings: tuple[FindingView, ...],
) -> tuple[TierView, ...]:
    if run.plan is None or run.strategy is None:
        return ()
    specs = {phase.phase_id: phase for phase in Plan.model_validate(run.plan).phases}
    strategy = Strategy.model_validate(run.strategy)

    def phase_view(row: Phase) -> PhaseView:
        open_ones = [f.finding for f in findings if f.phase_id == row.phase_id and f.open]
        return PhaseView(
            phase_id=row.phase_id,
            name=specs[row.phase_id].name,
            state=PhaseState(row.state),
            task_category=specs[row.phase_id].task_category,
            complexity=specs[row.phase_id].complexity,
            builder_attempts=row.builder_attempts,
            auditor_attempts=row.auditor_attempts,
            tokens=tokens.get(row.phase_id, 0),
            token_cap=strategy.of_phase(row.phase_id).token_cap,
            head_sha=row.head_sha,
            snapshot=row.snapshot,
            minor_issues=sum(f.severity is Severity.MINOR for f in open_ones),
            major_issues=sum(f.severity is Severity.MAJOR for f in open_ones),
            note=row.note,
        )

    return tuple(
        TierView(
            tier_id=tier.tier_id,
            name=tier.name,
            state=TierState(tier.state),
            phases=tuple(phase_view(row) for row in phase_rows if row.tier_id == tier.tier_id),
        )
        for tier in tier_rows
    )
