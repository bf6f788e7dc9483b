"""What happens with a reply that cannot be used, or should not be: the model learns why, and replies again."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.tools import RunContext, ToolDefinition
from typing_extensions import override

from app.agents.guard import Guarded
from app.agents.replies import ANSWER, CUT, is_empty
from app.domain.budget import ModelFailure

UNUSABLE_IN_A_ROW = 4
"""So many replies in a row that cannot be used, and the next model is asked."""
TELL_AT = 3
"""The same call, so often without a change of the work tree in between, is answered with that fact."""
END_AT = 5
_CHANGES = {"edit_file", "write_file", "delete_file"}
_MAX_CAUSE = 300


@dataclass
class ReplyRules(AbstractCapability[Any]):
    """Rejects what a model should not have meant: a cut or empty reply, the same call over and over, a premature end.

    Raises `ModelFailed` when a model goes on like that.
    """

    id: str | None = "reply_rules"
    _failed: list[str] = field(default_factory=list[str], repr=False)
    """Calls of the current reply that failed."""
    _calls: Counter[str] = field(default_factory=Counter[str], repr=False)
    """How often each call was made since the work tree changed."""

    @override
    async def for_run(self, ctx: RunContext[Any]) -> AbstractCapability[Any]:
        return replace(self, _failed=[], _calls=Counter())

    @override
    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._failed.clear()
        causes = unusable_causes(request_context.messages)
        if len(causes) >= UNUSABLE_IN_A_ROW:
            deps: Guarded = ctx.deps
            why = f"{len(causes)} replies in a row could not be used; of the last one: {causes[-1]}"
            raise deps.plan.failed(ModelFailure.MALFORMED, why)
        return request_context

    @override
    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        if response.finish_reason == CUT:
            limit = (request_context.model_settings or {}).get("max_tokens")
            at = f"at {limit:,} tokens" if isinstance(limit, int) else "at its limit of tokens"
            raise ModelRetry(
                f"Your reply was cut {at}, thinking included, so none of its calls was carried out. Think less, and "
                "write in parts: a few calls in each reply, and a large file in several edits."
            )
        if is_empty(response):
            raise ModelRetry("Your reply was empty. Call a tool, or give your answer.")
        parameters = request_context.model_request_parameters
        offered = {tool.name for tool in (*parameters.function_tools, *parameters.output_tools)}
        self._failed += [call.tool_name for call in response.tool_calls if call.tool_name not in offered]
        return response

    @override
    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: dict[str, Any], handler: Any
    ) -> Any:
        """Count equal calls, and remember the calls that failed."""
        result = await handler(args)
        text = str(result)
        failed = text.startswith("error:") or (text.startswith("exit code ") and not text.startswith("exit code 0"))
        if failed:
            self._failed.append(call.tool_name)
        elif call.tool_name in _CHANGES:
            self._calls.clear()
        if not failed and call.tool_name == "edit_file":
            text = result = f"{text}\n{ctx.deps.worktree.last_change}"
        key = f"{call.tool_name} {json.dumps(args, sort_keys=True, default=str)}"
        self._calls[key] += 1
        times = self._calls[key]
        if times >= END_AT:
            deps: Guarded = ctx.deps
            repeated = f"it repeats itself: it called {call.tool_name} {times} times with the same arguments"
            raise deps.plan.failed(ModelFailure.MALFORMED, repeated)
        if times >= TELL_AT:
            return f"{text}\n[You have made this call {times} times with the same arguments. Do something else.]"
        return result

    @override
    async def before_output_process(self, ctx: RunContext[Any], *, output_context: Any, output: Any) -> Any:
        """An answer does not count in the reply of a call that failed: its model has not seen that yet."""
        if self._failed and getattr(output, "status", None) == "done":
            failed = ", ".join(dict.fromkeys(self._failed))
            self._failed.clear()
            raise ModelRetry(
                f"A call in the same reply failed ({failed}). Read what it says, put it right, then answer."
            )
        return output


def unusable_causes(messages: list[ModelMessage]) -> list[str]:
    """Why each of the last replies could not be used, in order; none where the last one could."""
    causes: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, ModelRequest):
            continue
        cause = _cause(message)
        if cause is None:
            break
        causes.append(cause)
    return causes[::-1]


def _cause(request: ModelRequest) -> str | None:
    """What was wrong with the reply that the request answers; None where a part of it could be used."""
    cause: str | None = None
    for part in request.parts:
        if isinstance(part, RetryFeedbackPart):
            cause = _feedback(part)
        elif isinstance(part, ToolReturnPart):
            if part.retry is None and part.tool_name == ANSWER:
                continue  # it was passed over, since another call of the reply failed
            if part.retry is None:
                return None
            unknown = part.retry.cause == "unknown_tool"
            of = f"it called the tool {part.tool_name}"
            cause = (
                f"{of}, which does not exist"
                if unknown
                else f"{of} with arguments that do not fit: {_first_error(part.content)}"
            )
    return cause


def _feedback(part: RetryFeedbackPart) -> str:
    if part.retry.cause == "no_output":
        return "it called no tool"
    if isinstance(part.content, str):
        return part.content.partition(".")[0].replace("Your reply", "it")[:_MAX_CAUSE]
    return _first_error(part.content)


def _first_error(errors: object) -> str:
    """The first of pydantic's errors in words, such as `tiers: Field required`."""
    listed = cast("dict[str, object]", errors).get("error") if isinstance(errors, dict) else errors
    first = next(iter(cast("list[object]", listed)), "") if isinstance(listed, list) else listed
    if isinstance(first, dict):
        error = cast("dict[str, Any]", first)
        return f"{'.'.join(map(str, error.get('loc', ())))}: {error.get('msg')}"[:_MAX_CAUSE]
    return str(first)[:_MAX_CAUSE]
