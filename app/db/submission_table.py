"""The table of what external agents post."""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ForeignKey, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.column_types import Base, EnumText, PydanticJson
from app.domain.api_requests import AuditorResult, BuilderResult
from app.domain.budget import Role
from app.domain.findings import Finding

T = TypeVar("T")


class Submission(Base):
    """A result or audit that an external agent posted: one per attempt, answered the same however often it comes."""

    __tablename__ = "submissions"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.run_id"))
    phase_id: Mapped[str] = mapped_column(String(100))
    role: Mapped[Role] = mapped_column(EnumText(Role, 20))
    attempt: Mapped[int]
    body: Mapped[BuilderResult | AuditorResult] = mapped_column(PydanticJson(BuilderResult | AuditorResult))
    answer: Mapped[dict[str, Any] | None]
    commit_sha: Mapped[str | None] = mapped_column(String(64))
    """The commit that its patch became."""
    judged: Mapped[bool] = mapped_column(default=False)
    """Of a result: CI has judged its commit, or it was sent back, so that without an audit nothing is left to do."""
    judged_submission_id: Mapped[int | None]
    """Of an audit: the result that it judged at the gate; empty once that was sent back."""
    found: Mapped[list[Finding] | None] = mapped_column(PydanticJson(list[Finding]))
    """Of an audit: what it found, as the run's findings have it."""
    show_on: Mapped[str | None] = mapped_column(String(64))
    """Of an audit: the commit of the pull request on which it belongs; empty while its result is not pushed."""
    own: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Of an audit: Autopack's own Auditor made it, on request."""
    shown: Mapped[bool] = mapped_column(default=False, server_default=false())
    """It is on the pull request."""
    at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("run_id", "phase_id", "role", "attempt", name="one_result_per_attempt"),)

    @property
    def builder_result(self) -> BuilderResult:
        """What a builder posted. Raises `TypeError` for an audit."""
        return _of_kind(self.body, BuilderResult)

    @property
    def auditor_result(self) -> AuditorResult:
        """What an auditor posted. Raises `TypeError` for a builder's result."""
        return _of_kind(self.body, AuditorResult)


def _of_kind(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"not a {kind.__name__}: {type(value).__name__}")
    return value
