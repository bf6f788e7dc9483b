"""One conversation of a role with its model, inside a workflow or outside one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, Tool, ToolOutput, capture_run_messages
from pydantic_ai.capabilities import Caching, ResolveModelId
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage, UsageLimits

from app.agents import models
from app.agents.guard import Guard, Ledger, ModelPlan
from app.domain.budget import ModelFailed, ModelFailure, Role
from app.workspace.sandbox import Limits
from app.workspace.worktree import Worktree

Answer = TypeVar("Answer", bound=BaseModel)

TOOL_RETRIES = 4
"""How often in a row a model may call one tool with arguments that do not fit."""
OUTPUT_RETRIES = 2

_FALLS_BACK = {ModelFailure.UNAVAILABLE, ModelFailure.TIMEOUT, ModelFailure.REFUSED, ModelFailure.REJECTED}
"""Another model may answer: a bad key or a request that one vendor turns away says nothing about the next."""


@dataclass(frozen=True)
class AgentDeps:
    """What a conversation works with. `worktree` is the Builder's; without `commands_allowed` it has no commands."""

    role: Role
    ledger: Ledger
    plan: ModelPlan
    worktree: Worktree | None = None
    commands_allowed: bool = False
    command_timeout_seconds: float = Limits().wall_seconds


def make_agent(role: Role, answer: type[Answer], tools: Sequence[Tool[AgentDeps]] = ()) -> Agent[AgentDeps, Answer]:
    """Build a role's agent, without a model. Its steps are registered with DBOS, so build it before `DBOS.launch()`."""
    return Agent(
        None,
        name=str(role),
        deps_type=AgentDeps,
        output_type=ToolOutput(answer, name="answer"),
        tools=tools,
        retries={"tools": TOOL_RETRIES, "output": OUTPUT_RETRIES},
        # One tool at a time: edits and commands depend on each other, and replay needs one order.
        capabilities=[
            DBOSDurability[AgentDeps](parallel_execution_mode="sequential"),
            ResolveModelId[AgentDeps](models.resolve),
            Caching(),
            Guard(),
        ],
    )


async def converse(
    agent: Agent[AgentDeps, Answer], system: str, request: str, deps: AgentDeps
) -> AgentRunResult[Answer]:
    """Run the conversation to its answer.

    When a model is down, times out, refuses or turns the request away, the next of the plan goes on where it stopped,
    with all that was said.
    Raises `ModelFailed` when no model of the plan gave an answer, `BudgetExhausted` or `RunStopped` from the ledger.
    """
    said: list[ModelMessage] = []
    usage = RunUsage()
    for tried in range(len(deps.plan.models)):
        with capture_run_messages() as messages:
            try:
                return await _run(agent, system, request, replace(deps, plan=deps.plan.without(tried)), said, usage)
            except ModelFailed as failed:
                if failed.failure not in _FALLS_BACK or tried + 1 == len(deps.plan.models):
                    raise
                said = _without_last_reply(messages) or said
    raise AssertionError("a plan has at least one model")


async def _run(
    agent: Agent[AgentDeps, Answer],
    system: str,
    request: str,
    deps: AgentDeps,
    said: list[ModelMessage],
    usage: RunUsage,
) -> AgentRunResult[Answer]:
    settings = ModelSettings(
        max_tokens=deps.plan.max_output_tokens,
        timeout=deps.plan.timeout_seconds or models.request_timeout_seconds(),
        framing_announcement="never",  # the system prompt stays the same over the conversation, and so cached
    )
    try:
        return await agent.run(
            None if said else request,
            message_history=said or None,
            deps=deps,
            instructions=system,
            model_settings=settings,
            usage=usage,
            usage_limits=UsageLimits(request_limit=deps.plan.request_limit),
        )
    except UsageLimitExceeded as error:
        raise ModelFailed(ModelFailure.MALFORMED, f"no answer within {deps.plan.request_limit} requests") from error
    except UnexpectedModelBehavior as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise ModelFailed(ModelFailure.MALFORMED, f"{error}{cause}") from error


def _without_last_reply(messages: list[ModelMessage]) -> list[ModelMessage]:
    """The conversation without a last reply that was refused."""
    return messages[:-1] if messages and isinstance(messages[-1], ModelResponse) else list(messages)
