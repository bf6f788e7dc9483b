"""`/autopack run`: start a run on this issue."""

from app.github import comments, text
from handlers.actions import Action
from handlers.commands.parse import Asked
from handlers.starting import start


async def handle(asked: Asked) -> list[Action]:
    return await begin(asked, intent="build")


async def begin(asked: Asked, *, intent: str) -> list[Action]:
    """Start a run for either purpose; on a pull request, say that it is the issue where runs begin."""
    event = asked.event
    if event.issue.is_pull or event.issue.state != "open":
        key = f"not-here:{event.comment.id}"
        await comments.post_once(asked.repo, event.issue.number, key, text.not_here(asked.command.name))
        return []
    return start(
        asked.repo,
        event.issue,
        asked.who,
        base_branch=event.repository.default_branch,
        intent=intent,
        options=asked.command.options,
        comment_id=event.comment.id,
    )
