"""The run that a command is about."""

from app.db import run_rows
from app.db.run_rows import RunRow
from app.github import issues, text
from app.workflows.services import call_db
from handlers.answering import reply
from handlers.commands.parser import CommandRequest


async def find_run(asked: CommandRequest) -> RunRow | None:
    """Acknowledge the command, and return the newest run of its issue or pull request; without one, say so."""
    event = asked.event
    run = await call_db(run_rows.find_latest_run, event.repository.full_name, event.issue.number)
    await issues.react_to_comment(asked.repo, event.comment.id)
    if run is None:
        await reply(asked.repo, event.issue.number, f"no-run:{event.comment.id}", text.no_run())
    return run
