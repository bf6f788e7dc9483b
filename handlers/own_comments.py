"""The run to which one of the App's own comments belongs, when a person has edited that comment."""

import re
from typing import NamedTuple

from app.db import run_rows
from app.db.run_rows import RunRow
from app.github.client import Repo
from app.github.events import IssueCommentEvent
from app.workflows.services import call_db
from handlers.permission_and_start import repo_of_event


class OwnComment(NamedTuple):
    repo: Repo
    run: RunRow


def is_edited(event: IssueCommentEvent, kind: str) -> bool:
    """Whether it is the edit of what may be the App's comment of this kind, by its marker."""
    return event.action == "edited" and _run_id(event, kind) is not None


async def find_own_comment(event: IssueCommentEvent, kind: str) -> OwnComment | None:
    """The comment's run; None where the comment is not the App's, however it is marked."""
    repo, run_id = await repo_of_event(event), _run_id(event, kind)
    if repo is None or run_id is None or event.comment.user is None:
        return None
    run = await call_db(run_rows.find_run, event.repository.full_name, run_id)
    return OwnComment(repo, run) if run is not None and event.comment.user.login == repo.bot_login else None


def _run_id(event: IssueCommentEvent, kind: str) -> str | None:
    found = re.search(rf"<!-- autopack:{kind}:([\w.-]{{1,100}}) -->", event.comment.body or "")
    return found[1] if found else None
