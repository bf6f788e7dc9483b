"""Answers to people: each is given once, however long GitHub takes."""

from app.github import comments
from app.github.client import Repo
from app.github.telling import Untold


async def reply(repo: Repo, number: int, key: str, body: str) -> None:
    """Post an answer marked `key` on an issue or pull request; what GitHub refuses for good is left out.

    Raises `GitHubUnavailable` while GitHub does not take it: the whole delivery is then handled again.
    """
    told = await comments.post_once(repo, number, key, body)
    if isinstance(told, Untold) and told.for_now:
        raise told.cause
