"""`/autopack promote`: look again whether an ended run may be promoted, and say what prevents it. A person merges."""

from app.db import run_rows
from app.github import issues, text
from app.workflows import github_status, promote, requested_changes
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
    moved_to = ""
    if run.completed_at is not None:
        await requested_changes.note_requested(run.run_id)
        await promote.note_late_verdict(run.run_id)
        moved_to = await promote.foreign_head(run.run_id)
        await promote.reconsider.at_once(run.run_id)
        await github_status.show_run.at_once(run.run_id)
    view = await github_status.read_view(run.run_id)
    said = text.promotion_answer(view, moved_to)
    await reply(asked.repo, event.issue.number, f"promotion-answer:{event.comment.id}", said)
    return [] if run.completed_at else [WakeRun(run.run_id)]
