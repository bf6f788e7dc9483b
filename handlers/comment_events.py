"""`issue_comment`: slash commands in the text of a comment on an issue or a pull request."""

from app.github.events import IssueCommentEvent
from handlers.commands import COMMANDS, CommandRequest, UnknownCommand, help_command, parse_comment
from handlers.outcomes import Action
from handlers.permission_and_start import check_permission, repo_of_event


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether it is a person's new comment."""
    by_person = event.sender is not None and not event.sender.bot and not event.comment.performed_via_github_app
    return event.action == "created" and by_person


async def handle(event: IssueCommentEvent) -> list[Action]:
    parsed = parse_comment(event.comment.body or "")
    if parsed is None or event.sender is None:
        return []
    repo = await repo_of_event(event)
    if repo is None or not await check_permission(repo, event.sender, event.issue.number):
        return []
    if isinstance(parsed, UnknownCommand):
        await help_command.answer_unknown(repo, event, parsed)
        return []
    return await COMMANDS[parsed.name](CommandRequest(event=event, repo=repo, who=event.sender, command=parsed))
