"""Runs, tiers and phases: created all or nothing, moved only by the machines of `app.domain.states`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationInfo, field_validator
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import LOCK, Database
from app.db.tables import Phase, Run, Tier, Transition
from app.domain.frozen import Frozen
from app.domain.phase_account import PhaseAccount
from app.domain.plan import Plan, PlannedPhase, PlannedTier
from app.domain.requested_change import RequestedChange
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, RunOptions, Strategy


class NewRun(Frozen):
    """What is known when a run is requested."""

    run_id: str
    repository: str
    """Empty for a run without one; then there is no installation either."""
    repository_id: int | None = None
    installation_id: int
    issue_number: int
    """0 for a run without an issue."""
    issue_title: str
    issue_body: str | None = None
    """Its text as it was when someone said go; None where that is not known."""
    intent: str
    requester: str
    requester_id: int
    trigger_comment_id: int | None = None
    options: RunOptions = RunOptions()
    base_branch: str
    token_cap: int
    notices: tuple[str, ...] = ()
    """Remarks on its start, such as a delivery that was missed."""
    plan: Plan | None = None
    """That it carries out; None where the Planner makes it."""


class RunRow(NewRun):
    """A run as stored, detached from the database."""

    project_id: str
    engine: Engine
    follows: str | None
    part: int
    """Which of `parts` runs this is, from 1; all do one plan."""
    parts: int
    strategy: Strategy | None
    rest: tuple[Plan, ...]
    """The plans of the runs that follow this one."""
    state: RunState
    target_branch: str
    """The branch that the work will be merged into: the base, also of the run that this one follows."""
    base_sha: str | None
    head_sha: str | None
    pull_number: int | None
    stop_state: RunState | None
    stop_reason: str
    reason: str = ""
    """Why it waits, or how it ended."""
    last_log: str
    ci_absent: bool = False
    objections: tuple[RequestedChange, ...] = ()
    paused_since: datetime | None = None
    paused_by: str = ""
    continues: str | None = None
    """The ended run with whose plan, branch and pull request this one goes on."""
    continued_by: str | None = None
    branch_of: str | None = None
    start_sha: str | None = None
    promoted_at: datetime | None
    active_seconds: float
    active_since: datetime | None
    max_minutes: float | None
    created_at: datetime
    completed_at: datetime | None
    told_at: datetime | None
    """When everything about the run's end had been said on GitHub."""

    @field_validator("objections", mode="before")
    @classmethod
    def _none_is_no_objection(cls, value: object) -> object:
        return value or ()

    @field_validator("repository", "installation_id", "issue_number", "requester_id", mode="before")
    @classmethod
    def _none_is_empty(cls, value: object, info: ValidationInfo) -> object:
        return ("" if info.field_name == "repository" else 0) if value is None else value

    def active_minutes(self, at: datetime) -> float:
        """Minutes of active work up to `at`; waiting for CI or a person is not counted."""
        running = (at - self.active_since).total_seconds() if self.active_since else 0.0
        return (self.active_seconds + running) / 60

    @property
    def branch(self) -> str:
        return f"autonomous/{self.branch_of or self.run_id}"


def create(db: Database, new: NewRun, now: datetime) -> str:
    """Create the run, or return the id of the open run that the same repository, issue and intent already have."""
    row = Run(
        **new.model_dump(mode="json", exclude={"options", "plan"}),
        plan=new.plan,
        project_id=project_of(db, new.repository, new.repository_id),
        target_branch=new.base_branch,
        options=new.options,
        state=RunState.PLAN_BOOTSTRAP,
        headline=Headline.PLANNING,
        headline_since=now,
        created_at=now,
    )
    try:
        with db.writing() as session:
            session.add(row)
            session.flush()
            record_transition(
                session,
                new.run_id,
                "run",
                new.run_id,
                "",
                RunState.PLAN_BOOTSTRAP,
                f"requested by {new.requester}",
                now,
            )
    except IntegrityError:
        existing = find_open_run(db, new.repository, new.issue_number, new.intent) or _first_run(
            db, Run.run_id == new.run_id
        )
        # None: the run that was in the way has ended since.
        return existing.run_id if existing else create(db, new, now)
    return new.run_id


