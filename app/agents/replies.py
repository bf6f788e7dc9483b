"""What a model replied, repaired where its meaning is plain. Pure; `reply_rules` is about what stays wrong."""

import dataclasses
import json
import re
from collections.abc import Iterable
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ThinkingPart, ToolCallPart

ANSWER = "answer"
"""The name of the tool by which every role answers."""
CUT = "length"
"""The finish reason of a reply that ended at its limit of tokens."""

_EMPTY = "(an empty reply)"
_CUT_SHORT = "(a reply that was cut)"
# Anthropic takes tool_use ids and names of `^[a-zA-Z0-9_-]+$` only, names of at most 128 characters, as its API
# reference says for `messages`; an odd one in the history would have the next request refused.
_CALL = TypeAdapter(dict[str, Any])
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_NAME = 64
_OPENS, _CLOSES = "<tool_call>", "</tool_call>"
"""How local models write a call when their server does not parse it (Qwen's and Hermes' chat templates)."""


def repair(reply: ModelResponse, tools: Iterable[str], before: Iterable[ModelMessage] = ()) -> ModelResponse:
    """The reply as it can be used and sent back: valid Unicode, calls with ids of their own and arguments that parse.

    `tools` are the names that the request offered, `before` is the conversation so far. Calls of a reply that was cut
    are taken out, since a part of a call may parse and mean something else. The answer is the last of the calls.
    """
    known = tuple(tools)
    parts = [_encodable_part(part) for part in reply.parts]
    if reply.finish_reason == CUT:
        said = [part for part in parts if not isinstance(part, TextPart) or part.content.strip()]
        kept = [part for part in said if not isinstance(part, ToolCallPart | ThinkingPart)]
        return dataclasses.replace(reply, parts=kept or [TextPart(_CUT_SHORT)])
    if not any(isinstance(part, ToolCallPart) for part in parts):
        parts = _written_calls(parts, known)
    ids = {part.tool_call_id for message in before for part in message.parts if isinstance(part, ToolCallPart)}
    parts = [_usable_call(part, known, ids) if isinstance(part, ToolCallPart) else part for part in parts]
    parts.sort(key=lambda part: isinstance(part, ToolCallPart) and part.tool_name == ANSWER)
    if reply.finish_reason != "content_filter" and not any(not isinstance(part, ThinkingPart) for part in parts):
        parts.append(TextPart(_EMPTY))
    return dataclasses.replace(reply, parts=parts)


def is_empty(reply: ModelResponse) -> bool:
    """Whether a repaired reply says nothing."""
    return [part.content for part in reply.parts if isinstance(part, TextPart)] == [_EMPTY]


def _usable_call(call: ToolCallPart, known: tuple[str, ...], ids: set[str]) -> ToolCallPart:
    """The call with a name and an id that can be sent back, and arguments that are an object where they can be read."""
    call_id = _FOREIGN.sub("_", call.tool_call_id or "")
    while not call_id or call_id in ids:
        call_id = f"call_{len(ids) + 1}" if not call_id else f"{call_id}_{len(ids) + 1}"
    ids.add(call_id)
    return dataclasses.replace(
        call, tool_name=_known_name(call.tool_name, known), args=_arguments(call.args), tool_call_id=call_id
    )


def _known_name(name: str, known: tuple[str, ...]) -> str:
    """A tool that is offered, also where the model put a namespace before it, such as `functions.`."""
    last = re.split(r"[.:/]", name.strip())[-1].strip()
    return last if last in known else _FOREIGN.sub("_", name.strip())[:_MAX_NAME] or "unnamed"


def _arguments(args: Any) -> Any:
    """Arguments as an object: JSON within a string is read, nothing is no arguments, null is an argument left out."""
    read: Any = args
    for _ in range(2):
        if isinstance(read, str) and read.strip():
            try:
                read = json.loads(read, strict=False)
            except (ValueError, RecursionError):
                return args
    if read is None or read == "":
        return {}
    if not isinstance(read, dict):
        return args
    return {key: value for key, value in cast("dict[str, Any]", _encodable(read)).items() if value is not None}


def _written_calls(parts: list[ModelResponsePart], known: tuple[str, ...]) -> list[ModelResponsePart]:
    """Calls that make up the whole text of a reply, as calls; anything else stays text."""
    text = "".join(part.content for part in parts if isinstance(part, TextPart)).strip()
    if not (text.startswith(_OPENS) and text.endswith(_CLOSES)):
        return parts
    calls: list[ModelResponsePart] = []
    for written in text.removesuffix(_CLOSES).split(_CLOSES):
        between, opens, call_text = written.partition(_OPENS)
        try:
            call = _CALL.validate_json(call_text)
        except ValidationError:
            return parts
        name = call.get("name")
        if between.strip() or not opens or not isinstance(name, str) or _known_name(name, known) not in known:
            return parts
        calls.append(ToolCallPart(tool_name=name, args=call.get("arguments") or {}, tool_call_id=""))
    return [part for part in parts if not isinstance(part, TextPart)] + calls


def _encodable_part(part: ModelResponsePart) -> ModelResponsePart:
    """JSON can carry half of a surrogate pair, which no file, database or further request can."""
    texts = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    changed = {name: _encodable(text) for name, text in texts.items() if isinstance(text, str | dict | list)}
    return dataclasses.replace(part, **changed)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in cast("dict[Any, Any]", value).items()}
    return [_encodable(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
