"""Requests that the providers turn away with 400, in their words. Each rule names where it was seen."""

import re
from typing import Any, cast

_REASONING = re.compile(r"(gpt-[5-9]|o\d)")
"""OpenAI's models that reason."""
_NEWER_CLAUDE = re.compile(r"claude-(opus-4-[78]|[a-z]+-[5-9])")
_INLINE_SYSTEM = re.compile(r"claude-(opus-4-8|[a-z]+-[5-9])")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_NO_CHAT_TOOLS = re.compile(r"gpt-(5\.6|6)(?!\d)")
_AZURE_RESPONSES_SINCE = "2025-03-01"


class BadRequest(Exception):
    """The request is not one that a recording can answer; the text says why, `param` names the field."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def check_chat_tools(body: dict[str, Any]) -> None:
    """Raise `BadRequest` for function tools on Chat Completions for models that take them on Responses only.

    Also without an effort: the model's default counts. Seen on api.openai.com in BerriAI/litellm#34569 (gpt-5.6) and
    docker/docker-agent#4165 (gpt-6).
    """
    model = str(body.get("model", ""))
    if _NO_CHAT_TOOLS.match(model) and body.get("tools") and body.get("reasoning_effort") != "none":
        raise BadRequest(
            f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. To use "
            "function tools, use /v1/responses or set reasoning_effort to 'none'.",
            "reasoning_effort",
        )


def check_azure_version(version: str) -> None:
    """Raise `BadRequest` for an API version that has no Responses. The text is Azure's, from Aider-AI/aider#4029."""
    if version < _AZURE_RESPONSES_SINCE:
        raise BadRequest(
            "Azure OpenAI Responses API is enabled only for api-version 2025-03-01-preview and later", "api-version"
        )


def check_call_ids(items: list[dict[str, Any]]) -> None:
    """Raise `BadRequest` unless every call in a Responses input is answered, and every answer has its call before it.

    The texts are those in microsoft/vscode#320060 and router-for-me/CLIProxyAPI#2368.
    """
    open_calls: set[str] = set()
    calls: set[str] = set()
    for item in items:
        call = str(item.get("call_id"))
        if item.get("type") == "function_call":
            calls.add(call)
            open_calls.add(call)
        elif item.get("type") == "function_call_output":
            if call not in calls:
                raise BadRequest(f"No tool call found for function call output with call_id {call}.", "input")
            open_calls.discard(call)
    for call in sorted(open_calls):
        raise BadRequest(f"No tool output found for function call {call}.", "input")


def check_chat(body: dict[str, Any]) -> None:
    """Raise `BadRequest` for what OpenAI turns away on Chat Completions.

    `max_tokens` and `temperature` of models that reason: griptape-ai/ComfyUI-Griptape#312, dsp05/overleaf-copilot#43,
    and OpenAI's guide to reasoning models. Calls without results: aliasrobotics/cai#111.
    """
    check_chat_tools(body)
    if _REASONING.match(str(body.get("model", ""))):
        if "max_tokens" in body:
            raise BadRequest(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                "max_tokens",
            )
        _check_temperature(body)
    open_calls: list[str] = []
    for message in cast("list[dict[str, Any]]", body.get("messages", [])):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise BadRequest(
                    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                    "messages",
                )
            open_calls.remove(str(message.get("tool_call_id")))
            continue
        _check_no_open_call(open_calls)
        calls = cast("list[dict[str, Any]]", message.get("tool_calls") or [])
        open_calls = [str(call.get("id")) for call in calls]
    _check_no_open_call(open_calls)


def _check_no_open_call(open_calls: list[str]) -> None:
    if open_calls:
        raise BadRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(open_calls)}",
            "messages",
        )


def check_responses(body: dict[str, Any]) -> None:
    """Raise `BadRequest` for a temperature that models which reason do not take (OpenAI's guide to them)."""
    if _REASONING.match(str(body.get("model", ""))):
        _check_temperature(body)


def _check_temperature(body: dict[str, Any]) -> None:
    if "temperature" in body:
        raise BadRequest("Unsupported parameter: 'temperature' is not supported with this model.", "temperature")


def check_messages(body: dict[str, Any]) -> None:
    """Raise `BadRequest` for what Anthropic turns away.

    A forced tool under thinking with a budget: can1357/oh-my-pi#341. A budget, or sampling settings, for models from
    Opus 4.7 on, and a budget over `max_tokens`: `shared/error-codes.md` of anthropics/skills. A system role for models
    before Opus 4.8: anthropics/claude-agent-sdk-typescript#350. Empty texts: anthropics/claude-code#49171. Calls
    without results: Kilo-Org/kilocode#5163. Names: the API reference of Messages.
    """
    model = str(body.get("model", ""))
    thinking = cast("dict[str, Any]", body.get("thinking") or {})
    if thinking.get("type") == "enabled":
        if _NEWER_CLAUDE.match(model):
            raise BadRequest(f"thinking.type: 'enabled' is not supported for {model}; use 'adaptive'")
        if int(thinking.get("budget_tokens", 0)) >= int(body.get("max_tokens", 0)):
            raise BadRequest("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
            raise BadRequest("Thinking may not be enabled when tool_choice forces tool use.")
    if _NEWER_CLAUDE.match(model) and {"temperature", "top_p", "top_k"} & set(body):
        raise BadRequest(f"`temperature`, `top_p` and `top_k` are not supported for {model}")
    open_calls: set[str] = set()
    for number, message in enumerate(cast("list[dict[str, Any]]", body.get("messages", []))):
        open_calls = _check_message(model, number, message, open_calls)
    if open_calls:
        _unanswered(len(body.get("messages", [])) - 1, open_calls)


def _check_message(model: str, number: int, message: dict[str, Any], open_calls: set[str]) -> set[str]:
    """Check one message; the ids of its calls, which the next must answer."""
    if message.get("role") == "system" and not _INLINE_SYSTEM.match(model):
        raise BadRequest(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" '
            "as an input message role."
        )
    content = message.get("content")
    blocks = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
    if content == "" or any(block.get("type") == "text" and not block.get("text") for block in blocks):
        raise BadRequest("messages: text content blocks must be non-empty")
    answered = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
    if answered - open_calls:
        raise BadRequest(
            f"messages.{number}.content: unexpected `tool_use_id` found in `tool_result` blocks: "
            f"{', '.join(sorted(answered - open_calls))}. Each `tool_result` block must have a corresponding "
            "`tool_use` block in the previous message."
        )
    if open_calls - answered:
        _unanswered(number - 1, open_calls - answered)
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    for call in calls:
        for field in ("id", "name"):
            if not _NAME.fullmatch(str(call.get(field))):
                raise BadRequest(f"messages.{number}.content: tool_use.{field}: String should match '^[a-zA-Z0-9_-]+$'")
    return {str(call["id"]) for call in calls}


def _unanswered(number: int, calls: set[str]) -> None:
    raise BadRequest(
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(sorted(calls))}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
        "message."
    )


def check_window(vendor: str, tokens: int, window: int | None) -> None:
    """Raise `BadRequest` for a request that does not fit into the window, in the words of OpenAI or of Anthropic.

    The library knows both as an overflow of the context window (`pydantic_ai._model_errors`).
    """
    if window is None or tokens <= window:
        return
    if vendor == "anthropic":
        raise BadRequest(f"prompt is too long: {tokens} tokens > {window} maximum")
    raise BadRequest(
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "input",
        code="context_length_exceeded",
    )
