"""Pull request reviews: one review per audit, no finding twice, threads resolved once their finding is fixed."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from pydantic import Field

from app.domain import diff
from app.domain.diff import FileDiff
from app.github.api_calls import ApiModel, parse_response
from app.github.client import Repo
from app.github.github_errors import GitHubRefused
from app.github.placement import InlineComment, Placement
from app.github.telling import Untold, telling
from app.github.text.escape import has_marker, with_marker
from app.github.text.markdown import sections
from app.github.text.review_text import leftover_section

_FINDING = re.compile(r"<!-- autopack:finding:([0-9a-f]{1,64}) -->")
_MAX_THREAD_PAGES = 20
_THREADS = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { id isResolved comments(first: 1) { nodes { url } } }
      }
    }
  }
}
"""
_RESOLVE = """
mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }
"""


class Review(ApiModel):
    """A posted review. `posted` and `in_body` are the fingerprints that it shows inline and in its text."""

    id: int
    url: str
    posted: tuple[str, ...] = ()
    in_body: tuple[str, ...] = ()


class _User(ApiModel):
    login: str


class _RawReview(ApiModel):
    id: int
    body: str | None = None
    html_url: str = ""
    user: _User | None = None


class _RawReviewComment(ApiModel):
    id: int
    body: str = ""
    user: _User | None = None
    in_reply_to_id: int | None = None
    pull_request_review_id: int | None = None


class _RawFile(ApiModel):
    filename: str
    patch: str = ""

    def diff(self) -> FileDiff | None:
        """Its hunks; None where GitHub shows none, or what it shows is no diff."""
        try:
            return next(iter(diff.parse(f"--- a/file\n+++ b/file\n{self.patch}\n")), None) if self.patch else None
        except diff.DiffSyntaxError:
            return None


class _CommentUrl(ApiModel):
    """`databaseId` has 32 bits, which GitHub's ids have outgrown, and older servers know no `fullDatabaseId`."""

    url: str

    @property
    def number(self) -> int | None:
        found = re.search(r"#discussion_r(\d+)$", self.url)
        return int(found[1]) if found else None


class _Comments(ApiModel):
    nodes: list[_CommentUrl] = Field(default_factory=list[_CommentUrl])


class _Thread(ApiModel):
    id: str
    is_resolved: bool = Field(alias="isResolved")
    comments: _Comments


@telling("a review")
async def post_review(repo: Repo, number: int, commit_sha: str, key: str, body: str, placement: Placement) -> Review:
    """Post one review (event COMMENT) marked `key` on the commit, unless there is one; known findings are left out.

    A known one whose thread was resolved is found again: the review's body says so.

    If GitHub refuses a line (422), it is asked for its own diff: comments that are not in it move to the body, and all
    of them where that is refused too. Nothing is lost.
    """
    done = await find_review(repo, number, key)
    if done is not None:
        return done
    shown = await shown_findings(repo, number)
    inline = [one for one in placement.inline if one.finding.fingerprint not in shown]
    rest = [one for one in placement.body if one.fingerprint not in shown]
    if known := [one.finding for one in placement.inline if one.finding.fingerprint in shown]:
        resolved = await _resolved_findings(repo, number)
        rest += [finding for finding in known if finding.fingerprint in resolved]
    try:
        return await _post(repo, number, commit_sha, key, body, Placement(tuple(inline), tuple(rest)))
    except GitHubRefused as refusal:
        if refusal.status != 422 or not inline:
            raise
    for kept in (await _in_own_diff(repo, number, inline), []):
        moved = [one.finding for one in inline if one not in kept]
        try:
            return await _post(repo, number, commit_sha, key, body, Placement(tuple(kept), (*moved, *rest)))
        except GitHubRefused as refusal:
            if refusal.status != 422 or not kept:
                raise
    raise AssertionError("a review without comments was posted or refused")


async def _in_own_diff(repo: Repo, number: int, comments: Iterable[InlineComment]) -> list[InlineComment]:
    """The comments whose lines are in the pull request's diff as GitHub has it. A file that it cuts has none."""
    raw = await repo.pages(
        lambda page: repo.rest.pulls.async_list_files(repo.owner, repo.name, number, per_page=100, page=page), _RawFile
    )
    files = {file.filename: file.diff() for file in raw}
    return [
        one
        for one in comments
        if (file := files.get(one.path)) is not None and file.commentable(one.side, one.line, one.start_line)
    ]


async def find_review(repo: Repo, number: int, key: str) -> Review | None:
    """The App's review marked `key`, with the findings that it shows."""
    raw = next((one for one in await _own_reviews(repo, number) if has_marker(one.body or "", key)), None)
    if raw is None:
        return None
    comments = [one for one in await _own_comments(repo, number) if one.pull_request_review_id == raw.id]
    return Review(
        id=raw.id,
        url=raw.html_url,
        posted=tuple(found for one in comments for found in _FINDING.findall(one.body)),
        in_body=tuple(_FINDING.findall(raw.body or "")),
    )


async def shown_findings(repo: Repo, number: int) -> frozenset[str]:
    """Fingerprints of the findings that the App's reviews of this pull request show, inline or in their text."""
    texts = [review.body or "" for review in await _own_reviews(repo, number)]
    texts += [comment.body for comment in await _own_comments(repo, number)]
    return frozenset(fingerprint for text in texts for fingerprint in _FINDING.findall(text))


