"""Linked runs: a plan too large for one run is done by several, each on top of the one before."""

from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import LOCK, Database
from app.db.linked_runs import RESULTS_AWAITED, next_run_id
from app.db.run_rows import record_transition
from app.db.tables import Run
from app.domain.states import RunState
from app.domain.status_view import Headline
from app.runs import transitions


def create_next(db: Database, run_id: str, now: datetime) -> str | None:
    """Create the run that does the next part of the plan, on this one's branch; its id, also when it is there already.

    None when nothing is left to do, the run did not end well or only planned, or another run is in the way.
    """
    with db.writing() as session:
        return create_after(session, session.get_one(Run, run_id, with_for_update=LOCK), now)


def create_after(session: Session, before: Run, at: datetime) -> str | None:
    """`create_next` within a transaction that holds the run before; with its strategy, where that is frozen already.

    Where a part is left and no run can do it, the run before says so in a notice.
    """
    if not _has_next_part(before):
        return None
    following = _create(session, before, at)
    if following is None and (why := _why_not_continued(session, before)) not in before.notices:
        before.notices = [*before.notices, why]
    return following


def _create(session: Session, before: Run, at: datetime) -> str | None:
    following = next_run_id(before.run_id, before.part)
    there = session.get(Run, following)
    if there is not None:
        return following if there.follows == before.run_id else None
    plan = before.rest[0]
    run = _new_linked_run(before, following, at)
    try:
        with session.begin_nested():
            session.add(run)
    except IntegrityError:
        return None
    cause = f"part {before.part + 1} of the plan of {before.run_id}"
    record_transition(session, following, "run", following, "", RunState.PLAN_BOOTSTRAP, cause, at)
    if before.rest_strategies:
        strategy, *rest = before.rest_strategies
        before.rest_strategies, run.rest_strategies = [], rest
        transitions.store_plan_and_strategy(session, run, plan, strategy, at)
        run.headline, run.next_action = Headline.BUILDING, RESULTS_AWAITED
    return following


def _why_not_continued(session: Session, run: Run) -> str:
    """Why no run does the next part of the plan though this one ended well."""
    following = next_run_id(run.run_id, run.part)
    taken = session.get(Run, following) is not None
    why = f"there is another run with its id, {following}" if taken else "another run is on for this issue"
    return f"Part {run.part + 1} of {run.parts} was not started: {why}."


def _has_next_part(run: Run) -> bool:
    """Whether the next part of the plan can begin."""
    return bool(run.rest) and run.state == RunState.DONE_SUCCESS and run.intent == "build"


def columns_from(before: Run) -> dict[str, Any]:
    """What a run has from the one that it comes after: whose it is, where it works, and who builds."""
    names = ("project_id", "engine", "parts", "repository", "repository_id", "installation_id", "issue_number")
    return {name: getattr(before, name) for name in (*names, "issue_title", "issue_body", "intent")}


def _new_linked_run(before: Run, run_id: str, at: datetime) -> Run:
    plan, *rest = before.rest
    return Run(
        **columns_from(before),
        run_id=run_id,
        follows=before.run_id,
        part=before.part + 1,
        plan=plan,
        rest=rest,
        requester=before.requester,
        requester_id=before.requester_id,
        trigger_comment_id=before.trigger_comment_id,
        options=before.options,
        safety_profile=before.safety_profile,
        run_scope=before.run_scope,
        token_cap=before.token_cap,
        base_branch=before.branch,
        target_branch=before.target_branch or before.base_branch,
        state=RunState.PLAN_BOOTSTRAP,
        headline=Headline.PLANNING,
        headline_since=at,
        created_at=at,
    )
