"""`issue_comment`: commands in the text of a comment on an issue or a pull request, and what is said without one."""

from app.domain.finding_verdict import asks_for_nothing
from app.github import text
from app.github.events import IssueCommentEvent
from app.workflows.services import services
from handlers import plan_edits, said_comments, ticked_boxes
from handlers.answering import reply
from handlers.commands import COMMANDS, CommandRequest, UnknownCommand, help_command, parse_comments
from handlers.outcomes import Action
from handlers.permission_and_start import check_permission, repo_of_event


def is_relevant(event: IssueCommentEvent) -> bool:
    """Whether a person says something new, or ticks a box; the App's own comments, and other Apps', are none."""
    if event.sender is None or event.sender.bot:
        return False
    if ticked_boxes.is_relevant(event) or plan_edits.is_relevant(event):
        return True
    by_person = not event.comment.performed_via_github_app
    return event.action == "created" and by_person and not asks_for_nothing(event.comment.body or "")


async def handle(event: IssueCommentEvent) -> list[Action]:
    if plan_edits.is_relevant(event):
        return await plan_edits.handle(event)
    if event.action == "edited":
        return await ticked_boxes.handle(event)
    body = event.comment.body or ""
    parsed, *more = parse_comments(body, await _own_name(body)) or [None]
    if event.sender is None:
        return []
    if parsed is None:
        return await said_comments.hear(event)
    repo = await repo_of_event(event)
    if repo is None or not await check_permission(repo, event.sender, event.issue.number):
        return []
    if isinstance(parsed, UnknownCommand):
        await help_command.answer_unknown(repo, event, parsed)
        return []
    if more:
        await reply(repo, event.issue.number, f"more:{event.comment.id}", text.only_the_first(parsed.name))
    return await COMMANDS[parsed.name](CommandRequest(event=event, repo=repo, who=event.sender, command=parsed))


async def _own_name(body: str) -> str:
    """The App's name on GitHub, by which people may call it; it is only looked up where someone is called."""
    github = services().github
    return await github.slug() if "@" in body and github is not None else ""
