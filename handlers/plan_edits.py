"""A person edits a plan's comment: what changed is recorded, and what cannot be read is answered at once."""

import re

from app.db import run_rows
from app.github import text
from app.github.events import IssueCommentEvent
from app.workflows import github_status
from app.workflows.posted_plan import note_edit
from app.workflows.services import call_db
from handlers.answering import reply
from handlers.outcomes import Action
from handlers.permission_and_start import check_permission, repo_of_event

_PLAN = re.compile(r"<!-- autopack:plan:([\w.-]{1,100}) -->")


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether a person edited what may be a plan's comment."""
    return event.action == "edited" and _PLAN.search(event.comment.body or "") is not None


async def handle(event: IssueCommentEvent) -> list[Action]:
    """Record the edit of someone who may steer. The comment itself says what the next run builds."""
    repo, found = await repo_of_event(event), _PLAN.search(event.comment.body or "")
    if repo is None or found is None or event.sender is None or event.comment.user is None:
        return []
    run = await call_db(run_rows.find_run, event.repository.full_name, found[1])
    if run is None or event.comment.user.login != repo.bot_login:
        return []
    if not await check_permission(repo, event.sender, event.issue.number):
        return []
    before, after = event.changes.body.text, event.comment.body or ""
    if problem := await note_edit(run.run_id, before, after, event.sender.login):
        key = f"plan-unreadable:{event.comment.id}:{event.comment.updated_at}"
        await reply(repo, event.issue.number, key, text.plan_unreadable(problem))
    await github_status.show_run.at_once(run.run_id)
    return []
