"""`/autopack plan`: post the plan of a run, build nothing."""

from handlers.commands.parser import Asked
from handlers.commands.run_command import begin
from handlers.outcomes import Action


async def handle(asked: Asked) -> list[Action]:
    return await begin(asked, intent="plan")
