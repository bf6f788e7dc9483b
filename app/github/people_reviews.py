"""What people ask for on a pull request: reviews that request changes, as GitHub counts them, and comments on lines."""

from app.domain.requested_change import RequestedChange, RequestKind
from app.github.api_calls import ApiModel
from app.github.client import Repo
from app.github.events import Account
from app.github.permissions import may_steer
from app.github.reviews import reply_once, resolved_roots
from app.github.telling import telling, told

MAX_TEXT = 20_000
"""Characters of a review that are read."""
_DECISIVE = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
"""A comment takes back no request:
https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/about-pull-request-reviews
"""


class _PersonsReview(ApiModel):
    id: int
    state: str
    user: Account | None = None
    body: str | None = None
    html_url: str = ""


class _LineComment(ApiModel):
    id: int
    path: str = ""
    line: int | None = None
    body: str | None = None
    user: Account | None = None
    in_reply_to_id: int | None = None
    pull_request_review_id: int | None = None
    html_url: str = ""

    @property
    def text(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else self.path
        return f"{place}: {self.body or ''}"

    @property
    def by_person(self) -> bool:
        return self.user is not None and not self.user.bot


async def requested_changes(repo: Repo, number: int) -> tuple[RequestedChange, ...]:
    """What people who may steer ask for: their newest requests for changes, and comments on lines outside of those.

    A request that was taken back or followed by an approval, and a thread that is resolved, request nothing.
    """
    listed = await repo.pages(
        lambda page: repo.rest.pulls.async_list_reviews(repo.owner, repo.name, number, per_page=100, page=page),
        _PersonsReview,
    )
    by_people = [one for one in listed if one.user is not None and not one.user.bot]
    newest = {one.user.login: one for one in by_people if one.user is not None and one.state in _DECISIVE}
    steering = {login: await may_steer(repo, login) for login in {one.user.login for one in by_people if one.user}}
    reviews = [
        RequestedChange(id=review.id, login=login, url=review.html_url, text=await _text(repo, number, review))
        for login, review in newest.items()
        if review.state == "CHANGES_REQUESTED" and steering[login]
    ]
    if not any(steering.values()):
        return tuple(reviews)
    requesting = {one.id for one in reviews} | {one.id for one in by_people if one.state in _DECISIVE}
    return (*reviews, *await _threads(repo, number, requesting, {name for name, may in steering.items() if may}))


async def _threads(repo: Repo, number: int, of_reviews: set[int], steering: set[str]) -> list[RequestedChange]:
    """Open threads that people began outside of these reviews. Each comment on a line belongs to a review, says GitHub:
    https://docs.github.com/en/rest/pulls/comments
    """
    listed = await repo.pages(
        lambda page: repo.rest.pulls.async_list_review_comments(repo.owner, repo.name, number, per_page=100, page=page),
        _LineComment,
    )
    roots = [
        one
        for one in listed
        if one.in_reply_to_id is None and one.by_person and one.pull_request_review_id not in of_reviews
        if one.user is not None and one.user.login in steering
    ]
    resolved = await resolved_roots(repo, number) if roots else frozenset[int]()
    return [
        RequestedChange(
            kind=RequestKind.THREAD,
            id=root.id,
            login=root.user.login if root.user else "",
            url=root.html_url,
            text=_with_replies(root, [one for one in listed if one.in_reply_to_id == root.id and one.by_person]),
        )
        for root in roots
        if root.id not in resolved
    ]


def _with_replies(root: _LineComment, replies: list[_LineComment]) -> str:
    said = [f"{one.user.login if one.user else ''}: {one.body or ''}" for one in replies]
    return "\n\n".join([root.text, *said])[:MAX_TEXT]


async def _text(repo: Repo, number: int, review: _PersonsReview) -> str:
    lines = [one.text for one in await _line_comments(repo, number, review.id)]
    return "\n\n".join(filter(None, [review.body or "", *lines]))[:MAX_TEXT]


async def _line_comments(repo: Repo, number: int, review_id: int) -> list[_LineComment]:
    return await repo.pages(
        lambda page: repo.rest.pulls.async_list_comments_for_review(
            repo.owner, repo.name, number, review_id, per_page=100, page=page
        ),
        _LineComment,
    )


@telling("the answers to a review")
async def answer_review(repo: Repo, number: int, review_id: int, reply: str) -> None:
    """Answer each of the review's comments on lines, once."""
    for one in await _line_comments(repo, number, review_id):
        told(await reply_once(repo, number, one.id, f"answered:{one.id}", reply))


@telling("a reaction")
async def react_to_line_comment(repo: Repo, comment_id: int) -> None:
    """Add the App's 👀; GitHub keeps one of each kind."""
    await repo.call(
        lambda: repo.rest.reactions.async_create_for_pull_request_review_comment(
            repo.owner, repo.name, comment_id, content="eyes"
        )
    )


@telling("the answer to a review comment")
async def answer_thread(repo: Repo, number: int, root: int, reply: str) -> None:
    """Answer in a thread that a person began, once."""
    told(await reply_once(repo, number, root, f"answered:{root}", reply))
