"""Reviews by people: whose request for changes prevents a merge, as GitHub itself counts it."""

from app.domain.promotion import Objection
from app.github.api_calls import ApiModel
from app.github.client import Repo
from app.github.events import Account
from app.github.permissions import may_steer
from app.github.reviews import reply_once
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

    @property
    def text(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else self.path
        return f"{place}: {self.body or ''}"


async def requested_changes(repo: Repo, number: int) -> tuple[Objection, ...]:
    """The newest requests for changes of people who may steer, that they have not taken back or approved since."""
    listed = await repo.pages(
        lambda page: repo.rest.pulls.async_list_reviews(repo.owner, repo.name, number, per_page=100, page=page),
        _PersonsReview,
    )
    newest: dict[str, _PersonsReview] = {}
    for review in listed:
        if review.user is not None and not review.user.bot and review.state in _DECISIVE:
            newest[review.user.login] = review
    return tuple(
        [
            Objection(login=login, review_id=review.id, url=review.html_url, text=await _text(repo, number, review))
            for login, review in newest.items()
            if review.state == "CHANGES_REQUESTED" and await may_steer(repo, login)
        ]
    )


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
