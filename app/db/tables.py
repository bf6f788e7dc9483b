"""The tables. Times are UTC with zone; JSON columns hold pydantic values of `app.domain`."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.column_types import EMPTY, Base, EnumText, PlainText, PydanticJson
from app.domain.aging import BacklogStatus
from app.domain.api_scopes import ApiScope
from app.domain.budget import Exhausted, Role
from app.domain.findings import Finding, Severity
from app.domain.integrity import IntegrityReport
from app.domain.phase_account import PhaseAccount
from app.domain.plan import Plan, PlannedPhase
from app.domain.requested_change import RequestedChange
from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.states import PhaseState, RunState, TierState
from app.domain.status_view import Headline
from app.domain.strategy import Engine, RunOptions, Strategy

DEFAULT_PROJECT = "autopack"
"""The project of runs that name no repository."""


class DeliveryRow(Base):
    """A webhook delivery as it came in: the inbox. `handed_at` is set once the workflow engine has it."""

    __tablename__ = "deliveries"
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    event: Mapped[str] = mapped_column(String(100))
    payload: Mapped[str] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(String(100), unique=True, index=True)
    """What happened, of events that are looked for by reading too: the same never comes in twice."""
    received_at: Mapped[datetime]
    handed_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "deliveries_waiting",
            "received_at",
            sqlite_where=text("handed_at IS NULL"),
            postgresql_where=text("handed_at IS NULL"),
        ),
    )


class Run(Base):
    """One run. At most one that has not ended exists per (repository, issue, intent)."""

    __tablename__ = "runs"
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(200), default=DEFAULT_PROJECT, index=True)
    """Whose backlog its issues belong to."""
    engine: Mapped[Engine] = mapped_column(EnumText(Engine, 20), default=Engine.AUTOPACK)
    """Who builds: Autopack's own Builder, or an external one that posts its results."""
    follows: Mapped[str | None] = mapped_column(String(100))
    part: Mapped[int] = mapped_column(default=1)
    parts: Mapped[int] = mapped_column(default=1)
    rest: Mapped[list[Plan]] = mapped_column(PydanticJson(list[Plan]), default=list)
    rest_strategies: Mapped[list[Strategy]] = mapped_column(PydanticJson(list[Strategy]), default=list)
    """Their strategies, where they are frozen already: for runs without a repository, until the next one has them."""
    repository: Mapped[str | None] = mapped_column(String(200))
    """Its newest name; `repository_id` stays when it is renamed or transferred."""
    repository_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    issue_number: Mapped[int | None]
    issue_title: Mapped[str] = mapped_column(PlainText, default="")
    issue_body: Mapped[str | None] = mapped_column(PlainText)
    intent: Mapped[str] = mapped_column(String(20), default="build")
    requester: Mapped[str] = mapped_column(String(100), default="")
    requester_id: Mapped[int | None] = mapped_column(BigInteger)
    trigger_comment_id: Mapped[int | None] = mapped_column(BigInteger)
    options: Mapped[RunOptions] = mapped_column(PydanticJson(RunOptions), default=RunOptions())
    state: Mapped[RunState] = mapped_column(EnumText(RunState, 50))
    safety_profile: Mapped[SafetyProfile] = mapped_column(EnumText(SafetyProfile, 30), default=SafetyProfile.NORMAL)
    run_scope: Mapped[RunScope] = mapped_column(EnumText(RunScope, 30), default=RunScope.MULTI_TIER)
    token_cap: Mapped[int]
    plan: Mapped[Plan | None] = mapped_column(PydanticJson(Plan))
    strategy: Mapped[Strategy | None] = mapped_column(PydanticJson(Strategy))
    base_branch: Mapped[str] = mapped_column(String(255), default="")
    target_branch: Mapped[str] = mapped_column(String(255), default="")
    """The branch that the work will be merged into; its settings govern. For a linked run too."""
    base_sha: Mapped[str | None] = mapped_column(String(64))
    head_sha: Mapped[str | None] = mapped_column(String(64))
    pull_number: Mapped[int | None]
    headline: Mapped[Headline] = mapped_column(EnumText(Headline, 50))
    reason: Mapped[str] = mapped_column(PlainText, default="")
    next_action: Mapped[str] = mapped_column(PlainText, default="")
    headline_since: Mapped[datetime]
    deadline: Mapped[datetime | None]
    notices: Mapped[list[str]] = mapped_column(default=list)
    ci_absent: Mapped[bool] = mapped_column(default=False)
    stop_state: Mapped[RunState | None] = mapped_column(EnumText(RunState, 50))
    stop_reason: Mapped[str] = mapped_column(PlainText, default="")
    last_log: Mapped[str] = mapped_column(PlainText, default="")
    failed_job_url: Mapped[str] = mapped_column(PlainText, default="", server_default=EMPTY)
    late_objection: Mapped[str] = mapped_column(PlainText, default="")
    """Why an audit that came after the end speaks against promotion; empty while none does."""
    objections: Mapped[tuple[RequestedChange, ...] | None] = mapped_column(PydanticJson(tuple[RequestedChange, ...]))
    """The changes that people requested, with their answers."""
    integrity: Mapped[IntegrityReport | None] = mapped_column(PydanticJson(IntegrityReport))
    """What the integrity rules found in its branch."""
    paused_since: Mapped[datetime | None]
    resumed_at: Mapped[datetime | None]
    paused_by: Mapped[str] = mapped_column(PlainText, default="", server_default=EMPTY)
    continues: Mapped[str | None] = mapped_column(String(100))
    """The ended run with whose plan, branch and pull request this one goes on."""
    continued_by: Mapped[str | None] = mapped_column(String(100))
    """The run that goes on with this one's branch."""
    branch_of: Mapped[str | None] = mapped_column(String(100), index=True)
    """The run whose branch this one writes to; None for its own."""
    start_sha: Mapped[str | None] = mapped_column(String(64))
    """The commit of that branch on which it builds."""
    promoted_at: Mapped[datetime | None]
    failure_reason: Mapped[str | None] = mapped_column(PlainText)
    exhausted: Mapped[Exhausted | None] = mapped_column(PydanticJson(Exhausted))
    """The cap that ended it."""
    merge_ci_runs: Mapped[int] = mapped_column(default=0)
    """CI runs of merges with the base, in addition to those of its phases."""
    active_seconds: Mapped[float] = mapped_column(default=0.0)
    active_since: Mapped[datetime | None]
    max_minutes: Mapped[float | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "one_open_run_per_issue",
            "repository",
            "issue_number",
            "intent",
            unique=True,
            sqlite_where=text("completed_at IS NULL AND repository IS NOT NULL"),
            postgresql_where=text("completed_at IS NULL AND repository IS NOT NULL"),
        ),
        Index("runs_by_head", "repository", "head_sha"),
        Index("runs_by_issue", "repository", "issue_number"),
    )

    @property
    def branch(self) -> str:
        return f"autonomous/{self.branch_of or self.run_id}"

    @property
    def frozen_strategy(self) -> Strategy:
        """The strategy of a run that has one. Raises `ValueError` before the run is planned."""
        if self.strategy is None:
            raise ValueError(f"the run {self.run_id} has no strategy yet")
        return self.strategy

    def planned_phase(self, phase_id: str) -> PlannedPhase | None:
        """The phase as planned; None before the plan is stored."""
        return next((phase for phase in self.plan.phases if phase.phase_id == phase_id), None) if self.plan else None


