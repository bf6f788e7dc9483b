"""The Builder: works in the worktree until it says that the phase is done, or cannot be."""

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.guard import usage_of
from app.agents.tasks import BuilderTask
from app.agents.tools import BUILDER_TOOLS
from app.domain.budget import Role, Usage
from app.domain.findings import BuilderAnswer
from app.domain.frozen import Frozen

agent = make_agent(Role.BUILDER, BuilderAnswer, BUILDER_TOOLS)


class BuilderOutcome(Frozen):
    """The answer; `model` (`vendor:name`) is the one that gave it, `usage` is of the whole conversation."""

    answer: BuilderAnswer
    usage: Usage
    requests: int
    model: str


async def build(task: BuilderTask, deps: AgentDeps) -> BuilderOutcome:
    """Have the Builder edit `deps.worktree`. Raises as `converse` does."""
    system = prompts.builder_system(task, commands_allowed=deps.commands_allowed)
    result = await converse(agent, system, prompts.request("builder", task), deps)
    model = result.response.model_id or deps.plan.models[0]
    return BuilderOutcome(
        answer=result.output, usage=usage_of(result.usage, model), requests=result.usage.requests, model=model
    )
