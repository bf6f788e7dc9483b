"""OpenAI's Responses format: a request's input items as messages, and a reply's output items."""

import base64
import json
import uuid
from typing import Any, cast

from app.replay.recording import TokenUsage, Turn
from app.replay.refusals import BadRequest, check_call_ids

_TEXT_BLOCKS = {"text", "input_text", "output_text"}
_OF_THE_MODEL = {"reasoning", "function_call"}


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
    return "\n\n".join(str(block["text"]) for block in blocks if block.get("type") in _TEXT_BLOCKS)


def as_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversation as messages with a role: all items of one reply are one message of the assistant.

    Raises `BadRequest` for calls without their answers, answers without their calls, and server-side history.
    """
    if body.get("previous_response_id") or body.get("conversation"):
        raise BadRequest("recorded answers keep no conversation; send the whole input", "previous_response_id")
    given = body.get("input", [])
    items: list[dict[str, Any]] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    check_call_ids(items)
    messages: list[dict[str, Any]] = [{"role": "system", "content": body.get("instructions") or ""}]
    for item in items:
        of_the_model = item.get("role") == "assistant" or item.get("type") in _OF_THE_MODEL
        if not of_the_model:
            messages.append({"role": item.get("role", "tool"), "content": item.get("content")})
        elif messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": item.get("content")})
    return messages


def write(model: str, turn: Turn, calls: list[tuple[str, dict[str, Any]]], usage: TokenUsage) -> dict[str, Any]:
    """The response object, as the SDK's `Response` describes it."""
    return {
        "id": _id("resp"),
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": _output(turn, calls),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.input + usage.output,
        },
    }


def _output(turn: Turn, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    if turn.refusal:
        return [_message({"type": "refusal", "refusal": "recorded refusal"})]
    output: list[dict[str, Any]] = []
    if turn.reasoning is not None:
        sealed = base64.b64encode(turn.reasoning.encode()).decode()
        output.append({"id": _id("rs"), "type": "reasoning", "summary": [], "encrypted_content": sealed})
    if turn.text:
        output.append(_message({"type": "output_text", "text": turn.text, "annotations": []}))
    output += [
        {
            "id": _id("fc"),
            "type": "function_call",
            "call_id": _id("call"),
            "name": name,
            "arguments": json.dumps(args),
            "status": "completed",
        }
        for name, args in calls
    ]
    return output


def _message(content: dict[str, Any]) -> dict[str, Any]:
    return {"id": _id("msg"), "type": "message", "role": "assistant", "status": "completed", "content": [content]}


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:20]}"