async def _resolved_findings(repo: Repo, number: int) -> frozenset[str]:
    """Fingerprints of the App's findings whose threads are resolved."""
    roots = await resolved_roots(repo, number)
    ended = [comment.body for comment in await _own_comments(repo, number) if comment.id in roots]
    return frozenset(fingerprint for body in ended for fingerprint in _FINDING.findall(body))


def finding_of(body: str) -> str | None:
    """The fingerprint of the finding that a comment of the App shows."""
    found = _FINDING.findall(body)
    return found[-1] if found else None


@telling("the end of review threads")
async def resolve_threads(repo: Repo, number: int, fingerprints: Collection[str], note: str) -> int:
    """Resolve the App's open threads about these findings, each with `note` at the end of its comment; return how many.

    An edit sends no notification, as an answer would. `note` is Autopack's own Markdown, such as ``Fixed in abc1234.``
    """
    wanted = set(fingerprints)
    roots = {
        comment.id: comment
        for comment in await _own_comments(repo, number)
        if comment.in_reply_to_id is None and finding_of(comment.body) in wanted
    }
    resolved = 0
    for thread in await _threads(repo, number) if roots else []:
        root = next((one.number for one in thread.comments.nodes), None)
        if thread.is_resolved or root is None or root not in roots:
            continue
        _raise_if_owed(await _add_note(repo, roots[root], note))
        ended = await _resolve(repo, thread.id)
        _raise_if_owed(ended)
        resolved += not isinstance(ended, Untold)
    return resolved


async def resolved_roots(repo: Repo, number: int) -> frozenset[int]:
    """The first comments of the threads that are resolved."""
    ended = [thread for thread in await _threads(repo, number) if thread.is_resolved]
    return frozenset(one.number for thread in ended for one in thread.comments.nodes if one.number is not None)


def _raise_if_owed(result: object) -> None:
    """An answer or thread that is owed makes the whole owed: a thread is not resolved before it is answered."""
    if isinstance(result, Untold) and result.for_now:
        raise result.cause


@telling("the end of a review comment")
async def _add_note(repo: Repo, comment: _RawReviewComment, note: str) -> None:
    """Add the note above the comment's marker, once."""
    text, _, marker = comment.body.rpartition("\n\n<!--")
    if note not in text:
        body = f"{text}\n\n{note}\n\n<!--{marker}"
        await repo.call(
            lambda: repo.rest.pulls.async_update_review_comment(repo.owner, repo.name, comment.id, body=body)
        )


@telling("the end of a review thread")
async def _resolve(repo: Repo, thread_id: str) -> dict[str, Any]:
    return await repo.graphql(_RESOLVE, {"id": thread_id})


async def _post(repo: Repo, number: int, commit_sha: str, key: str, body: str, placement: Placement) -> Review:
    text = with_marker(sections(body, leftover_section(placement.body)), key)
    comments = [_comment(one) for one in placement.inline]

    async def look() -> _RawReview | None:
        return next((one for one in await _own_reviews(repo, number) if has_marker(one.body or "", key)), None)

    async def make() -> _RawReview:
        response = await repo.rest.pulls.async_create_review(
            repo.owner, repo.name, number, commit_id=commit_sha, body=text, event="COMMENT", comments=comments
        )
        return parse_response(response, _RawReview)

    review = await repo.create(look, make)
    return Review(
        id=review.id,
        url=review.html_url,
        posted=tuple(one.finding.fingerprint for one in placement.inline),
        in_body=tuple(one.fingerprint for one in placement.body),
    )


def _comment(one: InlineComment) -> Any:
    comment: dict[str, Any] = {"path": one.path, "body": one.body, "line": one.line, "side": one.side}
    if one.start_line is not None:
        comment |= {"start_line": one.start_line, "start_side": one.side}
    return comment


async def _own_reviews(repo: Repo, number: int) -> list[_RawReview]:
    reviews = await repo.pages(
        lambda page: repo.rest.pulls.async_list_reviews(repo.owner, repo.name, number, per_page=100, page=page),
        _RawReview,
    )
    return [one for one in reviews if one.user is not None and one.user.login == repo.bot_login]


async def _own_comments(repo: Repo, number: int) -> list[_RawReviewComment]:
    comments = await repo.pages(
        lambda page: repo.rest.pulls.async_list_review_comments(repo.owner, repo.name, number, per_page=100, page=page),
        _RawReviewComment,
    )
    return [one for one in comments if one.user is not None and one.user.login == repo.bot_login]


async def _threads(repo: Repo, number: int) -> list[_Thread]:
    threads: list[_Thread] = []
    after: str | None = None
    for _ in range(_MAX_THREAD_PAGES):
        variables = {"owner": repo.owner, "name": repo.name, "number": number, "after": after}
        data = await repo.graphql(_THREADS, variables)
        found = data["repository"]["pullRequest"]["reviewThreads"]
        threads += [_Thread.model_validate(node) for node in found["nodes"]]
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    return threads


@telling("an answer to a review comment")
async def reply_once(repo: Repo, number: int, root: int, key: str, reply: str) -> None:
    """Answer in the thread of a review comment, once by its key."""

    async def look() -> _RawReviewComment | None:
        comments = await _own_comments(repo, number)
        return next((one for one in comments if one.in_reply_to_id == root and has_marker(one.body, key)), None)

    async def make() -> _RawReviewComment:
        response = await repo.rest.pulls.async_create_reply_for_review_comment(
            repo.owner, repo.name, number, root, body=with_marker(reply, key)
        )
        return parse_response(response, _RawReviewComment)

    await repo.create(look, make)
