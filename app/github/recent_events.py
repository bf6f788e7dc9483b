"""What people did lately in the installed repositories, read from GitHub: for events whose deliveries never came.

https://docs.github.com/en/rest/issues/events#list-issue-events-for-a-repository and
https://docs.github.com/en/rest/issues/comments#list-issue-comments-for-a-repository show the newest first. The requests
are the same each time, so that an answer that has not changed does not count.
"""

from collections.abc import AsyncIterator
from datetime import datetime

from app.github.api_calls import ApiModel, pages, parse_response
from app.github.client import GitHubApp, Repo
from app.github.events import Account, IssueRef, LabelRef, comment_subject

NEWEST = 50
"""Entries of a list; more than that in some minutes are not found."""


class InstalledRepository(ApiModel):
    """A repository that the App reaches."""

    id: int
    full_name: str
    default_branch: str
    archived: bool = False


class LabelGiven(ApiModel):
    """A label that was given to an issue."""

    id: int
    event: str
    actor: Account | None = None
    created_at: datetime
    label: LabelRef | None = None
    issue: IssueRef | None = None


class RecentComment(ApiModel):
    """A comment on an issue or pull request."""

    id: int
    body: str | None = None
    user: Account | None = None
    created_at: datetime
    issue_url: str
    html_url: str = ""
    performed_via_github_app: dict[str, object] | None = None

    @property
    def text(self) -> str:
        return self.body or ""

    @property
    def by_person(self) -> bool:
        return self.user is not None and not self.user.bot and self.performed_via_github_app is None

    @property
    def issue_number(self) -> int:
        return int(self.issue_url.rpartition("/")[2])

    @property
    def subject(self) -> str:
        return comment_subject(self.id)


class _InstalledApp(ApiModel):
    id: int
    suspended_at: datetime | None = None


async def list_repositories(app: GitHubApp) -> AsyncIterator[tuple[int, InstalledRepository]]:
    """The repositories of all installations that are not suspended, each with its installation's id."""
    patience = app.settings.patience
    installations = await pages(
        patience, lambda page: app.rest.apps.async_list_installations(per_page=100, page=page), _InstalledApp
    )
    for installation in installations:
        if installation.suspended_at is not None:
            continue
        rest = app.rest_of_installation(installation.id)
        found = await pages(
            patience,
            lambda page, rest=rest: rest.apps.async_list_repos_accessible_to_installation(per_page=100, page=page),
            InstalledRepository,
            key="repositories",
        )
        for repository in found:
            if not repository.archived:
                yield installation.id, repository


async def labels_given(repo: Repo) -> list[LabelGiven]:
    """The newest labels that were given to issues."""
    response = await repo.call(
        lambda: repo.rest.issues.async_list_events_for_repo(repo.owner, repo.name, per_page=NEWEST)
    )
    return [one for one in parse_response(response, list[LabelGiven]) if one.event == "labeled"]


async def recent_comments(repo: Repo) -> list[RecentComment]:
    """The newest comments."""
    response = await repo.call(
        lambda: repo.rest.issues.async_list_comments_for_repo(
            repo.owner, repo.name, sort="created", direction="desc", per_page=NEWEST
        )
    )
    return parse_response(response, list[RecentComment])
