"""A person edits a plan's comment: what changed is recorded, and what cannot be read is answered at once."""

from app.github import text
from app.github.events import IssueCommentEvent
from app.workflows import github_status
from app.workflows.posted_plan import note_edit
from handlers.answering import reply
from handlers.outcomes import Action
from handlers.own_comments import find_own_comment, is_edited
from handlers.permission_and_start import check_permission


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether a person edited what may be a plan's comment."""
    return is_edited(event, "plan")


async def handle(event: IssueCommentEvent) -> list[Action]:
    """Record the edit of someone who may steer. The comment itself says what the next run builds."""
    own = await find_own_comment(event, "plan")
    if own is None or event.sender is None:
        return []
    repo, run = own
    if not await check_permission(repo, event.sender, event.issue.number):
        return []
    before, after = event.changes.body.text, event.comment.body or ""
    if problem := await note_edit(run.run_id, before, after, event.sender.login):
        key = f"plan-unreadable:{event.comment.id}:{event.comment.updated_at}"
        await reply(repo, event.issue.number, key, text.plan_unreadable(problem))
    await github_status.show_run.at_once(run.run_id)
    return []
