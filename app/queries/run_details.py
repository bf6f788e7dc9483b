"""A run as the REST API shows it: pure functions of its tree."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import backlog, linked_runs
from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run
from app.domain import promotion
from app.domain.aging import BacklogEntry
from app.domain.api_errors import NotFound
from app.domain.api_run import FailedJobs, FollowingRun, OpenFinding, PhaseCard, RunCard, TierCard
from app.domain.frozen import Frozen
from app.domain.outcome import outcome_of
from app.domain.plan import is_identifier
from app.domain.states import TierState
from app.queries.run_tree import PhaseNode, RunTree, TierNode, read_run_tree
from app.queries.run_view import run_view


class RunLocation(Frozen):
    """A run's repository and branches, for decisions that need only these."""

    run_id: str
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
        run_id=run_id,
        repository=row.repository,
        installation_id=row.installation_id or 0,
        base_branch=row.base_branch,
        head_sha=row.head_sha,
        over=row.completed_at is not None,
    )


def read_run_card(db: Database, run_id: str) -> RunCard:
    """The run as it is now. Raises `Unknown`."""
    with db.reading() as session:
        tree = read_run_tree(session, get_run(session, run_id))
        return run_card(tree, backlog.list_entries(session, tree.run.project_id))


def get_run(session: Session, run_id: str, *, held: bool = False) -> Run:
    """The run, on request held until the transaction ends. Raises `Unknown`."""
    lock = LOCK if held else None
    run = session.get(Run, run_id, with_for_update=lock) if is_identifier(run_id) else None
    if run is None:
        raise _not_found(run_id)
    return run


def _not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id[:100]!r}; POST /runs/start makes one")


def run_card(tree: RunTree, backlog_entries: Iterable[BacklogEntry]) -> RunCard:
    run, strategy, view = tree.run, tree.run.strategy, run_view(tree, server_url="")
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
        tokens_used=tree.spent.against_caps,
        token_cap=run.token_cap,
        max_phases=strategy.max_phases if strategy else None,
        max_duration_minutes=run.max_minutes,
        active_minutes=round(run.active_seconds / 60, 3),
        ci_runs_used=tree.ci_runs,
        minor_issues_count=tree.issues.minor,
        major_issues_count=tree.issues.major,
        promotion_eligible_to_main=run.state.terminal and not view.promotion_blockers,
        promotion_blockers=list(view.promotion_blockers),
        debt_status=promotion.debt_status(backlog_entries),
        failure_reason=run.failure_reason,
        reason=run.reason,
        outcome=outcome_of(view),
        branch=run.branch,
        head_sha=run.head_sha,
        pull_number=run.pull_number,
        part=run.part,
        parts=run.parts,
        follows=run.follows,
        requests=list(run.objections or ()),
        linked_runs=_following(run),
        strategy=strategy.model_dump(mode="json") if strategy else None,
        tiers=_tier_cards(tree),
    )


def phase_card(session: Session, run: Run, phase: Phase) -> PhaseCard:
    """One phase as it is now."""
    tiers = _tier_cards(read_run_tree(session, run))
    return next(card for tier in tiers for card in tier.phases if card.phase_id == phase.phase_id)


def _tier_cards(tree: RunTree) -> list[TierCard]:
    numbers = {phase.row.phase_id: number for number, phase in enumerate(tree.phases, 1)}
    still_open = _open_findings(tree)
    return [
        _tier_card(
            tier,
            [_phase_card(numbers[phase.row.phase_id], phase, still_open[phase.row.phase_id]) for phase in tier.phases]
            if tree.governed
            else [],
        )
        for tier in tree.tiers
    ]


def find_open_run_of_issue(session: Session, run: Run) -> str | None:
    """The id of the open run that the run's issue has for the same purpose."""
    same = (Run.repository == run.repository, Run.issue_number == run.issue_number, Run.intent == run.intent)
    return session.scalar(sa.select(Run.run_id).where(*same, Run.completed_at.is_(None)).limit(1))


def _open_findings(tree: RunTree) -> Mapping[str, list[OpenFinding]]:
    """By phase."""
    found: defaultdict[str, list[OpenFinding]] = defaultdict(list)
    for view in tree.findings:
        if view.open:
            found[view.phase_id].append(OpenFinding.model_validate(view.finding))
    return found


def _phase_card(number: int, phase: PhaseNode, findings: list[OpenFinding]) -> PhaseCard:
    row, spec, rules = phase.row, phase.spec, phase.rules
    assert spec is not None
    assert rules is not None
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
        tokens_used=phase.tokens,
        token_cap=rules.token_cap,
        ci_runs_used=row.ci_runs,
        minor_issues_count=phase.issues.minor,
        major_issues_count=phase.issues.major,
        head_sha=row.head_sha,
        snapshot=row.snapshot,
        awaiting=phase.status.awaiting if phase.status else "",
        note=row.note,
        acceptance_criteria=list(spec.acceptance_criteria),
        expected_paths=list(spec.expected_paths),
        open_findings=findings,
        failed_jobs=FailedJobs(log=row.last_log, url=row.failed_job_url or None) if row.last_log else None,
    )


def _tier_card(tier: TierNode, phases: list[PhaseCard]) -> TierCard:
    row, rules, own = tier.row, tier.rules, tier.issues
    over = rules is not None and (own.minor > rules.max_minor_issues or own.major > rules.max_major_issues)
    return TierCard(
        id=row.tier_index + 1,
        tier_id=row.tier_id,
        name=row.name,
        description=tier.spec.description if tier.spec else "",
        state=row.state,
        tier_index=row.tier_index,
        cleanliness="not_clean" if over or row.state is TierState.NOT_CLEAN else "clean",
        minor_issues_count=own.minor,
        major_issues_count=own.major,
        tokens_used=tier.tokens,
        token_cap=rules.token_cap if rules else 0,
        phases=phases,
    )


def _following(run: Run) -> list[FollowingRun]:
    return [
        FollowingRun(run_id=following, part=run.part + number, phase_ids=plan.phase_ids)
        for number, (following, plan) in enumerate(zip(linked_runs.following_run_ids(run), run.rest, strict=True), 1)
    ]
