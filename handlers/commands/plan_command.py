"""`/autopack plan`: post the plan of a run, build nothing."""

from handlers.commands.parser import CommandRequest
from handlers.commands.run_command import start_from_comment
from handlers.outcomes import Action


async def handle(asked: CommandRequest) -> list[Action]:
    return await start_from_comment(asked, intent="plan")
