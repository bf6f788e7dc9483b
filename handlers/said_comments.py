"""`issue_comment` without a command: what a person says to an open run goes to its next attempt."""

from app.db import run_rows
from app.domain.requested_change import RequestedChange, RequestKind
from app.github import issues
from app.github.events import IssueCommentEvent
from app.github.people_reviews import MAX_TEXT
from app.github.permissions import may_steer
from app.runs import heard_comments
from app.workflows.services import call_db
from handlers.outcomes import Action
from handlers.permission_and_start import repo_of_event


async def hear(event: IssueCommentEvent) -> list[Action]:
    """Keep it for the next attempt and acknowledge it with 👀, where the person may steer; others are passed over."""
    if event.sender is None:
        return []
    run = await call_db(run_rows.find_latest_run, event.repository.full_name, event.issue.number)
    if run is None or run.completed_at is not None or run.intent != "build":
        return []
    repo = await repo_of_event(event)
    if repo is None or not await may_steer(repo, event.sender.login):
        return []
    change = RequestedChange(
        kind=RequestKind.COMMENT,
        id=event.comment.id,
        login=event.sender.login,
        url=event.comment.html_url,
        text=(event.comment.body or "").strip()[:MAX_TEXT],
    )
    await call_db(heard_comments.add_comment, run.run_id, change)
    await issues.react_to_comment(repo, event.comment.id)
    return []
