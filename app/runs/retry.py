"""Runs that go on with an ended one: same plan, same branch, same pull request; what is complete stays so."""

import hashlib
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import run_rows
from app.db.engine import LOCK, Database
from app.db.run_rows import record_transition
from app.db.tables import Phase, Run
from app.domain.commands import CommandName
from app.domain.plan import EXTRA_TIERS, Plan
from app.domain.plan_edit import joined
from app.domain.states import PhaseState, RunState
from app.domain.status_view import Headline
from app.domain.steer_request import SteerAnswer, SteerRequest, refused
from app.domain.strategy import Engine, RunOptions
from app.queries import run_details
from app.runs import steering
from app.runs.continuation import columns_from


def go_on(db: Database, run_id: str, asked: SteerRequest, head_sha: str | None, now: datetime) -> SteerAnswer:
    """Make the run that goes on with an ended one, for `retry` or `fix`; the same request again makes none.

    `head_sha` is where its branch is now: None where there is none yet.
    """
    with db.writing() as session:
        before = session.get_one(Run, run_id, with_for_update=LOCK)
        following = _new_id(before, asked)
        if session.get(Run, following) is not None:
            return SteerAnswer(message=f"The run {following} goes on with it.", done=True, starts=following)
        if problem := _why_not(session, before, asked):
            return refused(problem)
        run = _following(session, before, asked, following, head_sha, now)
        if asked.command is CommandName.FIX:
            steering.add_fix(run, asked)
        session.add(run)
        session.flush()
        cause = f"{asked.command} by {asked.by}, after {before.run_id}"
        record_transition(session, following, "run", following, "", RunState.PLAN_BOOTSTRAP, cause, now)
        before.continued_by = following
        before.next_action = f"Nothing: the run {following} goes on from here."
        return SteerAnswer(message=f"The run {following} goes on with it.", done=True, starts=following)


def go_on_with_late_requests(db: Database, run_id: str, now: datetime) -> str | None:
    """Make the run that does what people requested while this one was ending well; None where all is answered."""
    with db.reading() as session:
        run = session.get_one(Run, run_id)
        late = [one for one in run.objections or () if not one.answered]
        if run.state is not RunState.DONE_SUCCESS or not late or run.continued_by is not None:
            return None
        head_sha = run.head_sha
    asked = SteerRequest(command=CommandName.RETRY, by=late[0].login, source_id=late[0].id)
    return go_on(db, run_id, asked, head_sha, now).starts or None


def list_superseded_pulls(db: Database, run_id: str) -> list[int]:
    """Pull requests of earlier runs of the issue, not merged, of which the run's own takes the place."""
    run = run_rows.get(db, run_id)
    if not run.issue_number or run.pull_number is None or run.parts > 1:
        return []
    earlier = sa.select(Run.pull_number).where(
        Run.repository == run.repository,
        Run.issue_number == run.issue_number,
        Run.created_at < run.created_at,
        Run.completed_at.is_not(None),
        Run.pull_number.is_not(None),
        Run.pull_number != run.pull_number,
        Run.promoted_at.is_(None),
        Run.parts == 1,
    )
    with db.reading() as session:
        return sorted({number for number in session.scalars(earlier) if number is not None})


def _why_not(session: Session, before: Run, asked: SteerRequest) -> str:
    """Why no run can go on with this one; empty where one can."""
    if not before.state.terminal:
        return f"The run {before.run_id} is still at work; `{asked.command}` is for a run that has ended."
    if before.continued_by is not None:
        return f"The run {before.continued_by} goes on with it already."
    if before.engine is Engine.EXTERNAL or before.repository is None:
        return "The run was built by an external agent: start another over the REST API."
    if before.intent == "plan":
        return "That run made a plan only: `/autopack run` has it built."
    if before.promoted_at is not None:
        return "The pull request is merged: open an issue for what is left to do."
    if other := run_details.find_open_run_of_issue(session, before):
        return f"The run {other} is on for this issue."
    return _why_no_retry(session, before, asked) if asked.command is CommandName.RETRY else ""


def _why_no_retry(session: Session, before: Run, asked: SteerRequest) -> str:
    if before.state is RunState.DONE_SUCCESS and all(one.answered for one in before.objections or ()):
        return "The run ended well: say what to change with `/autopack fix`."
    if not asked.phase_id:
        return ""
    phase = steering.find_phase(session, before, asked.phase_id)
    if phase is None:
        return f"The run has no phase {asked.phase_id}."
    complete = phase.state is PhaseState.COMPLETE
    return f"{phase.phase_id} is complete: say what to change with `/autopack fix`." if complete else ""


def _new_id(before: Run, asked: SteerRequest) -> str:
    """Derived from the request, so that a repeat finds the run that it made."""
    mark = hashlib.sha256(f"{before.run_id} {asked.command} {asked.source_id}".encode()).hexdigest()[:8]
    return f"issue-{before.issue_number}-{mark}" if before.issue_number else f"{before.run_id[:80]}-{mark}"


def _following(
    session: Session, before: Run, asked: SteerRequest, following: str, head_sha: str | None, now: datetime
) -> Run:
    chosen = before.options.model_dump() | asked.options.model_dump(exclude_none=True)
    return Run(
        **columns_from(before),
        run_id=following,
        follows=before.follows,
        part=before.part,
        rest=before.rest,
        requester=asked.by,
        requester_id=asked.by_id or None,
        trigger_comment_id=asked.source_id if asked.by_id else None,
        options=RunOptions.model_validate(chosen),
        state=RunState.PLAN_BOOTSTRAP,
        token_cap=asked.options.tokens or before.token_cap,
        plan=_plan_of(session, before),
        base_branch=before.base_branch,
        target_branch=before.target_branch,
        continues=before.run_id,
        branch_of=(before.branch_of or before.run_id) if head_sha is not None else None,
        start_sha=head_sha,
        head_sha=head_sha,
        pull_number=before.pull_number if head_sha is not None else None,
        objections=before.objections,
        notices=[f"Goes on with {before.run_id}; what is complete there is kept."],
        headline=Headline.PLANNING,
        headline_since=now,
        created_at=now,
    )


def _plan_of(session: Session, before: Run) -> Plan | None:
    """The plan without phases that came up during the run and were not completed: they come up again."""
    if before.plan is None:
        return None
    states = {one.phase_id: one.state for one in session.scalars(sa.select(Phase).where(Phase.run_id == before.run_id))}
    complete = PhaseState.COMPLETE
    phases = [
        phase
        for phase in before.plan.phases
        if not phase.tier_id.startswith(EXTRA_TIERS) or states.get(phase.phase_id) is complete
    ]
    tiers = [tier for tier in before.plan.tiers if any(phase.tier_id == tier.tier_id for phase in phases)]
    return joined((Plan(tiers=tuple(tiers), phases=tuple(phases)),))
