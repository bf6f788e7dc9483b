"""The tables. Times are UTC with zone; JSON columns hold pydantic models of `app.domain` as dumped in JSON mode."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Numeric, String, Text, TypeDecorator, text
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets the zone, so UTC is put back on reading."""

    impl = SqlDateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without zone cannot be stored")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class PlainText(TypeDecorator[str]):
    """Text from anywhere, models and logs among them; PostgreSQL stores no NUL, so none is kept."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value else value


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        float: Float,
        Decimal: Numeric(18, 8),
    }


class Delivery(Base):
    """A webhook delivery as it came in: the inbox. `handed_at` is set once the workflow engine has it."""

    __tablename__ = "deliveries"
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    event: Mapped[str] = mapped_column(String(100))
    payload: Mapped[str] = mapped_column(Text)
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
    repository: Mapped[str | None] = mapped_column(String(200))
    installation_id: Mapped[int | None] = mapped_column(BigInteger)
    issue_number: Mapped[int | None]
    issue_title: Mapped[str] = mapped_column(PlainText, default="")
    intent: Mapped[str] = mapped_column(String(20), default="build")
    requester: Mapped[str] = mapped_column(String(100), default="")
    requester_id: Mapped[int | None] = mapped_column(BigInteger)
    trigger_comment_id: Mapped[int | None] = mapped_column(BigInteger)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(50))
    safety_profile: Mapped[str] = mapped_column(String(30), default="normal")
    run_scope: Mapped[str] = mapped_column(String(30), default="multi_tier")
    token_cap: Mapped[int]
    plan: Mapped[dict[str, Any] | None]
    strategy: Mapped[dict[str, Any] | None]
    base_branch: Mapped[str] = mapped_column(String(255), default="")
    base_sha: Mapped[str | None] = mapped_column(String(64))
    head_sha: Mapped[str | None] = mapped_column(String(64))
    pull_number: Mapped[int | None]
    headline: Mapped[str] = mapped_column(String(50))
    reason: Mapped[str] = mapped_column(PlainText, default="")
    next_action: Mapped[str] = mapped_column(PlainText, default="")
    headline_since: Mapped[datetime]
    deadline: Mapped[datetime | None]
    notices: Mapped[list[str]] = mapped_column(default=list)
    ci_absent: Mapped[bool] = mapped_column(default=False)
    stop_state: Mapped[str | None] = mapped_column(String(50))
    stop_reason: Mapped[str] = mapped_column(PlainText, default="")
    last_log: Mapped[str] = mapped_column(PlainText, default="")
    promotion_eligible: Mapped[bool] = mapped_column(default=False)
    promoted_at: Mapped[datetime | None]
    failure_reason: Mapped[str | None] = mapped_column(PlainText)
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
    )


class Tier(Base):
    __tablename__ = "tiers"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    tier_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    tier_index: Mapped[int]
    name: Mapped[str] = mapped_column(PlainText)
    state: Mapped[str] = mapped_column(String(20))


class Phase(Base):
    __tablename__ = "phases"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    phase_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    tier_id: Mapped[str] = mapped_column(String(100))
    phase_index: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    builder_attempts: Mapped[int] = mapped_column(default=0)
    auditor_attempts: Mapped[int] = mapped_column(default=0)
    ci_runs: Mapped[int] = mapped_column(default=0)
    head_sha: Mapped[str | None] = mapped_column(String(64))
    snapshot: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str] = mapped_column(PlainText, default="")


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


class Issue(Base):
    """A finding of a phase, counted by its fingerprint: the same one again raises `occurrences`."""

    __tablename__ = "issues"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), primary_key=True)
    phase_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), primary_key=True)
    issue_key: Mapped[str] = mapped_column(String(200), index=True)
    severity: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(20))
    finding: Mapped[dict[str, Any]]
    open: Mapped[bool] = mapped_column(default=True)
    resolution: Mapped[str] = mapped_column(PlainText, default="")
    occurrences: Mapped[int] = mapped_column(default=1)
    seen_in: Mapped[str] = mapped_column(String(100))
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class ModelCall(Base):
    """The ledger: a reservation before each model request, settled after it. Tokens; money in US dollars."""

    __tablename__ = "model_calls"
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"), index=True)
    phase_id: Mapped[str | None] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20))
    model: Mapped[str] = mapped_column(String(200))
    reserved: Mapped[int]
    settled: Mapped[bool] = mapped_column(default=False)
    input: Mapped[int] = mapped_column(default=0)
    cached: Mapped[int] = mapped_column(default=0)
    output: Mapped[int] = mapped_column(default=0)
    cost_usd: Mapped[Decimal | None]
    at: Mapped[datetime]
