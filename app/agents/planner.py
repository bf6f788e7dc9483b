"""The Planner: from an issue to tiers of phases."""

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.tasks import PlannerTask
from app.domain.budget import Role
from app.domain.plan import PlannerAnswer

agent = make_agent(Role.PLANNER, PlannerAnswer)


async def plan(task: PlannerTask, deps: AgentDeps) -> PlannerAnswer:
    """Ask for a plan. Raises as `converse` does."""
    result = await converse(agent, prompts.planner_system(), prompts.request("planner", task), deps)
    return result.output
