"""`/autopack run`: start a run on this issue."""

from app.db import run_rows
from app.domain.states import RunState
from app.github import issues, text
from app.workflows import github_status
from app.workflows.services import call_db
from handlers.answering import reply
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action
from handlers.permission_and_start import create_run, missed_since


async def handle(asked: CommandRequest) -> list[Action]:
    return await start_from_comment(asked, intent="build")


async def start_from_comment(asked: CommandRequest, *, intent: str) -> list[Action]:
    """Start a run for either purpose; on a pull request, say that it is the issue where runs begin."""
    event = asked.event
    open_issue = not event.issue.is_pull and (await issues.read_issue(asked.repo, event.issue.number)).open
    if not open_issue:
        key = f"not-here:{event.comment.id}"
        await reply(asked.repo, event.issue.number, key, text.no_run_on_pull(asked.command.name))
        return []
    action = await create_run(
        asked.repo,
        event.issue,
        asked.who,
        base_branch=event.repository.default_branch,
        intent=intent,
        options=asked.command.options,
        missed=missed_since(event, event.comment.created_at),
        comment_id=event.comment.id,
    )
    if action is None:
        await issues.react_to_comment(asked.repo, event.comment.id)
        return []
    await _reply_if_running(asked, action.run_id)
    return [action]


async def _reply_if_running(asked: CommandRequest, run_id: str) -> None:
    """A second start of a run under way changes nothing, and the answer says so; with the label, 👀 is enough."""
    run = await call_db(run_rows.get, run_id)
    comment = asked.event.comment.id
    if run.trigger_comment_id == comment:
        return
    await issues.react_to_comment(asked.repo, comment)
    if run.state is not RunState.PLAN_BOOTSTRAP:
        body = text.already_running(await github_status.read_view(run_id))
        await reply(asked.repo, asked.event.issue.number, f"on-already:{comment}", body)
