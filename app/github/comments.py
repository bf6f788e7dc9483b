"""Autopack's own comments: each has a hidden marker, by which it is found again and edited in place.

On a locked issue GitHub lets no App comment: what it refuses is left out and logged.
"""

from app.github import issues
from app.github.client import Repo
from app.github.telling import telling
from app.github.text.escape import has_marker, with_marker
from app.github.write_locks import write_lock


@telling("a comment")
async def upsert(repo: Repo, number: int, key: str, body: str) -> int:
    """Make the comment marked `key` on issue or PR `number` say `body`; return its id, or None when GitHub refuses.

    Edits only when the text differs, creates when there is none or it was deleted. The marker is added when `body`
    lacks it.
    """
    text = with_marker(body, key)
    async with write_lock(repo, "comment", str(number), key):
        comment = await _find_or_create(repo, number, key, text)
        if not _same(comment.body, text):
            await issues.update_comment(repo, comment.id, text)
    return comment.id


@telling("a comment")
async def post_once(repo: Repo, number: int, key: str, body: str) -> int:
    """Post a comment marked `key` unless there is one; it is never edited. Returns its id; None when refused."""
    async with write_lock(repo, "comment", str(number), key):
        return (await _find_or_create(repo, number, key, with_marker(body, key))).id


async def find(repo: Repo, number: int, key: str) -> issues.Comment | None:
    """The App's own, oldest comment with the marker `key`. Other people's copies of a marker do not count."""
    return next((one for one in await issues.comments(repo, number) if _is_own(repo, one, key)), None)


async def _find_or_create(repo: Repo, number: int, key: str, text: str) -> issues.Comment:
    return await repo.create(lambda: find(repo, number, key), lambda: issues.create_comment(repo, number, text))


def _is_own(repo: Repo, comment: issues.Comment, key: str) -> bool:
    own = comment.app_id == repo.app_id or comment.author == repo.bot_login
    return own and has_marker(comment.body, key)


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
