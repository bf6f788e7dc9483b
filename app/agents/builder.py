"""The Builder: works in the worktree until it says that the phase is done, or cannot be."""

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.tasks import BuilderTask
from app.agents.tools import BUILDER_TOOLS
from app.domain.budget import Role
from app.domain.findings import BuilderAnswer

agent = make_agent(Role.BUILDER, BuilderAnswer, BUILDER_TOOLS)


async def build(task: BuilderTask, deps: AgentDeps, earlier: str = "") -> BuilderAnswer:
    """Have the Builder edit `deps.worktree`, after what was said `earlier`. Raises as `converse` does."""
    system = prompts.builder_system(task, commands_allowed=deps.commands_allowed)
    result = await converse(agent, system, prompts.request("builder", task), deps, earlier)
    return result.output
