"""What the status comment, check run and summaries show of a run: pure functions of its tree."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.db.engine import Database
from app.db.tables import Run
from app.domain import promotion
from app.domain.budget import Cap, Role, Scope
from app.domain.deadlines import Deadline, WorkClock, deadline_of
from app.domain.phase_account import PhaseAccount
from app.domain.states import PhaseState, TierState
from app.domain.status_view import Headline, PhaseView, RunView, TierView
from app.domain.steer_request import PAUSED_AT_MOST
from app.queries.run_tree import PhaseNode, RunTree, read_run_tree

_DONE = {PhaseState.COMPLETE, PhaseState.SKIPPED}


def read_run_view(db: Database, run_id: str, server_url: str) -> RunView:
    """Read a run as it is now. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        return run_view(read_run_tree(session, session.get_one(Run, run_id)), server_url)


def run_view(tree: RunTree, server_url: str) -> RunView:
    run, tiers = tree.run, _tier_views(tree)
    deadline = None if run.state.terminal else _deadline(run)
    view = RunView(
        run_id=run.run_id,
        repository=run.repository or "",
        issue_number=run.issue_number or 0,
        issue_title=run.issue_title,
        requester=run.requester,
        plan_only=run.intent == "plan",
        state=run.state,
        headline=run.headline,
        reason=run.reason,
        next_action=run.next_action,
        since=run.headline_since,
        deadline=deadline.at if deadline else None,
        after_deadline=deadline.then if deadline else "",
        branch=run.branch,
        base_branch=run.base_branch,
        pull_number=run.pull_number,
        head_sha=run.head_sha,
        tiers=tiers,
        strategy=run.strategy,
        run_cap=tree.caps[0],
        caps=_open_caps(tree.caps, tiers),
        failed_job_url=run.failed_job_url,
        exhausted=run.exhausted,
        part=run.part,
        parts=run.parts,
        before=tree.before,
        after=tree.after,
        usage=tree.usage,
        model_uses=tree.model_uses,
        findings=tree.findings,
        promotion_blockers=promotion_blockers(tree) if run.state.terminal else (),
        promoted=run.promoted_at is not None,
        server_url=server_url,
        notices=tuple(run.notices),
        continued_by=run.continued_by,
    )
    return view if run.paused_since is None or run.state.terminal else _paused(view, run.paused_since, run.paused_by)


def _deadline(run: Run) -> Deadline | None:
    clock = WorkClock(seconds=run.active_seconds, since=run.active_since, max_minutes=run.max_minutes)
    ci_minutes = run.strategy.ci.deadline_minutes if run.strategy else None
    return deadline_of(run.headline, run.headline_since, run.deadline, clock, ci_minutes)


def _paused(view: RunView, since: datetime, by: str) -> RunView:
    """The view while a person has the run paused: what it did before is where it goes on."""
    until = since + PAUSED_AT_MOST
    next_action = f"Comment `/autopack resume`. It was {view.headline} before, and goes on there."
    changed: dict[str, Any] = {"headline": Headline.PAUSED, "reason": f"paused by {by}", "since": since}
    changed |= {"deadline": until, "after_deadline": "the run is cancelled", "next_action": next_action}
    return view.model_copy(update=changed)


def promotion_blockers(tree: RunTree) -> tuple[str, ...]:
    """Why the run may not be promoted, by what is known now: an audit or issue that came late counts too."""
    return promotion.blockers(
        tree.run.state,
        _tier_views(tree),
        tree.run.strategy,
        ci_absent=tree.run.ci_absent,
        minor_issues=tree.issues.minor,
        late_objection=tree.run.late_objection,
        requested=tree.run.objections or (),
        integrity=tree.run.integrity,
    )


def _open_caps(every: Sequence[Cap], tiers: Sequence[TierView]) -> tuple[Cap, ...]:
    """Without those of tiers and phases that are done: nothing can reach them any more."""
    done = {(Scope.TIER, tier.tier_id) for tier in tiers if tier.state is TierState.COMPLETE}
    done |= {(Scope.PHASE, phase.phase_id) for tier in tiers for phase in tier.phases if phase.state in _DONE}
    return tuple(cap for cap in every if (cap.scope, cap.name) not in done)


def _tier_views(tree: RunTree) -> tuple[TierView, ...]:
    """The tiers with their phases; none before the run is planned and governed."""
    if not tree.governed:
        return ()
    return tuple(
        TierView(
            tier_id=tier.row.tier_id,
            name=tier.row.name,
            state=tier.row.state,
            phases=tuple(_phase_view(phase) for phase in tier.phases),
            minor_issues=tier.issues.minor,
            major_issues=tier.issues.major,
        )
        for tier in tree.tiers
    )


def _phase_view(phase: PhaseNode) -> PhaseView:
    row, spec, rules = phase.row, phase.spec, phase.rules
    assert spec is not None
    assert rules is not None
    return PhaseView(
        phase_id=row.phase_id,
        name=spec.name,
        state=row.state,
        task_category=spec.task_category,
        complexity=spec.complexity,
        builder_attempts=row.builder_attempts,
        auditor_attempts=row.auditor_attempts,
        tokens=phase.tokens,
        token_cap=rules.token_cap,
        head_sha=row.head_sha,
        snapshot=row.snapshot,
        minor_issues=phase.issues.minor,
        major_issues=phase.issues.major,
        note=row.note,
        account=row.account or PhaseAccount(),
        criteria=spec.acceptance_criteria,
        paths=tuple(row.changed_paths),
        builders=phase.models.get(Role.BUILDER, ()),
        auditors=phase.models.get(Role.AUDITOR, ()),
        skipped_by=row.skip_by,
    )
