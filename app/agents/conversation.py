"""One conversation of a role with its model, inside a workflow or outside one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, Tool, ToolOutput, capture_run_messages
from pydantic_ai.capabilities import Caching, ResolveModelId
from pydantic_ai.durable_exec.dbos import DBOSDurability
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage, UsageLimits
from typing_extensions import override

from app.agents import models
from app.agents.fitting import Fitting
from app.agents.guard import Guard, Ledger, ModelPlan
from app.agents.replies import ANSWER
from app.agents.reply_rules import ReplyRules, unusable_causes
from app.domain.budget import ModelFailed, ModelFailure, Role
from app.workspace.sandbox import Limits
from app.workspace.worktree import Worktree

Answer = TypeVar("Answer", bound=BaseModel)

RETRIES = 20
"""How often a reply may have to be requested again in one conversation; `reply_rules` bounds how often in a row."""


class MergeSides(NamedTuple):
    """The commits that are merged: the run's branch, and its base."""

    branch: str
    base: str


@dataclass(frozen=True)
class AgentDeps:
    """What a conversation works with. `worktree` is the Builder's; without `commands_allowed` it has no commands."""

    role: Role
    ledger: Ledger
    plan: ModelPlan
    worktree: Worktree | None = None
    sides: MergeSides | None = None
    """Of the merge whose conflicts the Builder solves."""
    commands_allowed: bool = False
    command_timeout_seconds: float = Limits().wall_seconds
    record_failure: Callable[[Role, ModelFailed], Awaitable[None]] | None = None
    """Records why a model gives way to the next, or was the last."""
    read_tokens_left: Callable[[], Awaitable[int | None]] | None = None
    """How many tokens are left under the tightest cap; None where none is set."""


def make_agent(role: Role, answer: type[Answer], tools: Sequence[Tool[AgentDeps]] = ()) -> Agent[AgentDeps, Answer]:
    """Build a role's agent, without a model. Its steps are registered with DBOS, so build it before `DBOS.launch()`."""
    return Agent(
        None,
        name=str(role),
        deps_type=AgentDeps,
        output_type=ToolOutput(answer, name=ANSWER),
        tools=tools,
        retries={"tools": RETRIES, "output": RETRIES},
        # One tool at a time: edits and commands depend on each other, and replay needs one order.
        capabilities=[
            DBOSDurability[AgentDeps](parallel_execution_mode="sequential"),
            ResolveModelId[AgentDeps](models.resolve),
            Caching(),
            Fitting(),
            ReplyRules(),
            Guard(),
        ],
    )


class ConversationFailed(ModelFailed):
    """No model of the plan gave an answer. `said` is the conversation so far, as JSON: `converse` can go on with it."""

    def __init__(self, failed: ModelFailed, said: str = "") -> None:
        super().__init__(failed.failure, failed.reason)
        self.said = said

    @override
    def __reduce__(self) -> tuple[type[ModelFailed], tuple[ModelFailure, str]]:
        return ModelFailed, (self.failure, self.reason)  # as a workflow's error, without the conversation


async def converse(
    agent: Agent[AgentDeps, Answer], system: str, request: str, deps: AgentDeps, earlier: str = ""
) -> AgentRunResult[Answer]:
    """Run the conversation to its answer, after what was said `earlier` in one that failed.

    When a model fails in any way, the next of the plan goes on where it stopped, with all that was said.
    Raises `ConversationFailed` when no model of the plan gave an answer, `BudgetExhausted` or `RunStopped` from the
    ledger.
    """
    said = ModelMessagesTypeAdapter.validate_json(earlier) if earlier else list[ModelMessage]()
    usage = RunUsage(requests=sum(isinstance(message, ModelResponse) for message in said))
    for tried in range(len(deps.plan.models)):
        with capture_run_messages() as messages:
            try:
                return await _run(agent, system, request, replace(deps, plan=deps.plan.without(tried)), said, usage)
            except ModelFailed as failed:
                if failed.failure is ModelFailure.PAUSED:
                    said = usable_part(messages, failed.failure) or said
                    raise ConversationFailed(failed, ModelMessagesTypeAdapter.dump_json(said).decode()) from failed
                if deps.record_failure is not None:
                    await deps.record_failure(deps.role, failed)
                said = usable_part(messages, failed.failure) or said
                if tried + 1 == len(deps.plan.models) or usage.requests >= deps.plan.request_limit:
                    whole = ModelMessagesTypeAdapter.dump_json(said).decode()
                    raise ConversationFailed(failed, whole) from failed
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
    if deps.plan.effort != "default":
        settings["thinking"] = deps.plan.effort
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
        raise deps.plan.failed(
            ModelFailure.MALFORMED, f"no answer within {deps.plan.request_limit} requests"
        ) from error
    except UnexpectedModelBehavior as error:
        raise deps.plan.failed(ModelFailure.MALFORMED, str(error)) from error


def usable_part(messages: list[ModelMessage], failure: ModelFailure) -> list[ModelMessage]:
    """Where another model goes on: without a last reply that was refused, or the last replies that were malformed."""
    kept = list(messages)
    malformed = failure is ModelFailure.MALFORMED
    while len(kept) > 1 and (_is_open(kept[-1]) or (malformed and unusable_causes(kept))):
        kept.pop()
    return kept


def _is_open(message: ModelMessage) -> bool:
    """Whether it is a reply that no request answers in full."""
    return isinstance(message, ModelResponse) or message.state == "interrupted"
