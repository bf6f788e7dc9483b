"""What people ask for on a pull request: reviews that request changes, as GitHub counts them, and comments on lines."""

from dataclasses import dataclass
from typing import NamedTuple

from app.domain.finding_verdict import FindingVerdict, asks_for_nothing, read_verdict
from app.domain.requested_change import RequestedChange, RequestKind
from app.github.api_calls import ApiModel
from app.github.client import Repo
from app.github.events import Account
from app.github.permissions import may_steer
from app.github.reviews import finding_of, reply_once, resolved_roots
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
    commit_id: str | None = None


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


class PeopleSaid(NamedTuple):
    """What people who may steer say on a pull request."""

    requested: tuple[RequestedChange, ...]
    verdicts: tuple[FindingVerdict, ...]
    approvals: dict[str, str]
    """The commits that they approve, by their names."""


async def read_people(repo: Repo, number: int) -> PeopleSaid:
    """Their newest requests for changes, what they say on lines outside of those, and of the Auditor's findings.

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
        return PeopleSaid(tuple(reviews), (), {})
    of_reviews = {one.id for one in reviews} | {one.id for one in by_people if one.state in _DECISIVE}
    threads = await _threads(repo, number, frozenset(name for name, may in steering.items() if may))
    resolved = await resolved_roots(repo, number) if threads else frozenset[int]()
    requests = [thread.request(of_reviews) for thread in threads if thread.root.id not in resolved]
    verdicts = [thread.verdict() for thread in threads]
    return PeopleSaid(
        (*reviews, *(one for one in requests if one is not None)),
        tuple(one for one in verdicts if one is not None),
        {name: one.commit_id or "" for name, one in newest.items() if one.state == "APPROVED" and steering[name]},
    )


@dataclass(frozen=True)
class _PeoplesThread:
    """A thread on lines, in which people who may steer say something. Each comment belongs to a review, says GitHub:
    https://docs.github.com/en/rest/pulls/comments
    """

    root: _LineComment
    said: tuple[_LineComment, ...]
    """By people who may steer, the root included where it is theirs; oldest first."""
    last_own: int
    """The App's newest comment in it; 0 where it has none."""

    @property
    def finding(self) -> str | None:
        """The fingerprint of the Auditor's finding that it is about."""
        return None if self.root.by_person else finding_of(self.root.body or "")

    def request(self, of_reviews: set[int]) -> RequestedChange | None:
        """What is asked for since the App's newest comment; without one, a thread of such a review is part of that."""
        first = next((one for one in self.said if one.id > self.last_own and self._asks(one)), None)
        of_review = not self.last_own and self.root.pull_request_review_id in of_reviews
        if of_review or first is None or first.user is None:
            return None
        return RequestedChange(
            kind=RequestKind.THREAD,
            id=first.id,
            thread=0 if first is self.root else self.root.id,
            login=first.user.login,
            url=first.html_url,
            text=_with_replies(self.root, [one for one in self.said if one is not self.root]),
        )

    def _asks(self, one: _LineComment) -> bool:
        """The first word of a thread asks always; of later ones, thanks do not, nor what is a verdict."""
        text = one.body or ""
        if one is self.root:
            return True
        return not asks_for_nothing(text) and (self.finding is None or read_verdict(text) is None)

    def verdict(self) -> FindingVerdict | None:
        """The newest word on the finding, whether it is wrong."""
        if self.finding is None:
            return None
        for one in reversed(self.said):
            read = read_verdict(one.body or "")
            if read is not None and one.user is not None:
                return FindingVerdict(
                    fingerprint=self.finding,
                    wrong=read[0],
                    login=one.user.login,
                    reason=read[1],
                    comment_id=one.id,
                    url=one.html_url,
                )
        return None


async def _threads(repo: Repo, number: int, steering: frozenset[str]) -> list[_PeoplesThread]:
    """The threads in which one of these people says something, as far as a person or the App began them."""
    listed = await repo.pages(
        lambda page: repo.rest.pulls.async_list_review_comments(repo.owner, repo.name, number, per_page=100, page=page),
        _LineComment,
    )
    threads: list[_PeoplesThread] = []
    for root in (one for one in listed if one.in_reply_to_id is None):
        within = sorted((one for one in listed if root.id in {one.id, one.in_reply_to_id}), key=lambda one: one.id)
        said = tuple(one for one in within if one.by_person and one.user is not None and one.user.login in steering)
        own = [one.id for one in within if one.user is not None and one.user.login == repo.bot_login]
        began = root in said or root.id in own
        if said and began:
            threads.append(_PeoplesThread(root=root, said=said, last_own=max(own, default=0)))
    return threads


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
async def answer_thread(repo: Repo, number: int, request: RequestedChange, reply: str) -> None:
    """Answer in the thread of what a person requested there, once."""
    told(await reply_once(repo, number, request.thread or request.id, f"answered:{request.id}", reply))