class Tier(Base):
    __tablename__ = "tiers"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    tier_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    tier_index: Mapped[int]
    name: Mapped[str] = mapped_column(PlainText)
    state: Mapped[TierState] = mapped_column(EnumText(TierState, 20))


class Phase(Base):
    __tablename__ = "phases"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    phase_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    tier_id: Mapped[str] = mapped_column(String(100))
    phase_index: Mapped[int]
    task_category: Mapped[str] = mapped_column(String(50), default="")
    complexity: Mapped[str] = mapped_column(String(10), default="")
    state: Mapped[PhaseState] = mapped_column(EnumText(PhaseState, 20))
    builder_attempts: Mapped[int] = mapped_column(default=0)
    auditor_attempts: Mapped[int] = mapped_column(default=0)
    ci_runs: Mapped[int] = mapped_column(default=0)
    head_sha: Mapped[str | None] = mapped_column(String(64))
    snapshot: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str] = mapped_column(PlainText, default="")
    reported_minor: Mapped[int] = mapped_column(default=0)
    """Minor issues that a client said there are, without naming them."""
    reported_major: Mapped[int] = mapped_column(default=0)
    changed_paths: Mapped[list[str]] = mapped_column(default=list)
    """The files that its pushed commits changed."""
    account: Mapped[PhaseAccount | None] = mapped_column(PydanticJson(PhaseAccount))
    last_log: Mapped[str] = mapped_column(PlainText, default="", server_default=EMPTY)
    """Of the jobs that failed on its newest commit, trimmed to the failure; empty once CI is not red."""
    failed_job_url: Mapped[str] = mapped_column(PlainText, default="", server_default=EMPTY)
    skip_by: Mapped[str] = mapped_column(PlainText, default="", server_default=EMPTY)
    """The person who asked to have it left out."""


class Transition(Base):
    """Every step of every machine, with its time and cause. Never changed, never deleted."""

    __tablename__ = "transitions"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), index=True)
    machine: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str] = mapped_column(String(100))
    old: Mapped[str] = mapped_column(String(50))
    new: Mapped[str] = mapped_column(String(50))
    cause: Mapped[str] = mapped_column(PlainText)
    at: Mapped[datetime]


