"""The providers' HTTP formats: what a request says, and how a reply is written."""

import json
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from app.replay import responses
from app.replay.recording import TokenUsage, Turn
from app.replay.refusals import BadRequest, check_chat, check_messages, check_responses

Vendor = Literal["anthropic", "openai", "azure", "local"]
"""Who is asked, by the path of the request: `openai` and `azure` speak Responses, `local` Chat Completions."""

_ROLE = re.compile(r"^You are the (Planner|Builder|Auditor)\.", re.MULTILINE)
_HEADER = re.compile(r"^(Repository|Phase|Attempt): (.+)$", re.MULTILINE)
_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_OUTPUT_TOOLS = ("answer", "final_result")
CHARACTERS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class Conversation:
    """What a request asks for, as far as it selects the recorded reply."""

    vendor: Vendor
    model: str
    role: str
    repository: str
    phase: str | None
    attempt: int
    turn: int
    """Replies of the model that the request already contains."""
    system: str
    tools: tuple[str, ...]
    body_characters: int
    streamed: bool
    max_tokens: int | None = None
    """Of the reply, as the request limits it, thinking included."""

    @property
    def tokens(self) -> int:
        """Input tokens of the request, counted from its size."""
        return _tokens(self.body_characters)

    @property
    def output_tool(self) -> str:
        for name in self.tools:
            if name in _OUTPUT_TOOLS:
                return name
        if not self.tools:
            raise BadRequest("the request offers no output tool to answer with")
        return self.tools[-1]


_CHECKS: dict[Vendor, Callable[[dict[str, Any]], None]] = {
    "anthropic": check_messages,
    "openai": check_responses,
    "azure": check_responses,
    "local": check_chat,
}


def read_request(vendor: Vendor, raw: bytes) -> Conversation:
    """Read a provider's request. Raises `BadRequest` if it is not one of Autopack's."""
    try:
        body: dict[str, Any] = json.loads(raw)
    except ValueError as error:
        raise BadRequest(f"not JSON: {error}") from error
    _CHECKS[vendor](body)
    messages: list[dict[str, Any]] = body.get("messages", [])
    if vendor in {"openai", "azure"}:
        messages = responses.as_messages(body)
    if vendor == "anthropic":
        system = responses.text_of(body.get("system"))
    else:
        system = "\n\n".join(
            responses.text_of(m.get("content")) for m in messages if m.get("role") in {"system", "developer"}
        )
    tools = tuple(str(tool.get("function", tool)["name"]) for tool in body.get("tools", []))
    role = _ROLE.search(system)
    if role is None:
        raise BadRequest("no part of the system prompt opens with 'You are the Planner.', '… Builder.' or '… Auditor.'")
    first = next((responses.text_of(m.get("content")) for m in messages if m.get("role") == "user"), "")
    blocks = first.strip().split("\n\n")
    header = next(
        (found for block in (blocks[-1], blocks[0]) if "Repository" in (found := _header(block))), dict[str, str]()
    )
    if "Repository" not in header or not header.get("Attempt", "").isdigit():
        raise BadRequest("the first user message has no block of 'Repository:' and 'Attempt:' lines at its end")
    return Conversation(
        vendor=vendor,
        model=str(body.get("model", "")),
        role=role[1].lower(),
        repository=header["Repository"],
        phase=header.get("Phase"),
        attempt=int(header["Attempt"]),
        turn=sum(m.get("role") == "assistant" for m in messages),
        system=system,
        tools=tools,
        body_characters=len(raw.decode("utf-8", "replace")),
        streamed=bool(body.get("stream")),
        max_tokens=next((body[name] for name in _LIMITS if isinstance(body.get(name), int)), None),
    )


def _header(block: str) -> dict[str, str]:
    found: list[tuple[str, str]] = _HEADER.findall(block)
    return dict(found)


def write_reply(asked: Conversation, turn: Turn) -> dict[str, Any]:
    """The provider's response body for a recorded turn: cut where the thinking uses up the limit of the reply."""
    if turn.thinks and asked.max_tokens is not None and turn.thinks >= asked.max_tokens:
        return _cut(asked, turn)
    calls = [(call.name, call.args) for call in turn.tool_calls]
    if turn.malformed:
        calls.append((asked.output_tool, {"recorded_as_malformed": True}))
    elif turn.answer is not None:
        calls.append((asked.output_tool, turn.answer))
    usage = turn.usage or TokenUsage(
        input=_tokens(asked.body_characters), output=_tokens(len(json.dumps(calls)) + len(turn.text or ""))
    )
    write = {"anthropic": _messages, "local": _chat}.get(asked.vendor, responses.write)
    return write(asked.model, turn, calls, usage)


def tokens_of(body: dict[str, Any]) -> int:
    """Input and output together of a response body, in the form of any vendor."""
    usage = body["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")
    return sum(int(usage.get(name) or 0) for name in names)


_CUT: dict[Vendor, dict[str, Any]] = {
    "anthropic": {"content": [], "stop_reason": "max_tokens"},
    "openai": {"output": [], "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    "azure": {"output": [], "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
}


def _cut(asked: Conversation, turn: Turn) -> dict[str, Any]:
    """A reply that ended while the model was thinking."""
    usage = TokenUsage(input=asked.tokens, output=asked.max_tokens or 0)
    thought = Turn(text="", thinks=turn.thinks)
    if asked.vendor == "local":
        body = _chat(asked.model, thought, [], usage)
        body["choices"][0]["finish_reason"] = "length"
        return body
    write = _messages if asked.vendor == "anthropic" else responses.write
    return write(asked.model, thought, [], usage) | _CUT[asked.vendor]


def write_error(
    vendor: Vendor, status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The provider's error body."""
    kind = "overloaded_error" if status == 529 else "invalid_request_error" if status < 500 else "api_error"
    error = {"type": kind, "message": message}
    if vendor == "anthropic":
        return {"type": "error", "error": error}
    return {"error": error | {"param": param, "code": code}}


def _tokens(characters: int) -> int:
    return max(1, math.ceil(characters / CHARACTERS_PER_TOKEN))


def _messages(model: str, turn: Turn, calls: list[tuple[str, dict[str, Any]]], usage: TokenUsage) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if not turn.refusal:
        content += [{"type": "text", "text": turn.text}] if turn.text else []
        content += [
            {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:20]}", "name": name, "input": args}
            for name, args in calls
        ]
    return {
        "id": f"msg_{uuid.uuid4().hex[:20]}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "refusal" if turn.refusal else "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.input - usage.cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": usage.output,
        },
    }


def _chat(model: str, turn: Turn, calls: list[tuple[str, dict[str, Any]]], usage: TokenUsage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if turn.refusal else turn.text}
    if turn.refusal:
        message["refusal"] = "recorded refusal"
    elif calls:
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:20]}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(args)},
            }
            for name, args in calls
        ]
    finish = "content_filter" if turn.refusal else "tool_calls" if calls else "stop"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:20]}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
        },
    }
