"""`/autopack help`, and the answer to a command that is not understood."""

from app.github import text
from app.github.client import Repo
from app.github.events import IssueCommentEvent
from handlers.answering import reply
from handlers.commands.parser import CommandRequest, UnknownCommand
from handlers.outcomes import Action


async def handle(asked: CommandRequest) -> list[Action]:
    await _post(asked.repo, asked.event, text.help_text())
    return []


async def answer_unknown(repo: Repo, event: IssueCommentEvent, unknown: UnknownCommand) -> None:
    """Help, beginning with what was not understood and what may have been meant."""
    if unknown.problem:
        await _post(repo, event, text.help_text(problem=unknown.problem))
    else:
        await _post(repo, event, text.help_text(unknown.word, unknown.nearest))


async def _post(repo: Repo, event: IssueCommentEvent, body: str) -> None:
    await reply(repo, event.issue.number, f"help:{event.comment.id}", body)
