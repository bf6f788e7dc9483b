"""The run's pull request: found by its head branch, made once as a draft, kept up to date, taken out of draft."""

from typing import Literal

from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.commits import WorkBranch
from app.github.github_errors import GitHubRefused
from app.github.telling import Untold, telling

_MARK_DRAFT = """
mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } } }
"""
_MARK_READY = """
mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }
"""


class _Side(ApiModel):
    ref: str
    sha: str


class _RawPull(ApiModel):
    number: int
    node_id: str
    state: Literal["open", "closed"]
    draft: bool = False
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    mergeable_state: str = "unknown"
    title: str
    body: str | None = None
    html_url: str = ""
    head: _Side
    base: _Side

    def pull(self) -> "Pull":
        return Pull(
            number=self.number,
            node_id=self.node_id,
            open=self.state == "open",
            draft=self.draft,
            merged=self.merged_at is not None,
            merge_commit_sha=self.merge_commit_sha,
            conflicts=self.mergeable_state == "dirty",
            title=self.title,
            body=self.body or "",
            url=self.html_url,
            head=self.head.ref,
            head_sha=self.head.sha,
            base=self.base.ref,
        )


class Pull(ApiModel):
    """A pull request. `merge_commit_sha` is the landed commit once `merged`, a trial merge before."""

    number: int
    node_id: str
    open: bool
    draft: bool
    merged: bool
    merge_commit_sha: str | None
    conflicts: bool = False
    """With its base; GitHub works it out some seconds after a push."""
    title: str
    body: str
    url: str
    head: str
    head_sha: str
    base: str


async def read_pull(repo: Repo, number: int) -> Pull:
    """Read a pull request. Raises `GitHubRefused` (404)."""
    response = await repo.call(lambda: repo.rest.pulls.async_get(repo.owner, repo.name, number), exists=True)
    return parse_response(response, _RawPull).pull()


async def find_pull(repo: Repo, head: str) -> Pull | None:
    """The newest pull request from the branch `head` of this repository: an open one if there is one."""
    found = await repo.pages(
        lambda page: repo.rest.pulls.async_list(
            repo.owner, repo.name, state="all", head=f"{repo.owner}:{head}", per_page=100, page=page
        ),
        _RawPull,
    )
    # GitHub ignores a `head` it cannot read and lists everything, so the answer is checked
    own = [one.pull() for one in found if one.head.ref == head]
    return max(own, key=lambda pull: (pull.open, pull.number), default=None)


async def ensure_pull(repo: Repo, head: WorkBranch, base: str, title: str, body: str, *, draft: bool = True) -> Pull:
    """The branch's pull request: found (open, closed or merged), else made. An open one's title and body are updated.

    Where drafts are not to be had (private repositories of some plans), it is made ready. Raises `GitHubRefused` (422)
    while the branch has no commit that the base lacks.
    """

    async def make(as_draft: bool) -> Pull:
        response = await repo.rest.pulls.async_create(
            repo.owner, repo.name, head=head.name, base=base, title=title, body=body, draft=as_draft
        )
        return parse_response(response, _RawPull).pull()

    try:
        pull = await repo.create(lambda: find_pull(repo, head.name), lambda: make(draft))
    except GitHubRefused as refusal:
        if not draft or refusal.status != 422 or "draft" not in refusal.message.lower():
            raise
        pull = await repo.create(lambda: find_pull(repo, head.name), lambda: make(False))
    updated = await update_pull(repo, pull, title=title, body=body) if pull.open else pull
    if isinstance(updated, Untold):
        return pull
    repo.app.shown.note(_shown_key(repo, pull.number), pull.number, _said(title, body))
    return updated


@telling("the text of the pull request")
async def show_text(repo: Repo, number: int, *, title: str, body: str, known_open: bool = False) -> None:
    """Make title and body of an open pull request say this; sends nothing when this process has done so.

    It is read before, unless it is known to be open.
    """
    shown, said = _shown_key(repo, number), _said(title, body)
    if repo.app.shown.says(shown, said):
        return
    if known_open and repo.app.shown.id_of(shown) is not None:
        await repo.call(lambda: repo.rest.pulls.async_update(repo.owner, repo.name, number, title=title, body=body))
    elif (pull := await read_pull(repo, number)).open:
        await _update(repo, pull, title, body)
    repo.app.shown.note(shown, number, said)


def _shown_key(repo: Repo, number: int) -> tuple[str, ...]:
    return (repo.full_name.casefold(), "pull", str(number))


def _said(title: str, body: str) -> str:
    return f"{title}\n{body}"


@telling("the text of the pull request")
async def update_pull(repo: Repo, pull: Pull, *, title: str, body: str) -> Pull:
    """Make title and body say this; sends nothing when they do."""
    return await _update(repo, pull, title, body)


async def _update(repo: Repo, pull: Pull, title: str, body: str) -> Pull:
    if pull.title == title and pull.body.replace("\r\n", "\n").strip() == body.strip():
        return pull
    response = await repo.call(
        lambda: repo.rest.pulls.async_update(repo.owner, repo.name, pull.number, title=title, body=body)
    )
    return parse_response(response, _RawPull).pull()


async def mark_ready(repo: Repo, pull: Pull) -> None:
    """Take the pull request out of draft; nothing happens when it is not one."""
    if pull.draft:
        await repo.graphql(_MARK_READY, {"id": pull.node_id})


@telling("the end of an earlier pull request")
async def close(repo: Repo, pull: Pull) -> None:
    """Close a pull request without merging it; nothing happens when it is closed."""
    if pull.open:
        await repo.call(lambda: repo.rest.pulls.async_update(repo.owner, repo.name, pull.number, state="closed"))


@telling("the draft mark of the pull request")
async def mark_draft(repo: Repo, pull: Pull) -> None:
    """Put the pull request back into draft; nothing happens when it is one."""
    if not pull.draft:
        await repo.graphql(_MARK_DRAFT, {"id": pull.node_id})
