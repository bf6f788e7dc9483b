"""`/autopack status`: bring the status comment up to date, or say that there is no run here."""

from app.db import run_rows
from app.github import comments, issues, text
from app.workflows import github_status
from app.workflows.services import in_db
from handlers.commands.parser import Asked
from handlers.outcomes import Action, WakeRun


async def handle(asked: Asked) -> list[Action]:
    event = asked.event
    run = await in_db(run_rows.latest_run, event.repository.full_name, event.issue.number)
    await issues.react_to_comment(asked.repo, event.comment.id)
    if run is None:
        await comments.post_once(asked.repo, event.issue.number, f"no-run:{event.comment.id}", text.no_run())
        return []
    await github_status.refresh(run.run_id)
    await comments.post_once(
        asked.repo,
        event.issue.number,
        f"status-answer:{event.comment.id}",
        text.status_answer(await github_status.take(run.run_id)),
    )
    return [] if run.completed_at else [WakeRun(run.run_id)]
