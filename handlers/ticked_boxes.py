"""A person ticks a box in a status comment: GitHub sends the edit, the run does it, and the comment is written again.

https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/about-task-lists
"""

from app.domain.commands import ticked
from app.domain.steer_request import SteerRequest, number_of
from app.github import comments, text
from app.github.events import IssueCommentEvent
from app.workflows import github_status
from app.workflows.steer import steer
from handlers.answering import reply
from handlers.outcomes import Action, StartRun, WakeRun
from handlers.own_comments import find_own_comment, is_edited
from handlers.permission_and_start import check_permission


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether a person edited what may be a status comment, and left a box ticked."""
    return is_edited(event, "status") and bool(ticked(event.comment.body or ""))


async def handle(event: IssueCommentEvent) -> list[Action]:
    """Do what is ticked, for someone who may steer; others are refused. Only the App's own comment counts."""
    own = await find_own_comment(event, "status")
    if own is None or event.sender is None:
        return []
    repo, run = own
    actions: list[Action] = []
    if await check_permission(repo, event.sender, event.issue.number):
        for command in ticked(event.comment.body or ""):
            asked = SteerRequest(
                command=command,
                by=event.sender.login,
                by_id=event.sender.id,
                # the same delivery again does nothing new
                source_id=number_of(f"{event.comment.id} {event.comment.updated_at} {command}"),
                url=event.comment.html_url,
            )
            answer = await steer(run.run_id, asked)
            if not answer.done:
                await reply(repo, event.issue.number, f"answer:{asked.source_id}", text.steer_answer(answer))
            elif answer.starts:
                actions.append(StartRun(answer.starts))
            elif run.completed_at is None:
                actions.append(WakeRun(run.run_id))
    comments.forget(repo, run.issue_number, f"status:{run.run_id}")  # a person has changed it
    await github_status.show_run.at_once(run.run_id)
    return actions
