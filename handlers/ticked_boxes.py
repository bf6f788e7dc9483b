"""A person ticks a box in a status comment: GitHub sends the edit, the run does it, and the comment is written again.

https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/about-task-lists
"""

import hashlib
import re

from app.db import run_rows
from app.domain.commands import CommandName, ticked
from app.domain.steer_request import SteerRequest
from app.github import comments, text
from app.github.events import IssueCommentEvent
from app.workflows import github_status
from app.workflows.services import call_db
from app.workflows.steer import steer
from handlers.answering import reply
from handlers.outcomes import Action, StartRun, WakeRun
from handlers.permission_and_start import check_permission, repo_of_event

_STATUS = re.compile(r"<!-- autopack:status:([\w.-]{1,100}) -->")


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether a person edited what may be a status comment, and left a box ticked."""
    body = event.comment.body or ""
    return event.action == "edited" and bool(ticked(body)) and _STATUS.search(body) is not None


async def handle(event: IssueCommentEvent) -> list[Action]:
    """Do what is ticked, for someone who may steer; others are refused. Only the App's own comment counts."""
    repo, found = await repo_of_event(event), _STATUS.search(event.comment.body or "")
    if repo is None or found is None or event.sender is None or event.comment.user is None:
        return []
    run = await call_db(run_rows.find_run, event.repository.full_name, found[1])
    if run is None or event.comment.user.login != repo.bot_login:
        return []
    actions: list[Action] = []
    if await check_permission(repo, event.sender, event.issue.number):
        for command in ticked(event.comment.body or ""):
            asked = SteerRequest(
                command=command,
                by=event.sender.login,
                by_id=event.sender.id,
                source_id=_number_of(event, command),
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


def _number_of(event: IssueCommentEvent, command: CommandName) -> int:
    """A number of this tick, so that the same delivery again does nothing new."""
    seed = f"{event.comment.id} {event.comment.updated_at} {command}"
    return int(hashlib.sha256(seed.encode()).hexdigest()[:12], 16)
