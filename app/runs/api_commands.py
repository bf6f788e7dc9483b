"""What clients of the REST API do with runs apart from posting results: start one, step a phase, report an issue."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import backlog, finding_rows, linked_runs
from app.db.engine import Database
from app.db.run_rows import record_transition
from app.db.tables import DEFAULT_PROJECT, Phase, Run
from app.domain import states
from app.domain.aging import BacklogEntry
from app.domain.api_errors import Conflict
from app.domain.api_requests import RunStart, StatusUpdate
from app.domain.api_run import PhaseCard, RunCard
from app.domain.budget import Role
from app.domain.finding_counts import IndexEntry, PhaseIssues
from app.domain.frozen import Frozen
from app.domain.plan import Plan
from app.domain.posted_issue import IssueReport
from app.domain.states import IllegalTransition, PhaseState, RunState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, Strategy
from app.queries import phase_status, run_details
from app.runs import phase_moves, submissions, transitions


class RunTarget(Frozen):
    """Where a run's work goes."""

    repository: str
    repository_id: int
    project_id: str
    installation_id: int
    base_branch: str


class IssueReceipt(Frozen):
    """What a reported issue came to at the three levels."""

    message: str
    phase_file: PhaseIssues
    run_index_entry: IndexEntry
    project_backlog_entry: BacklogEntry | None


def create_run(
    db: Database,
    asked: RunStart,
    parts: Sequence[Plan],
    strategies: Sequence[Strategy],
    target: RunTarget | None,
    now: datetime,
) -> RunCard:
    """Make the run with its whole plan, or nothing of it; `strategies` are the first part's and those known already.

    Raises `Conflict` when its id or one of its linked runs' is taken, and when another run is on for its issue.
    """
    run = _new_run(asked, parts, strategies, target, now)
    try:
        with db.writing() as session:
            _require_free_ids(session, run)
            session.add(run)
            session.flush()
            record_transition(session, run.run_id, "run", run.run_id, "", run.state, "requested over the API", now)
            transitions.store_plan_and_strategy(session, run, parts[0], strategies[0], now)
    except IntegrityError as error:  # a run that came at the same moment was first
        with db.reading() as session:
            _require_free_ids(session, run)
        raise Conflict(_id_taken_message(asked.run.run_id)) from error
    return run_details.read_run_card(db, asked.run.run_id)


def update_status(db: Database, run_id: str, phase_id: str, update: StatusUpdate, now: datetime) -> PhaseCard:
    """Step a phase, and its tier and run with it. Raises `Unknown`, and `Conflict` for a step that there is not."""
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        _require_step(session, run, phase, update.state)
        begun = phase.builder_attempts + (update.state is PhaseState.EXECUTING)
        phase.builder_attempts = max(begun, update.builder_attempts or 0)
        if update.minor_issues_count is not None:
            phase.reported_minor = update.minor_issues_count
        if update.major_issues_count is not None:
            phase.reported_major = update.major_issues_count
        if update.tokens_used is not None:
            phase_moves.book_tokens(session, run, phase, Role.BUILDER, update.tokens_used, "status", now)
        if not phase_moves.end_if_exhausted(session, run, phase, Role.BUILDER, now):
            _move_phase(session, run, phase, update.state, now)
        session.flush()
        return run_details.phase_card(session, run, phase)


def record_issue(
    db: Database, run_id: str, phase_id: str, report: IssueReport, seen_in: str, now: datetime
) -> IssueReceipt:
    """Record an issue at the three levels; also after the end of the phase or run. Raises `Unknown`."""
    with db.writing() as session:
        run = phase_moves.lock_run(session, run_id)
        phase = phase_moves.get_phase(session, run, phase_id)
        finding_rows.check_key_limit(session, run, report.issue_key)
        finding_rows.record_in(
            session,
            run,
            phase,
            [report.as_finding(report.source, submissions.default_severity(run, phase))],
            seen_in,
            now,
            evidence={report.issue_key: report.evidence_refs or ()},
            task_category=report.task_category or "",
            complexity=report.complexity or "",
            expected_fail=report.expected_fail,
        )
        return IssueReceipt(
            message=f"{report.issue_key} is recorded for {phase_id}",
            phase_file=finding_rows.phase_file(session, run, phase),
            run_index_entry=finding_rows.index_entry(session, run_id, report.issue_key),
            project_backlog_entry=backlog.get_entry(session, run.project_id, report.issue_key),
        )


