"""`/autopack status`: bring the status comment up to date, or say that there is no run here."""

from app.github import comments, text
from app.workflows import github_status
from handlers.answering import reply
from handlers.commands.asked_run import find_run
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action, WakeRun


async def handle(asked: CommandRequest) -> list[Action]:
    event, run = asked.event, await find_run(asked)
    if run is None:
        return []
    comments.forget(asked.repo, run.issue_number, f"status:{run.run_id}")  # somebody may have deleted it
    await github_status.show_run.at_once(run.run_id)
    await reply(
        asked.repo,
        event.issue.number,
        f"status-answer:{event.comment.id}",
        text.status_answer(await github_status.read_view(run.run_id)),
    )
    return [] if run.completed_at else [WakeRun(run.run_id)]
