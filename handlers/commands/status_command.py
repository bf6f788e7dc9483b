"""`/autopack status`: bring the status comment up to date, or say that there is no run here."""

from app.db import run_rows
from app.github import comments, issues, text
from app.workflows import github_status
from app.workflows.services import call_db
from handlers.answering import reply
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action, WakeRun


async def handle(asked: CommandRequest) -> list[Action]:
    event = asked.event
    run = await call_db(run_rows.find_latest_run, event.repository.full_name, event.issue.number)
    await issues.react_to_comment(asked.repo, event.comment.id)
    if run is None:
        await reply(asked.repo, event.issue.number, f"no-run:{event.comment.id}", text.no_run())
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
