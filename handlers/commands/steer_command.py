"""The commands that steer a run: pause, resume, cancel, retry, skip, fix, promote."""

from app.domain.commands import REGISTRY, Argument, CommandName
from app.domain.steer_request import SteerRequest
from app.github import text
from app.workflows.steer import steer
from handlers.answering import reply
from handlers.commands.asked_run import find_run
from handlers.commands.parser import CommandRequest
from handlers.outcomes import Action, StartRun, WakeRun


async def handle(asked: CommandRequest) -> list[Action]:
    """Do it and acknowledge it with 👀; what cannot be done is answered with the reason."""
    event, number, run = asked.event, asked.event.issue.number, await find_run(asked)
    if run is None:
        return []
    takes_text = REGISTRY[asked.command.name].argument is Argument.TEXT
    answer = await steer(
        run.run_id,
        SteerRequest(
            command=asked.command.name,
            by=asked.who.login,
            by_id=asked.who.id,
            phase_id="" if takes_text else asked.command.argument,
            text=asked.command.argument if takes_text else "",
            options=asked.command.options,
            source_id=event.comment.id,
            url=event.comment.html_url,
        ),
    )
    if not answer.done or asked.command.name is CommandName.PROMOTE:
        await reply(asked.repo, number, f"answer:{event.comment.id}", text.steer_answer(answer))
    if answer.starts:
        return [StartRun(answer.starts)]
    return [WakeRun(run.run_id)] if answer.done and run.completed_at is None else []
