"""All limits on a model request, checked in one place before it is sent."""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol, cast

from dbos import error as engine
from pydantic import Field
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelTimeoutError,
    RetryModelRequest,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestContext, ModelSelectionContext
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import RunContext
from pydantic_ai.usage import RequestUsage, RunUsage
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from app.agents.checked_model import KEY_REFUSED, REFUSED_KEY, UnreadableReply
from app.agents.prices import cached_share, cost_of
from app.agents.replies import CUT
from app.domain.budget import BudgetExhausted, ModelFailed, ModelFailure, Role, Usage
from app.domain.frozen import Frozen
from app.domain.ruleset import Effort
from app.domain.token_estimate import estimate_tokens

LONGEST_OUTPUT = 64_000
"""Tokens of one reply at most, also after several that were cut; every model of the table can write as much."""
LEAST_OUTPUT = 8_000
"""Near the end of a budget a reply may be as short as this; for less, nothing is asked."""
_MAX_MESSAGE = 500


class ModelPlan(Frozen):
    """The models and limits of one conversation. `models` are `vendor:name`, tried in order."""

    models: tuple[str, ...] = Field(min_length=1)
    max_output_tokens: int = Field(gt=0)
    """For one reply."""
    request_limit: int = Field(gt=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    """Of silence in one attempt at a request; by default the process's."""
    effort: Effort = "default"
    """How much the models think; a model that does not take the setting is not sent it."""

    def failed(self, failure: ModelFailure, why: str) -> ModelFailed:
        """The failure of the model that is asked, by its name."""
        return ModelFailed(failure, f"{self.models[0]}: {why}")

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
    def cost_usd(self) -> Decimal | None:
        """The most that the request may cost; None where the model's price is not known."""
        return cost_of(self.model, input_tokens=self.input_tokens_estimate, output=self.max_output_tokens)

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
        """Reserve what the request may need: after a reply that was cut more, near the end of a budget less."""
        deps: Guarded = ctx.deps
        limit = deps.plan.max_output_tokens
        longer = min(limit * 2 ** cuts_in_a_row(request_context.messages), max(limit, LONGEST_OUTPUT))
        call = PendingRequest(
            role=deps.role,
            model=deps.plan.models[0],
            input_tokens_estimate=estimate_input(request_context),
            max_output_tokens=longer,
        )
        reservation, call = await self._reserve(deps, call, limit)
        self._open = (reservation, call)
        limited = ModelSettings(max_tokens=call.max_output_tokens)
        return replace(request_context, model_settings=merge_model_settings(request_context.model_settings, limited))

    @override
    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        deps: Guarded = ctx.deps
        reported = response.usage.has_values()
        await self._settle(deps, usage_of(response.usage, deps.plan.models[0]) if reported else None)
        if response.finish_reason == "content_filter":
            raise deps.plan.failed(ModelFailure.REFUSED, "it refused to answer")
        return response

    @override
    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        if isinstance(error, engine.DBOSException | SQLAlchemyError):
            raise error  # the step could not be recorded: nothing is known of the model
        deps: Guarded = ctx.deps
        failure = failure_of(error)
        # No one knows how far the answer had come that timed out or could not be read: it counts as if it were whole.
        await self._settle(deps, None if failure in {ModelFailure.MALFORMED, ModelFailure.TIMEOUT} else Usage())
        if failure is ModelFailure.MALFORMED and request_context.attempt == 1:
            raise RetryModelRequest
        if isinstance(error, ModelContextWindowExceededError) and request_context.attempt == 1:
            raise error  # the history may be made to fit
        raise deps.plan.failed(failure, _said(error)) from error

    async def _reserve(self, deps: Guarded, call: PendingRequest, limit: int) -> tuple[str, PendingRequest]:
        """Reserve for the longest reply that fits, at least for one that says something."""
        for output in sorted({call.max_output_tokens, limit}, reverse=True):
            try:
                asked = call.model_copy(update={"max_output_tokens": output})
                return await deps.ledger.reserve(asked), asked
            except BudgetExhausted:
                continue
        asked = call.model_copy(update={"max_output_tokens": min(limit, LEAST_OUTPUT)})
        return await deps.ledger.reserve(asked), asked

    async def _settle(self, deps: Guarded, usage: Usage | None) -> None:
        """Settle the open reservation; for None as if all of it had been used."""
        if self._open is None:
            return
        (reservation, call), self._open = self._open, None
        whole = Usage(
            input=call.input_tokens_estimate, output=call.max_output_tokens, cost_usd=call.cost_usd, estimated=True
        )
        await deps.ledger.settle(reservation, whole if usage is None else usage)


def failure_of(error: Exception) -> ModelFailure:
    """Which failure of a model the error of a request is."""
    if isinstance(error, ModelTimeoutError | ModelRequestTimeout):
        return ModelFailure.TIMEOUT
    if isinstance(error, ModelQuotaExceededError):
        return ModelFailure.UNAVAILABLE
    if isinstance(error, ModelRequestRejectedError):
        return ModelFailure.REJECTED
    if isinstance(error, ModelHTTPError) and error.status_code < 500 and error.status_code not in {408, 409, 429}:
        return ModelFailure.REJECTED
    if isinstance(error, UnreadableReply) or not isinstance(error, ModelAPIError):
        return ModelFailure.MALFORMED
    return ModelFailure.UNAVAILABLE


def _said(error: Exception) -> str:
    """What the provider answered, in one line for the run's reader."""
    return " ".join(_words_of(error).split())[:_MAX_MESSAGE]


def _words_of(error: Exception) -> str:
    if isinstance(error, ModelHTTPError) and error.status_code == REFUSED_KEY:
        return KEY_REFUSED  # vendors quote parts of the key
    if isinstance(error, ModelHTTPError):
        return f"the provider answered {error.status_code}: {_provider_message(error.body)}"
    if isinstance(error, UnreadableReply):
        return f"its reply could not be read: {error.message}"
    return error.message if isinstance(error, ModelAPIError) else f"{type(error).__name__}: {error}"


def _provider_message(body: object) -> str:
    """The message within a provider's error, which vendors nest differently."""
    found: object = body
    while isinstance(found, dict):
        inner = cast("dict[str, object]", found)
        found = inner.get("error") or inner.get("message") or json.dumps(inner)
    return str(found)


def usage_of(usage: RequestUsage | RunUsage, model_id: str) -> Usage:
    """Tokens and price as Autopack counts them; a local server's answers have no known price."""
    cost: Decimal | None = None if model_id.startswith("local:") else usage.cost
    return Usage(
        input=usage.input_tokens,
        cached=usage.cache_read_tokens,
        output=usage.output_tokens,
        cost_usd=cost,
        discount=math.floor(usage.cache_read_tokens * (1 - cached_share(model_id))),
    )


def estimate_input(request: ModelRequestContext) -> int:
    """Input tokens of a whole request, from its messages, instructions and tool schemas."""
    return estimate_tokens(_texts(request))


def _texts(request: ModelRequestContext) -> Iterator[str]:
    parameters = request.model_request_parameters
    for message in request.messages:
        yield from map(_text, message.parts)
    for part in parameters.instruction_parts or []:
        yield part.content
    for tool in [*parameters.function_tools, *parameters.output_tools]:
        yield tool.name
        yield tool.description or ""
        yield json.dumps(tool.parameters_json_schema)


def _text(part: ModelRequestPart | ModelResponsePart) -> str:
    if isinstance(part, ToolCallPart):
        return part.tool_name + part.args_as_json_str()
    if isinstance(part, ToolReturnPart):
        return part.model_response_str()
    content: object = getattr(part, "content", "")
    return content if isinstance(content, str) else str(content)


def cuts_in_a_row(messages: list[ModelMessage]) -> int:
    """How many of the last replies were cut, one after the other."""
    replies = [message for message in messages if isinstance(message, ModelResponse)]
    return sum(1 for _ in itertools.takewhile(lambda reply: reply.finish_reason == CUT, reversed(replies)))