def project_of(db: Database, repository: str, repository_id: int | None) -> str:
    """The project of a repository: the name under which it was first seen, whatever it is called now."""
    earlier = None if repository_id is None else _first_run(db, Run.repository_id == repository_id)
    if earlier is not None:
        return earlier.project_id
    namesake = _first_run(db, Run.project_id == repository, Run.repository_id.is_not(None))
    taken = namesake is not None and repository_id is not None and namesake.repository_id != repository_id
    return f"{repository}-{repository_id}" if taken else repository


def get(db: Database, run_id: str) -> RunRow:
    """The run. Raises `sqlalchemy.exc.NoResultFound`."""
    with db.reading() as session:
        return RunRow.model_validate(session.get_one(Run, run_id))


def list_unannounced_runs(db: Database) -> list[RunRow]:
    """All runs whose end is not fully published, oldest first; the open ones among them."""
    with db.reading() as session:
        query = sa.select(Run).where(Run.told_at.is_(None)).order_by(Run.created_at)
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def get_strategy(db: Database, run_id: str) -> Strategy:
    """The run's frozen strategy. Raises `sqlalchemy.exc.NoResultFound`; the run has been planned."""
    with db.reading() as session:
        return session.get_one(Run, run_id).frozen_strategy


def _first_run(db: Database, *conditions: sa.ColumnElement[bool]) -> RunRow | None:
    query = sa.select(Run).where(*conditions).order_by(Run.completed_at.is_not(None), Run.created_at.desc()).limit(1)
    with db.reading() as session:
        row = session.scalar(query)
        return RunRow.model_validate(row) if row else None


def find_open_run(db: Database, repository: str, issue_number: int, intent: str = "build") -> RunRow | None:
    """The run on this issue that has not ended."""
    return _first_run(
        db,
        Run.repository == repository,
        Run.issue_number == issue_number,
        Run.intent == intent,
        Run.completed_at.is_(None),
    )


def find_plan_run(db: Database, repository: str, issue_number: int) -> RunRow | None:
    """The newest run that posted a plan on this issue."""
    here = (Run.repository == repository, Run.issue_number == issue_number, Run.intent == "plan")
    return _first_run(db, *here, Run.state == RunState.DONE_SUCCESS, Run.strategy.is_not(None))


def find_latest_run(db: Database, repository: str, number: int) -> RunRow | None:
    """The run whose issue or pull request has this number: the one that is on, else the newest."""
    return _first_run(db, Run.repository == repository, sa.or_(Run.issue_number == number, Run.pull_number == number))


def find_newest_run(db: Database, repository_id: int | None, issue_number: int) -> RunRow | None:
    """The open run of an issue, else the newest."""
    return _first_run(db, Run.repository_id == repository_id, Run.issue_number == issue_number)


def find_run_by_branch(db: Database, repository: str, branch: str) -> RunRow | None:
    """The run that writes to an `autonomous/…` branch, or was the last that did."""
    owner = branch.removeprefix("autonomous/")
    return _first_run(db, Run.repository == repository, sa.or_(Run.run_id == owner, Run.branch_of == owner))


def find_run(db: Database, repository: str, run_id: str) -> RunRow | None:
    """The repository's run of this id."""
    return _first_run(db, Run.repository == repository, Run.run_id == run_id)


def find_run_shown_on(db: Database, repository_id: int | None, head_sha: str) -> RunRow | None:
    """The run whose newest commit this is, open or ended."""
    return _first_run(db, Run.repository_id == repository_id, Run.head_sha == head_sha)


def list_open_runs(db: Database) -> list[RunRow]:
    """All runs that have not ended, oldest first."""
    with db.reading() as session:
        query = sa.select(Run).where(Run.completed_at.is_(None)).order_by(Run.created_at)
        return [RunRow.model_validate(row) for row in session.scalars(query)]


