"""A reply as the stream of events that the vendor sends when asked for one."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from app.replay.wire import Vendor

MEDIA_TYPE = "text/event-stream"
_PIECE = 40
"""Characters of one delta."""


def ping(vendor: Vendor) -> str:
    """What is sent while nothing is there yet; a comment where the protocol has no such event."""
    return _event({"type": "ping"}) if vendor == "anthropic" else ": keep-alive\n\n"


def stream(vendor: Vendor, body: dict[str, Any]) -> Iterator[str]:
    """The events of the reply `body`, as text. Sources: `app.agents.streams` names the vendors' pages."""
    if vendor == "local":
        raise ValueError("recorded Chat Completions are not streamed")
    events = _messages(body) if vendor == "anthropic" else _responses(body)
    return map(_event, events)


def _event(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _messages(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = body["usage"] | {"output_tokens": 1}
    start: dict[str, Any] = body | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(body["content"]):
        field, delta, text = ("text", "text_delta", block.get("text", ""))
        if block["type"] == "tool_use":
            field, delta, text = ("partial_json", "input_json_delta", json.dumps(block["input"]))
        empty = copy.deepcopy(block) | ({"text": ""} if block["type"] == "text" else {"input": {}})
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "ping"}
        for start_of in range(0, len(text), _PIECE):
            piece = {"type": delta, field: text[start_of : start_of + _PIECE]}
            yield {"type": "content_block_delta", "index": index, "delta": piece}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": body["stop_reason"], "stop_sequence": body["stop_sequence"]}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": body["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def _responses(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun: dict[str, Any] = body | {"output": [], "status": "in_progress", "usage": None}
    for number, kind in enumerate(("response.created", "response.in_progress")):
        yield {"type": kind, "sequence_number": number, "response": begun}
    for index, item in enumerate(body["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{body['status']}", "response": body}
