"""Issues: what they say, their comments, reactions and the label that starts a run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field

from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.github_errors import GitHubRefused
from app.github.telling import telling, told

LABEL = "autopack"
LABEL_COLOR = "5319e7"
LABEL_DESCRIPTION = "Autopack plans and implements this issue"

Reaction = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


class User(ApiModel):
    login: str
    id: int
    type: str = "User"


class Label(ApiModel):
    name: str


class _RawIssue(ApiModel):
    number: int
    title: str
    body: str | None = None
    state: str
    labels: list[Label | str] = Field(default_factory=list[Label | str])
    user: User | None = None
    pull_request: dict[str, object] | None = None


class GitHubIssue(ApiModel):
    """An issue or, where `is_pull`, a pull request. All text is untrusted."""

    number: int
    title: str
    body: str
    open: bool
    labels: tuple[str, ...]
    author: str
    is_pull: bool


class Comment(ApiModel):
    """A comment on an issue or pull request. `author` is `ghost` where the account is gone."""

    id: int
    body: str
    author: str
    bot: bool
    app_id: int | None
    created_at: datetime
    url: str


class _AuthorApp(ApiModel):
    id: int


class _RawComment(ApiModel):
    id: int
    body: str | None = None
    user: User | None = None
    performed_via_github_app: _AuthorApp | None = None
    created_at: datetime
    html_url: str = ""

    def comment(self) -> Comment:
        return Comment(
            id=self.id,
            body=self.body or "",
            author=self.user.login if self.user else "ghost",
            bot=self.user is not None and self.user.type == "Bot",
            app_id=self.performed_via_github_app.id if self.performed_via_github_app else None,
            created_at=self.created_at,
            url=self.html_url,
        )


async def read_issue(repo: Repo, number: int) -> GitHubIssue:
    """Read an issue. Raises `GitHubRefused` (404, or 410 when deleted)."""
    response = await repo.call(lambda: repo.rest.issues.async_get(repo.owner, repo.name, number), exists=True)
    raw = parse_response(response, _RawIssue)
    return GitHubIssue(
        number=raw.number,
        title=raw.title,
        body=raw.body or "",
        open=raw.state == "open",
        labels=tuple(label if isinstance(label, str) else label.name for label in raw.labels),
        author=raw.user.login if raw.user else "ghost",
        is_pull=raw.pull_request is not None,
    )


async def comments(repo: Repo, number: int) -> list[Comment]:
    """All comments of an issue or pull request, oldest first (at most 5,000)."""
    raw = await repo.pages(
        lambda page: repo.rest.issues.async_list_comments(repo.owner, repo.name, number, per_page=100, page=page),
        _RawComment,
    )
    return [one.comment() for one in raw]


async def create_comment(repo: Repo, number: int, body: str) -> Comment:
    """Send one request that creates a comment, once: the `make` of `Repo.create`. Use `app.github.comments` instead."""
    response = await repo.rest.issues.async_create_comment(repo.owner, repo.name, number, body=body)
    return parse_response(response, _RawComment).comment()


async def update_comment(repo: Repo, comment_id: int, body: str) -> None:
    """Replace a comment's text."""
    await repo.call(lambda: repo.rest.issues.async_update_comment(repo.owner, repo.name, comment_id, body=body))


@telling("a reaction")
async def react_to_issue(repo: Repo, number: int, reaction: Reaction = "eyes") -> None:
    """Add the App's reaction; GitHub keeps one of each kind."""
    await repo.call(lambda: repo.rest.reactions.async_create_for_issue(repo.owner, repo.name, number, content=reaction))


@telling("a reaction")
async def react_to_comment(repo: Repo, comment_id: int, reaction: Reaction = "eyes") -> None:
    """Add the App's reaction; GitHub keeps one of each kind."""
    await repo.call(
        lambda: repo.rest.reactions.async_create_for_issue_comment(repo.owner, repo.name, comment_id, content=reaction)
    )


@telling("labels")
async def show_labels(repo: Repo, number: int, wanted: frozenset[str], descriptions: Mapping[str, str]) -> None:
    """Have the issue carry, of the labels in `descriptions`, those that are wanted; its other labels stay."""
    key, text = (repo.full_name.casefold(), "labels", str(number)), " ".join(sorted(wanted))
    if repo.app.shown.says(key, text):
        return
    held = {name.casefold(): name for name in (await read_issue(repo, number)).labels}
    for name in sorted(wanted - set(held)):
        told(await ensure_label(repo, name, descriptions[name]))
    new: list[Any] = sorted(wanted - set(held))
    if new:
        await repo.call(lambda: repo.rest.issues.async_add_labels(repo.owner, repo.name, number, labels=new))
    for name in (held[known] for known in descriptions if known in held and known not in wanted):
        await _take_label(repo, number, name)
    repo.app.shown.note(key, number, text)


async def _take_label(repo: Repo, number: int, name: str) -> None:
    try:
        await repo.call(
            lambda: repo.rest.issues.async_remove_label(repo.owner, repo.name, number, quote(name, safe=""))
        )
    except GitHubRefused as refusal:
        if refusal.status != 404:  # it is gone already
            raise


@telling("a label")
async def ensure_label(repo: Repo, name: str = LABEL, description: str = LABEL_DESCRIPTION) -> None:
    """Make the repository's label when it is not there; in the life of a process, this is looked at once."""
    shown = (repo.full_name.casefold(), "label", name)
    if repo.app.shown.id_of(shown) is not None:
        return

    async def look() -> Label | None:
        try:
            response = await repo.call(
                lambda: repo.rest.issues.async_get_label(repo.owner, repo.name, quote(name, safe=""))
            )
        except GitHubRefused as refusal:
            if refusal.status == 404:
                return None
            raise
        return parse_response(response, Label)

    async def make() -> Label:
        response = await repo.rest.issues.async_create_label(
            repo.owner, repo.name, name=name, color=LABEL_COLOR, description=description
        )
        return parse_response(response, Label)

    await repo.create(look, make)
    repo.app.shown.note(shown, 0, name)
