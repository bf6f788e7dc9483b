"""Linked runs: a plan too large for one run is done by several, each on top of the one before."""

import re
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import LOCK, Database
from app.db.tables import Run
from app.db.transitions import record_transition
from app.domain.states import RunState
from app.domain.view import Headline, LinkedRun

_PART = re.compile(r"-part-[0-9]+$")
_LONGEST = 100


def next_id(run_id: str, part: int) -> str:
    """The id of the run that does the part after `part` of this run's plan, derived from the first run's."""
    suffix = f"-part-{part + 1}"
    return _PART.sub("", run_id)[: _LONGEST - len(suffix)] + suffix


def create_next(db: Database, run_id: str, at: datetime) -> str | None:
    """Create the run that does the next part of the plan, on this one's branch; its id, also when it is there already.

    None when nothing is left to do, the run did not end well or only planned, or another one is on for the issue.
    """
    try:
        with db.writing() as session:
            before = session.get_one(Run, run_id, with_for_update=LOCK)
            if not before.rest or before.state != RunState.DONE_SUCCESS or before.intent != "build":
                return None
            following = next_id(run_id, before.part)
            there = session.get(Run, following)
            if there is not None:
                return following if there.follows == run_id else None
            session.add(_following(before, following, at))
            session.flush()
            cause = f"part {before.part + 1} of the plan of {run_id}"
            record_transition(session, following, "run", following, "", RunState.PLAN_BOOTSTRAP, cause, at)
            return following
    except IntegrityError:
        return None


def neighbours(session: Session, run: Run) -> tuple[LinkedRun | None, LinkedRun | None]:
    """The runs before and after this one, as far as there are any."""
    before = session.get(Run, run.follows) if run.follows else None
    after = session.scalar(sa.select(Run).where(Run.follows == run.run_id))
    return _link(before), _link(after)


def _link(run: Run | None) -> LinkedRun | None:
    return LinkedRun(run_id=run.run_id, pull_number=run.pull_number) if run else None


def _following(before: Run, run_id: str, at: datetime) -> Run:
    plan, *rest = before.rest
    return Run(
        run_id=run_id,
        project_id=before.project_id,
        engine=before.engine,
        follows=before.run_id,
        part=before.part + 1,
        parts=before.parts,
        plan=plan,
        rest=rest,
        repository=before.repository,
        installation_id=before.installation_id,
        issue_number=before.issue_number,
        issue_title=before.issue_title,
        intent=before.intent,
        requester=before.requester,
        requester_id=before.requester_id,
        trigger_comment_id=before.trigger_comment_id,
        options=before.options,
        safety_profile=before.safety_profile,
        run_scope=before.run_scope,
        token_cap=before.token_cap,
        base_branch=f"autonomous/{before.run_id}",
        target_branch=before.target_branch or before.base_branch,
        state=RunState.PLAN_BOOTSTRAP,
        headline=Headline.PLANNING,
        headline_since=at,
        created_at=at,
    )