class FindingRow(Base):
    """A finding of a phase, counted by its fingerprint: the same one again raises `occurrences`."""

    __tablename__ = "issues"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    phase_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    issue_key: Mapped[str] = mapped_column(String(200), index=True)
    severity: Mapped[Severity] = mapped_column(EnumText(Severity, 10))
    source: Mapped[str] = mapped_column(String(40))
    finding: Mapped[Finding] = mapped_column(PydanticJson(Finding))
    task_category: Mapped[str] = mapped_column(String(50), default="")
    complexity: Mapped[str] = mapped_column(String(10), default="")
    expected_fail: Mapped[bool] = mapped_column(default=False)
    evidence_refs: Mapped[list[str]] = mapped_column(default=list)
    open: Mapped[bool] = mapped_column(default=True)
    resolution: Mapped[str] = mapped_column(PlainText, default="")
    occurrences: Mapped[int] = mapped_column(default=1)
    seen_in: Mapped[str] = mapped_column(String(100))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class Project(Base):
    """A repository, or the service's own project: the row that is locked while its backlog is written."""

    __tablename__ = "projects"
    project_id: Mapped[str] = mapped_column(String(200), primary_key=True)


class Backlog(Base):
    """An issue of a project over all its runs, by its key."""

    __tablename__ = "backlog"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.project_id"), primary_key=True)
    issue_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    category: Mapped[str] = mapped_column(PlainText)
    base_severity: Mapped[Severity] = mapped_column(EnumText(Severity, 10))
    task_category: Mapped[str] = mapped_column(String(50), default="")
    complexity: Mapped[str] = mapped_column(String(10), default="")
    problem: Mapped[str] = mapped_column(PlainText, default="")
    status: Mapped[BacklogStatus] = mapped_column(EnumText(BacklogStatus, 20))
    occurrences: Mapped[int] = mapped_column(default=0)
    age_in_runs: Mapped[int]
    age_in_tiers: Mapped[int]
    seen_in_tiers: Mapped[list[str]]
    first_seen_run_id: Mapped[str] = mapped_column(String(100))
    last_seen_run_id: Mapped[str] = mapped_column(String(100))
    last_seen_at: Mapped[datetime]
    resolved_by_run_id: Mapped[str | None] = mapped_column(String(100))


class Sighting(Base):
    """That an issue was seen in a run, and in which of its tiers; aging counts these rows, never how often it was."""

    __tablename__ = "sightings"
    project_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    issue_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    tiers: Mapped[list[str]]
    left_open: Mapped[bool] = mapped_column(default=True)
    """False once the run itself fixed it, or a later one did: then it does not count any more."""
    aged_before: Mapped[bool] = mapped_column(default=False)
    """Earlier runs had left it past the aging threshold, and the run has no phase that is yet to fix it."""
    aged: Mapped[bool] = mapped_column(default=False)
    """It needs one, this sighting included."""


class ModelCallRow(Base):
    """The ledger: a reservation before each model request, settled after it. Tokens; money in US dollars."""

    __tablename__ = "model_calls"
    id: Mapped[str] = mapped_column(String(400), primary_key=True)
    """Holds a run's id and a phase's, or the id of a workflow that does."""
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), index=True)
    phase_id: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[Role] = mapped_column(EnumText(Role, 20))
    model: Mapped[str] = mapped_column(String(200))
    reserved: Mapped[int]
    reserved_usd: Mapped[Decimal | None]
    settled: Mapped[bool] = mapped_column(default=False)
    input: Mapped[int] = mapped_column(default=0)
    cached: Mapped[int] = mapped_column(default=0)
    output: Mapped[int] = mapped_column(default=0)
    discount: Mapped[int] = mapped_column(default=0)
    """How much less of them counts against token caps: cached input counts at its share of the price."""
    estimated: Mapped[bool] = mapped_column(default=False)
    """The provider reported no usage, so it is what was reserved."""
    cost_usd: Mapped[Decimal | None]
    at: Mapped[datetime] = mapped_column(index=True)
    """What a day may cost is summed before each request."""


class WorkerRow(Base):
    """A process that serves a PostgreSQL database, alive while a session holds the lock of its number."""

    __tablename__ = "workers"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    executor_id: Mapped[str] = mapped_column(String(100))
    """Its name in the workflow engine."""
    version: Mapped[str] = mapped_column(String(50))
    """Of its workflows."""
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """When another process had taken up all its work."""


class ApiToken(Base):
    """A token of the REST API, by its digest."""

    __tablename__ = "api_tokens"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    scopes: Mapped[list[ApiScope]] = mapped_column(PydanticJson(list[ApiScope]))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    made_at: Mapped[datetime]
    made_by_start: Mapped[bool]
    """Made by the service's first start, not by a person."""


class OwedText(Base):
    """What a run has to tell on GitHub, which did not take it when it was due: the reconciler tries it again."""

    __tablename__ = "owed_texts"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), index=True)
    name: Mapped[str] = mapped_column(String(50))
    """Of the function that tells it."""
    arguments: Mapped[list[Any]] = mapped_column(PydanticJson(list[Any]))
    """Of that function, after the run's id."""
    reason: Mapped[str] = mapped_column(PlainText)
    since: Mapped[datetime]
