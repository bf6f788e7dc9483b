"""A conversation that fits: the model learns what it has left, and old results make room before the window is full."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelContextWindowExceededError, RetryModelRequest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext
from typing_extensions import override

from app.agents.guard import ModelPlan, estimate_input

SHORTEN_AT, COMPACT_AT = 0.5, 0.75
"""Shares of a model's window from which old results are shortened, and from which the history is compacted."""
DEFAULT_WINDOW = 128_000
"""Tokens, where the model's window is not known."""
KEPT = 8
"""The last messages, which stay as they are."""
SHORT = 600
"""Characters that stay of an old result."""
NOTE_AT = (0.5, 0.8)
"""Shares of its requests at which the model learns what is left."""


class Fitted(Protocol):
    """What fitting needs of an agent's dependencies."""

    @property
    def plan(self) -> ModelPlan: ...
    @property
    def read_tokens_left(self) -> Callable[[], Awaitable[int | None]] | None: ...


@dataclass
class Fitting(AbstractCapability[Any]):
    """Tells what is left, and keeps the conversation within the window. What it shortens stays so: caches hold."""

    id: str | None = "fitting"
    _overflowed: bool = False
    """Whether the vendor said that the window is full; the estimate may say otherwise."""

    @override
    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        return replace(self, _overflowed=False)

    @override
    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        deps: Fitted = ctx.deps
        note = await _left(deps, ctx.usage.requests)
        if note:
            ctx.enqueue(note)
        return request_context

    @override
    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        window = request_context.model.profile.get("context_window") or DEFAULT_WINDOW
        room = window - (request_context.model_settings or {}).get("max_tokens", 0)
        needed = estimate_input(request_context)
        if not self._overflowed and needed < SHORTEN_AT * room:
            return request_context
        room = min(room, needed) if self._overflowed else room
        fitted = shorten(request_context.messages)
        shortened = replace(request_context, messages=fitted)
        if estimate_input(shortened) > COMPACT_AT * room:
            fitted = compact(fitted)
        self._overflowed = False
        ctx.messages[:] = fitted
        return replace(request_context, messages=list(fitted))

    @override
    async def on_model_request_error(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, error: Exception
    ) -> ModelResponse:
        if isinstance(error, ModelContextWindowExceededError) and request_context.attempt == 1:
            self._overflowed = True
            raise RetryModelRequest
        raise error


async def _left(deps: Fitted, used: int) -> str | None:
    """What to tell the model before its next request; None for most."""
    limit = deps.plan.request_limit
    if limit > 1 and used == limit - 1:
        return "This is your last request: give your answer now, for what is done."
    if used not in {int(share * limit) for share in NOTE_AT} or used == 0:
        return None
    tokens = await deps.read_tokens_left() if deps.read_tokens_left is not None else None
    budget = f", and of tokens about {tokens:,}" if tokens is not None else ""
    return f"Of your {limit} requests {limit - used} are left{budget}. Use several calls in each reply."


def shorten(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The conversation with all but the newest tool results cut, and a note of that."""
    return [_shortened(message) for message in messages[:-KEPT]] + list(messages[-KEPT:])


def _shortened(message: ModelMessage) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    return replace(
        message, parts=[_short(part) if isinstance(part, ToolReturnPart) else part for part in message.parts]
    )


def _short(part: ToolReturnPart) -> ToolReturnPart:
    text = part.model_response_str()
    if len(text) <= SHORT + 100:
        return part
    return replace(
        part, content=f"{text[:SHORT]}\n[an old result: {len(text) - SHORT:,} characters left out; call again]"
    )


def compact(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """The first request, in one message what was done since, and the newest messages, calls and results in pairs."""
    start = max(1, len(messages) - KEPT)
    while start < len(messages) and not isinstance(messages[start], ModelResponse):
        start += 1
    middle = messages[1:start]
    if not isinstance(messages[0], ModelRequest) or not middle:
        return list(messages)
    done = "\n".join(line for message in middle for line in _in_short(message))
    summary = UserPromptPart(f"Earlier in this conversation, shortened:\n{done[:20_000]}")
    return [replace(messages[0], parts=[*messages[0].parts, summary]), *messages[start:]]


def _in_short(message: ModelMessage) -> list[str]:
    """A reply's words and calls in a line each; results are left out."""
    if not isinstance(message, ModelResponse):
        return []
    words = [f"- you said: {part.content[:300]}" for part in message.parts if isinstance(part, TextPart)]
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    return words + [f"- {call.tool_name} {call.args_as_json_str()[:200]}" for call in calls]
