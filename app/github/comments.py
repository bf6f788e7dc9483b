"""Autopack's own comments: each has a hidden marker, by which it is found again and edited in place."""

from app.github import issues
from app.github.client import Repo
from app.github.github_errors import GitHubRefused
from app.github.telling import telling
from app.github.text.escape import has_marker, with_marker
from app.github.write_locks import write_lock


@telling("a comment")
async def upsert(repo: Repo, number: int, key: str, body: str) -> int:
    """Make the comment marked `key` on issue or PR `number` say `body`; return its id.

    Edits only when the text differs, creates when there is none or it was deleted. The marker is added when `body`
    lacks it. What this process showed last is not read again.
    """
    text, shown = with_marker(body, key), _shown_key(repo, number, key)
    async with write_lock(repo, "comment", str(number), key):
        known = repo.app.shown.id_of(shown)
        if known is not None and (repo.app.shown.says(shown, text) or await _edit(repo, known, text)):
            repo.app.shown.note(shown, known, text)
            return known
        comment = await _find_or_create(repo, number, key, text)
        if not _same(comment.body, text):
            await issues.update_comment(repo, comment.id, text)
        repo.app.shown.note(shown, comment.id, text)
    return comment.id


async def _edit(repo: Repo, comment_id: int, text: str) -> bool:
    """Edit a comment that is known; False where somebody has deleted it."""
    try:
        await issues.update_comment(repo, comment_id, text)
    except GitHubRefused as refusal:
        if refusal.status not in {404, 410}:
            raise
        return False
    return True


def forget(repo: Repo, number: int, key: str) -> None:
    """Look at the comment before it is edited again: somebody may have deleted or changed it."""
    repo.app.shown.forget(_shown_key(repo, number, key))


def _shown_key(repo: Repo, number: int, key: str) -> tuple[str, ...]:
    return (repo.full_name.casefold(), "comment", str(number), key)


@telling("a comment")
async def post_once(repo: Repo, number: int, key: str, body: str) -> int:
    """Post a comment marked `key` unless there is one; it is never edited. Returns its id."""
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
