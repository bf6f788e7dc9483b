"""All limits on a model request, checked in one place before it is sent."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from pydantic import Field
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelTimeoutError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models import ModelRequestContext, ModelSelectionContext
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage, RunUsage
from typing_extensions import override

from app.domain.budget import ModelFailed, ModelFailure, Role, Usage
from app.domain.frozen import Frozen

CHARACTERS_PER_TOKEN = 3.5
"""Source code in English runs at 3 to 4 characters a token; the settled usage corrects the estimate."""


class ModelPlan(Frozen):
    """The models and limits of one conversation. `models` are `vendor:name`, tried in order."""

    models: tuple[str, ...] = Field(min_length=1)
    max_output_tokens: int = Field(gt=0)
    """For one reply."""
    request_limit: int = Field(gt=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    """Of one attempt at a request; by default the process's. With its retries, a request may take three times that."""

    def without(self, tried: int) -> "ModelPlan":
        """The plan without its first `tried` models."""
        return self.model_copy(update={"models": self.models[tried:]})


class PendingRequest(Frozen):
    """A request that is about to be sent, for reserving its tokens."""

    role: Role
    model: str
    input_tokens_estimate: int
    max_output_tokens: int

    @property
    def tokens(self) -> int:
        """The most that the request may need."""
        return self.input_tokens_estimate + self.max_output_tokens


class Ledger(Protocol):
    """Where tokens are reserved before a request and settled after it. Durable ledgers make each call a step."""

    async def reserve(self, call: PendingRequest) -> str:
        """Return the reservation's id. Raises `BudgetExhausted` or `RunStopped`: then nothing is sent."""
        ...

    async def settle(self, reservation: str, usage: Usage) -> None:
        """Replace the reservation by what was used."""
        ...


class Guarded(Protocol):
    """What the guard needs of an agent's dependencies."""

    @property
    def role(self) -> Role: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def plan(self) -> ModelPlan: ...


@dataclass
class Guard(AbstractCapability[Any]):
    """Reserves before every request, settles after it, and says what a failed one means.

    The request goes to the first model of the plan. `BudgetExhausted`, `RunStopped` and `ModelFailed` leave `agent.run`
    unchanged.
    """

    id: str | None = "guard"
    _open: tuple[str, PendingRequest] | None = field(default=None, repr=False)
    """The reservation of the request under way, and what was reserved."""

    @override
    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        return replace(self, _open=None)

    @override
    def get_model(self) -> Callable[[ModelSelectionContext[Any]], str]:
        return lambda ctx: ctx.deps.plan.models[0]

    @override
    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        deps: Guarded = ctx.deps
        call = PendingRequest(
            role=deps.role,
            model=deps.plan.models[0],
            input_tokens_estimate=estimate_tokens(request_context),
            max_output_tokens=deps.plan.max_output_tokens,
        )
        self._open = (await deps.ledger.reserve(call), call)
        return request_context

    @override
    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        deps: Guarded = ctx.deps
        model = deps.plan.models[0]
        await self._settle(deps, usage_of(response.usage, model))
        if response.finish_reason == "content_filter" or not response.parts:
            raise ModelFailed(ModelFailure.REFUSED, f"{model}: the model refused to answer")
        return response

    @override
    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        deps: Guarded = ctx.deps
        failure = failure_of(error)
        # No one knows how far the answer had come that timed out or could not be used: it counts as if it were whole.
        billed = self._open[1] if self._open and failure in {None, ModelFailure.TIMEOUT} else None
        await self._settle(
            deps, Usage(input=billed.input_tokens_estimate, output=billed.max_output_tokens) if billed else Usage()
        )
        if failure is None:
            raise error
        raise ModelFailed(failure, f"{deps.plan.models[0]}: {error}") from error

    async def _settle(self, deps: Guarded, usage: Usage) -> None:
        if self._open is not None:
            reservation, self._open = self._open[0], None
            await deps.ledger.settle(reservation, usage)


def failure_of(error: Exception) -> ModelFailure | None:
    """Which failure of a model the error is; None if it is not the provider's."""
    if isinstance(error, ModelTimeoutError | ModelRequestTimeout):
        return ModelFailure.TIMEOUT
    if isinstance(error, ModelQuotaExceededError):
        return ModelFailure.UNAVAILABLE
    if isinstance(error, ModelRequestRejectedError):
        return ModelFailure.REJECTED
    if isinstance(error, ModelHTTPError) and error.status_code < 500 and error.status_code not in {408, 409, 429}:
        return ModelFailure.REJECTED
    return ModelFailure.UNAVAILABLE if isinstance(error, ModelAPIError) else None


def usage_of(usage: RequestUsage | RunUsage, model_id: str) -> Usage:
    """Tokens and price as Autopack counts them; a local server's answers have no known price."""
    cost: Decimal | None = None if model_id.startswith("local:") else usage.cost
    return Usage(input=usage.input_tokens, cached=usage.cache_read_tokens, output=usage.output_tokens, cost_usd=cost)


def estimate_tokens(request: ModelRequestContext) -> int:
    """Input tokens of a whole request, from the characters of its messages, instructions and tool schemas."""
    parameters = request.model_request_parameters
    characters = sum(_characters(message) for message in request.messages)
    characters += sum(len(part.content) for part in parameters.instruction_parts or [])
    for tool in [*parameters.function_tools, *parameters.output_tools]:
        characters += len(tool.name) + len(tool.description or "") + len(json.dumps(tool.parameters_json_schema))
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


def _characters(message: ModelMessage) -> int:
    total = 0
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            total += len(part.tool_name) + len(part.args_as_json_str())
        elif isinstance(part, ToolReturnPart):
            total += len(part.model_response_str())
        else:
            content: object = getattr(part, "content", "")
            total += len(content if isinstance(content, str) else str(content))
    return total