def issue_index(db: Database, run_id: str) -> dict[str, IndexEntry]:
    """The issues of a run by their keys. Raises `Unknown`."""
    with db.reading() as session:
        run_details.get_run(session, run_id)
        return finding_rows.run_index(session, run_id)


def _new_run(
    asked: RunStart,
    parts: Sequence[Plan],
    strategies: Sequence[Strategy],
    target: RunTarget | None,
    now: datetime,
) -> Run:
    spec = asked.run
    return Run(
        run_id=spec.run_id,
        project_id=target.project_id if target else DEFAULT_PROJECT,
        engine=spec.builder,
        part=1,
        parts=len(parts),
        rest=list(parts[1:]),
        rest_strategies=list(strategies[1:]),
        repository=target.repository if target else None,
        repository_id=target.repository_id if target else None,
        installation_id=target.installation_id if target else None,
        issue_number=spec.issue_number,
        issue_title=spec.run_id,
        intent="build",
        requester="the API",
        options=spec.options,
        state=RunState.PLAN_BOOTSTRAP,
        token_cap=strategies[0].token_cap,
        base_branch=target.base_branch if target else "",
        target_branch=target.base_branch if target else "",
        headline=Headline.BUILDING,
        next_action=linked_runs.RESULTS_AWAITED,
        headline_since=now,
        created_at=now,
    )


def _move_phase(session: Session, run: Run, phase: Phase, target: PhaseState, now: datetime) -> None:
    """Take a step that the machine has; after more attempts than are allowed it leads to a failure."""
    allowed = phase_moves.strategy_of(run).of_phase(phase.phase_id).builder_tries
    too_many = f"{phase.builder_attempts} attempts, {allowed} are allowed"
    over = phase.builder_attempts > allowed
    if over and target is PhaseState.COMPLETE:
        phase_moves.move_phase(session, run, phase, PhaseState.FAILED, too_many, now)
        return
    phase_moves.move_phase(session, run, phase, target, "reported over the API", now)
    if over and not phase.state.ended:
        phase_moves.move_phase(session, run, phase, PhaseState.FAILED, too_many, now)


def _require_free_ids(session: Session, run: Run) -> None:
    """Raise `Conflict` unless the run, and those that follow it, may have their ids, and the run its issue."""
    if session.get(Run, run.run_id) is not None:
        raise Conflict(_id_taken_message(run.run_id))
    wanted = linked_runs.following_run_ids(run)
    taken = session.scalar(sa.select(Run.run_id).where(Run.run_id.in_(wanted)).limit(1)) if wanted else None
    if taken is not None:
        count = f"{len(wanted) + 1} runs"
        raise Conflict(f"The plan takes {count}, and there is a run {taken} already; give the new run another id")
    if run.repository is not None and run.issue_number is not None:
        other = run_details.find_open_run_of_issue(session, run)
        if other is not None:
            issue = f"{run.repository}#{run.issue_number}"
            raise Conflict(f"The run {other} is on for the issue {issue}; wait for its end or cancel it")


def _id_taken_message(run_id: str) -> str:
    return f"There is a run {run_id} already; give the new one an id of its own"


def _require_step(session: Session, run: Run, phase: Phase, target: PhaseState) -> None:
    """Raise `Conflict` unless the client may take this step now."""
    if run.engine != Engine.EXTERNAL:
        raise Conflict(f"The run {run.run_id} is built by Autopack itself; its phases are not moved from outside")
    if run.state.terminal:
        raise Conflict(f"The run {run.run_id} has ended ({run.state})")
    phase_moves.require_not_paused(run)
    try:
        states.advance_phase(phase.state, target)
    except IllegalTransition as error:
        raise Conflict(str(error)) from error
    if target is PhaseState.COMPLETE and run.repository is not None:
        raise Conflict(f"{phase.phase_id} completes when its commit is green and audited: post builder_result")
    rules = phase_moves.strategy_of(run).of_phase(phase.phase_id)
    if target is PhaseState.COMPLETE and not rules.auto_apply and not phase_status.is_approved(session, phase):
        raise Conflict(f"{phase.phase_id} is of a category that is audited first: post an approving auditor_result")
