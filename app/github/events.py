"""Webhook events, as far as Autopack reads them: small, tolerant models. Everything in them is untrusted."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from pydantic import Field, ValidationError

from app.github.api_calls import ApiModel


class Account(ApiModel):
    login: str
    id: int = 0
    type: str = "User"

    @property
    def bot(self) -> bool:
        return self.type == "Bot" or self.login.endswith("[bot]")


class Ref(ApiModel):
    id: int


class RepositoryRef(ApiModel):
    id: int | None = None
    full_name: str
    default_branch: str = ""


class LabelRef(ApiModel):
    name: str


class IssueRef(ApiModel):
    number: int
    title: str = ""
    body: str | None = None
    state: str = "open"
    updated_at: datetime | None = None
    pull_request: dict[str, object] | None = None

    @property
    def is_pull(self) -> bool:
        return self.pull_request is not None


class CommentRef(ApiModel):
    id: int
    body: str | None = None
    created_at: datetime | None = None
    updated_at: str = ""
    html_url: str = ""
    user: Account | None = None
    performed_via_github_app: Ref | None = None


class BranchRef(ApiModel):
    ref: str


class BranchName(ApiModel):
    name: str


class PullRef(ApiModel):
    merged: bool = False
    merge_commit_sha: str | None = None
    """Of a merged one: the commit that landed."""
    head: BranchRef


class AppRef(ApiModel):
    id: int
    slug: str = ""


class SuiteRef(ApiModel):
    head_sha: str
    head_branch: str | None = None
    app: AppRef | None = None


class SuiteOfRun(ApiModel):
    head_branch: str | None = None


class CheckRunRef(ApiModel):
    head_sha: str
    status: str = "completed"
    conclusion: str | None = None
    app: AppRef | None = None
    check_suite: SuiteOfRun | None = None


class WorkflowRunRef(ApiModel):
    head_sha: str
    head_branch: str | None = None


def comment_subject(comment_id: int) -> str:
    """A new comment, whether its delivery came or it was read."""
    return f"comment:{comment_id}"


class Event(ApiModel):
    """What all events have. `sender` did it; `installation` is how the App may answer."""

    name: ClassVar[str] = ""
    action: str = ""
    sender: Account | None = None
    installation: Ref | None = None
    received_at: datetime | None = None
    """When it came in; no part of what GitHub sends."""

    @property
    def subject(self) -> str | None:
        """What happened, of events that are looked for by reading too."""
        return None


class RepositoryEvent(Event):
    """An event of one repository."""

    repository: RepositoryRef


class IssuesEvent(RepositoryEvent):
    name: ClassVar[str] = "issues"
    issue: IssueRef
    label: LabelRef | None = None


class _Before(ApiModel):
    text: str = Field(default="", alias="from")


class CommentChanges(ApiModel):
    """What an edit changed."""

    body: _Before = _Before()


class IssueCommentEvent(RepositoryEvent):
    """A comment on an issue or, where `issue.is_pull`, on a pull request."""

    name: ClassVar[str] = "issue_comment"
    issue: IssueRef
    comment: CommentRef
    changes: CommentChanges = CommentChanges()

    @property
    def subject(self) -> str | None:
        return comment_subject(self.comment.id) if self.action == "created" else None


class PullRequestEvent(RepositoryEvent):
    name: ClassVar[str] = "pull_request"
    number: int
    pull_request: PullRef


class PullReviewRef(ApiModel):
    state: str = ""
    """`approved`, `changes_requested`, `commented` or `dismissed`."""
    user: Account | None = None


class ReviewedPull(ApiModel):
    number: int
    head: BranchRef


class PullRequestReviewEvent(RepositoryEvent):
    """A review was submitted, edited or dismissed."""

    name: ClassVar[str] = "pull_request_review"
    review: PullReviewRef
    pull_request: ReviewedPull


class CheckRunEvent(RepositoryEvent):
    name: ClassVar[str] = "check_run"
    check_run: CheckRunRef


class CheckSuiteEvent(RepositoryEvent):
    name: ClassVar[str] = "check_suite"
    check_suite: SuiteRef


class WorkflowRunEvent(RepositoryEvent):
    name: ClassVar[str] = "workflow_run"
    workflow_run: WorkflowRunRef


class StatusEvent(RepositoryEvent):
    """A commit status; it has no action. `branches` are at most ten of those that the commit is the head of."""

    name: ClassVar[str] = "status"
    sha: str
    branches: tuple[BranchName, ...] = ()


class PushEvent(RepositoryEvent):
    """A push, creation or deletion of a ref; it has no action. `after` is all zeros when the ref is gone."""

    name: ClassVar[str] = "push"
    ref: str
    after: str
    deleted: bool = False
    forced: bool = False

    @property
    def branch(self) -> str | None:
        """The branch's name; None for tags."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else None


class _From(ApiModel):
    before: str = Field(default="", alias="from")


class RepositoryChanges(ApiModel):
    default_branch: _From | None = None


class RepositoryAdminEvent(RepositoryEvent):
    """What an owner did with the repository: `renamed`, `transferred`, `archived`, `deleted`, `edited` and others."""

    name: ClassVar[str] = "repository"
    changes: RepositoryChanges = RepositoryChanges()


class InstallationEvent(Event):
    name: ClassVar[str] = "installation"
    repositories: tuple["RepositoryName", ...] = ()


class InstallationRepositoriesEvent(Event):
    name: ClassVar[str] = "installation_repositories"
    repositories_added: tuple["RepositoryName", ...] = ()
    repositories_removed: tuple["RepositoryName", ...] = ()


class RepositoryName(ApiModel):
    """GitHub sends id, owner and name only here."""

    id: int | None = None
    full_name: str


class BadPayload(ValueError):
    """A payload of a known event lacks what Autopack reads of it."""


EVENTS: Mapping[str, type[Event]] = {
    event.name: event
    for event in (
        IssuesEvent,
        IssueCommentEvent,
        PullRequestEvent,
        PullRequestReviewEvent,
        CheckRunEvent,
        CheckSuiteEvent,
        WorkflowRunEvent,
        StatusEvent,
        PushEvent,
        RepositoryAdminEvent,
        InstallationEvent,
        InstallationRepositoriesEvent,
    )
}


def parse(event_name: str, payload: bytes | str) -> Event | None:
    """Read a delivery's JSON; None for an event that Autopack does not read. Raises `BadPayload`."""
    model = EVENTS.get(event_name)
    if model is None:
        return None
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        fields = ", ".join(".".join(str(part) for part in one["loc"]) or "payload" for one in error.errors())
        raise BadPayload(f"{event_name}: cannot read {fields}") from error