def store_plan(session: Session, run: Run, plan: Plan, strategy: Strategy) -> None:
    """Give the run its plan, its strategy, and its tiers and phases, in the caller's transaction."""
    run.plan = plan
    run.strategy = strategy
    run.token_cap = strategy.token_cap
    run.safety_profile = strategy.safety_profile
    run.run_scope = strategy.run_scope
    run.max_minutes = strategy.max_minutes
    for tier in plan.tiers:
        session.add(_tier_row(run.run_id, tier))
    for phase in plan.phases:
        session.add(_phase_row(run.run_id, phase))


def append_phase(db: Database, run_id: str, plan: Plan, strategy: Strategy, phase_id: str) -> None:
    """Store a phase that came up during the run, with the plan and strategy that hold it; a repeat changes nothing."""
    with db.writing() as session:
        if session.get(Phase, (run_id, phase_id)) is not None:
            return
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        run.plan = plan
        run.strategy = strategy
        phase = next(phase for phase in plan.phases if phase.phase_id == phase_id)
        tier = next(tier for tier in plan.tiers if tier.tier_id == phase.tier_id)
        if session.get(Tier, (run_id, tier.tier_id)) is None:
            session.add(_tier_row(run_id, tier))
        session.add(_phase_row(run_id, phase))


def _tier_row(run_id: str, tier: PlannedTier) -> Tier:
    return Tier(
        run_id=run_id,
        tier_id=tier.tier_id,
        tier_index=tier.tier_index,
        name=tier.name,
        state=TierState.PENDING,
    )


def _phase_row(run_id: str, phase: PlannedPhase) -> Phase:
    return Phase(
        run_id=run_id,
        phase_id=phase.phase_id,
        tier_id=phase.tier_id,
        phase_index=phase.phase_index,
        task_category=phase.task_category,
        complexity=phase.complexity,
        state=PhaseState.QUEUED,
    )


def record_transition(
    session: Session, run_id: str, machine: str, subject: str, old: str, new: str, cause: str, now: datetime
) -> None:
    """Record a step of a state machine, with its time and cause."""
    session.add(Transition(run_id=run_id, machine=machine, subject=subject, old=old, new=new, cause=cause, at=now))


def update(db: Database, run_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run that no machine governs."""
    with db.writing() as session:
        session.execute(sa.update(Run).where(Run.run_id == run_id).values(**values))


def update_phase(db: Database, run_id: str, phase_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a phase that no machine governs."""
    with db.writing() as session:
        session.execute(sa.update(Phase).where(Phase.run_id == run_id, Phase.phase_id == phase_id).values(**values))


def record_push(
    db: Database, run_id: str, phase_id: str, head_sha: str, paths: Iterable[str], summary: str = ""
) -> None:
    """The phase has a new commit, which changed these files."""
    with db.writing() as session:
        phase = session.get_one(Phase, (run_id, phase_id), with_for_update=LOCK)
        phase.head_sha, phase.last_log, phase.failed_job_url = head_sha, "", ""
        if summary:
            phase.account = (phase.account or PhaseAccount()).model_copy(update={"summary": summary[:4_000]})
        phase.changed_paths = list(dict.fromkeys([*phase.changed_paths, *paths]))


def get_stop_request(db: Database, run_id: str) -> tuple[RunState, str] | None:
    """The state in which the run is requested to end, and why."""
    run = get(db, run_id)
    return (run.stop_state, run.stop_reason) if run.stop_state else None


def mark_announced(db: Database, run_id: str, now: datetime) -> None:
    """GitHub shows the end of the run."""
    update(db, run_id, {"told_at": now})


def add_notice(db: Database, run_id: str, text: str) -> bool:
    """Say something once where the run is shown; False for a text that is there already."""
    with db.writing() as session:
        run = session.get_one(Run, run_id, with_for_update=LOCK)
        if text in run.notices:
            return False
        run.notices = [*run.notices, text]
        return True


def set_ci_absent(db: Database, run_id: str, *, absent: bool) -> None:
    """Record whether promotion stays closed because no CI judged the newest commit."""
    update(db, run_id, {"ci_absent": absent})


def object_to_promotion(db: Database, run_id: str, reason: str) -> None:
    """Keep promotion closed, with the reason that people are told."""
    update(db, run_id, {"late_objection": reason})
