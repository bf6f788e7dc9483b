"""`/autopack promote`: look again whether an ended run may be promoted, and say what prevents it. A person merges."""

from app.github import text
from app.workflows import github_status, promote, requested_changes
from handlers.answering import reply
from handlers.commands.asked_run import find_run
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action, WakeRun


async def handle(asked: CommandRequest) -> list[Action]:
    event, run = asked.event, await find_run(asked)
    if run is None:
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
