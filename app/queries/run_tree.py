"""A run with its tiers and phases and all that is stored of them, read once; every view of a run is made from it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import budget_usage, finding_rows, linked_runs, model_calls
from app.db.budget_usage import TokenSums, read_sums
from app.db.tables import ModelCallRow, Phase, Run, Tier
from app.domain import finding_counts
from app.domain.budget import Cap, ModelUse, Role, Usage
from app.domain.finding_counts import Counts, IssueCounts, IssueRecord, PhaseReport
from app.domain.gate import PhaseStatus
from app.domain.plan import PlannedPhase, PlannedTier
from app.domain.status_view import FindingView, LinkedRun
from app.domain.strategy import PhaseStrategy, TierStrategy
from app.queries import phase_status


@dataclass(frozen=True)
class PhaseNode:
    """A phase as stored, with its plan and rules where the run has them, its open issues and its tokens."""

    row: Phase
    spec: PlannedPhase | None
    rules: PhaseStrategy | None
    issues: Counts
    tokens: int
    models: Mapping[Role, tuple[str, ...]]
    """The models that answered for it."""
    status: PhaseStatus | None
    """What it waits for; None where Autopack's own agents build."""


@dataclass(frozen=True)
class TierNode:
    """A tier as stored, with its phases in order."""

    row: Tier
    spec: PlannedTier | None
    rules: TierStrategy | None
    issues: Counts
    phases: tuple[PhaseNode, ...]

    @property
    def tokens(self) -> int:
        return sum(phase.tokens for phase in self.phases)


@dataclass(frozen=True)
class RunTree:
    """A run at one moment. The rows are detached from the database and must not be changed."""

    run: Run
    tiers: tuple[TierNode, ...]
    phases: tuple[PhaseNode, ...]
    issues: Counts
    """Distinct open issues of the run."""
    records: tuple[IssueRecord, ...]
    """All findings, open and closed, as the run's issue index counts them."""
    findings: tuple[FindingView, ...]
    caps: tuple[Cap, ...]
    """The run's own caps, then those of its issue, its tiers and its phases."""
    spent: Usage
    usage: dict[Role, Usage]
    model_uses: tuple[ModelUse, ...]
    before: LinkedRun | None
    after: LinkedRun | None

    @property
    def governed(self) -> bool:
        """Whether the run has plan and strategy; then every tier and phase has its part of both."""
        return self.run.plan is not None and self.run.strategy is not None

    @property
    def ci_runs(self) -> int:
        return sum(phase.row.ci_runs for phase in self.phases) + self.run.merge_ci_runs


def read_run_tree(session: Session, run: Run) -> RunTree:
    """Read all of the run in the caller's transaction."""
    session.flush()
    run_id = run.run_id
    tiers = session.scalars(sa.select(Tier).where(Tier.run_id == run_id).order_by(Tier.tier_index, Tier.tier_id)).all()
    rows = session.scalars(
        sa.select(Phase).where(Phase.run_id == run_id).order_by(Phase.phase_index, Phase.phase_id)
    ).all()
    records = tuple(finding_rows.list_records(session, run_id))
    reports = [
        PhaseReport(phase_id=row.phase_id, tier_id=row.tier_id, minor=row.reported_minor, major=row.reported_major)
        for row in rows
    ]
    counts = finding_counts.count(records, reports)
    sums = read_sums(session, ModelCallRow.phase_id, ModelCallRow.run_id == run_id)
    specs = {spec.phase_id: spec for spec in run.plan.phases} if run.plan else {}
    models = model_calls.list_models(session, run_id)
    phases = tuple(_phase_node(session, run, row, specs.get(row.phase_id), counts, sums, models) for row in rows)
    before, after = linked_runs.linked_neighbors(session, run)
    return RunTree(
        run=run,
        tiers=_tier_nodes(run, tiers, counts, phases),
        phases=phases,
        issues=counts.run,
        records=records,
        findings=finding_rows.read_findings(session, run_id),
        caps=budget_usage.caps_of(session, run, rows, sums),
        spent=sum((one.usage for one in sums.values()), Usage()),
        usage=model_calls.usage_by_role(session, run_id),
        model_uses=model_calls.list_model_uses(session, run_id),
        before=before,
        after=after,
    )


def _phase_node(
    session: Session,
    run: Run,
    row: Phase,
    spec: PlannedPhase | None,
    counts: IssueCounts,
    sums: Mapping[str | None, TokenSums],
    models: Mapping[str, Mapping[Role, tuple[str, ...]]],
) -> PhaseNode:
    return PhaseNode(
        row=row,
        spec=spec,
        rules=run.strategy.of_phase(row.phase_id) if run.strategy else None,
        issues=counts.of_phase(row.phase_id),
        tokens=sums.get(row.phase_id, TokenSums()).usage.against_caps,
        models=models.get(row.phase_id, {}),
        status=phase_status.read_status(session, run, row, run.strategy) if run.strategy else None,
    )


def _tier_nodes(
    run: Run, rows: Sequence[Tier], counts: IssueCounts, phases: Sequence[PhaseNode]
) -> tuple[TierNode, ...]:
    specs = {spec.tier_id: spec for spec in run.plan.tiers} if run.plan else {}
    by_tier: defaultdict[str, list[PhaseNode]] = defaultdict(list)
    for phase in phases:
        by_tier[phase.row.tier_id].append(phase)
    return tuple(
        TierNode(
            row=row,
            spec=specs.get(row.tier_id),
            rules=run.strategy.of_tier(row.tier_id) if run.strategy else None,
            issues=counts.of_tier(row.tier_id),
            phases=tuple(by_tier[row.tier_id]),
        )
        for row in rows
    )
