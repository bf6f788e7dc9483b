"""Requests that the providers turn away with 400, in their words. Each rule names where it was seen."""

import re
from typing import Any

_NO_CHAT_TOOLS = re.compile(r"gpt-(5\.6|6)(?!\d)")
_AZURE_RESPONSES_SINCE = "2025-03-01"


class BadRequest(Exception):
    """The request is not one that a recording can answer; the text says why, `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


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
