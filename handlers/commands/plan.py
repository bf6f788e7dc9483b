"""`/autopack plan`: post the plan of a run, build nothing."""

from handlers.actions import Action
from handlers.commands.parse import Asked
from handlers.commands.run import begin


async def handle(asked: Asked) -> list[Action]:
    return await begin(asked, intent="plan")
