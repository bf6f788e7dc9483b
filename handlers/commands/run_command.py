"""`/autopack run`: start a run on this issue."""

from app.db import run_rows
from app.domain.states import RunState
from app.github import comments, issues, text
from app.workflows import github_status
from app.workflows.services import in_db
from handlers.commands.parser import Asked
from handlers.outcomes import Action
from handlers.permission_and_start import start


async def handle(asked: Asked) -> list[Action]:
    return await begin(asked, intent="build")


async def begin(asked: Asked, *, intent: str) -> list[Action]:
    """Start a run for either purpose; on a pull request, say that it is the issue where runs begin."""
    event = asked.event
    open_issue = not event.issue.is_pull and (await issues.read_issue(asked.repo, event.issue.number)).open
    if not open_issue:
        key = f"not-here:{event.comment.id}"
        await comments.post_once(asked.repo, event.issue.number, key, text.not_here(asked.command.name))
        return []
    action = await start(
        asked.repo,
        event.issue,
        asked.who,
        base_branch=event.repository.default_branch,
        intent=intent,
        options=asked.command.options,
        comment_id=event.comment.id,
    )
    await _answer_if_on_already(asked, action.run_id)
    return [action]


async def _answer_if_on_already(asked: Asked, run_id: str) -> None:
    """A second start of a run that is on changes nothing, which is said; beside the label, a look is answer enough."""
    run = await in_db(run_rows.get, run_id)
    comment = asked.event.comment.id
    if run.trigger_comment_id == comment:
        return
    await issues.react_to_comment(asked.repo, comment)
    if run.state is not RunState.PLAN_BOOTSTRAP:
        body = text.already_running(await github_status.take(run_id))
        await comments.post_once(asked.repo, asked.event.issue.number, f"on-already:{comment}", body)
