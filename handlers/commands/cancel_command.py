"""`/autopack cancel`: end the run; what is pushed stays on its branch."""

from app.db import run_rows
from app.domain.states import RunState
from app.github import issues, text
from app.runs import transitions
from app.workflows.services import call_db
from handlers.answering import reply
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action, WakeRun


async def handle(asked: CommandRequest) -> list[Action]:
    event = asked.event
    run = await call_db(run_rows.find_latest_run, event.repository.full_name, event.issue.number)
    if run is None or run.completed_at is not None:
        await reply(asked.repo, event.issue.number, f"no-run:{event.comment.id}", text.no_run())
        return []
    reason = f"cancelled by {asked.who.login}"
    await call_db(transitions.request_stop, run.run_id, RunState.DONE_CANCELLED, reason)
    await issues.react_to_comment(asked.repo, event.comment.id)
    return [WakeRun(run.run_id)]
