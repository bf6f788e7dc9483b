"""The vendors' own clients. Importing them takes seconds, so this module is imported with the first request."""

import anthropic
import openai
from pydantic import SecretStr
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.profiles import merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.azure import AzureProvider
from pydantic_ai.providers.openai import OpenAIProvider

from app.agents.model_access import ModelAccess
from app.agents.models import RequestLimits
from app.agents.streams import MessagesStream, ResponsesStream, StreamingClient

CONNECT_SECONDS = 10.0
_NOT_STORED = OpenAIResponsesModelSettings(openai_store=False)
"""Otherwise the vendor keeps each response for 30 days, and no request needs it: each holds the whole history."""
_LOCAL = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)
"""llama.cpp, vLLM and Ollama all read `max_tokens`; some do not know its newer name, and then have no limit."""

_FORCED_TOOL = OpenAIModelProfile(supports_forced_tool_choice=False)
_REFUSALS: tuple[tuple[tuple[str, ...], OpenAIModelProfile], ...] = (
    (("tool_choice", "tool choice"), _FORCED_TOOL),  # "Thinking mode does not support this tool_choice" (DeepSeek V4)
    (("system role", "role 'system'", "role: system"), OpenAIModelProfile(openai_system_prompt_role="user")),  # Gemma
    (("strict",), OpenAIModelProfile(openai_supports_strict_tool_definition=False)),
    (("reasoning", "thinking", "effort"), OpenAIModelProfile(supports_thinking=False, openai_supports_reasoning=False)),
)
"""Words of a refusal with 400 or 422, and how to ask instead. The first that holds, and is not done yet, counts."""
_LIMIT = "openai_chat_supports_max_completion_tokens"


def build(access: ModelAccess, limits: RequestLimits, vendor: str, name: str) -> Model:
    """The model `name` of a vendor for which `access` holds what is needed.

    OpenAI and Azure are asked over Responses: from gpt-5.6 on they take no function tools on Chat Completions.
    """
    if vendor == "anthropic":
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=_anthropic(access, limits)))
    if vendor == "azure":
        azure = AzureProvider(openai_client=_azure(access, limits))
        return OpenAIResponsesModel(name, provider=azure, settings=_NOT_STORED)
    provider = OpenAIProvider(openai_client=_openai(access, limits, local=vendor == "local"))
    if vendor == "local":
        return OpenAIChatModel(name, provider=provider, profile=_LOCAL)
    return OpenAIResponsesModel(name, provider=provider, settings=_NOT_STORED)


def adapt(model: Model, refusal: str) -> Model | None:
    """A model that asks differently, since the server refused a setting by these words; None where nothing is left.

    Only for Chat Completions: such servers differ, while the vendors' own models are known to the library.
    """
    if not isinstance(model, OpenAIChatModel):
        return None
    words = refusal.lower()
    change: OpenAIModelProfile | None = None
    if "max_tokens" in words or "max_completion_tokens" in words:
        change = OpenAIModelProfile(openai_chat_supports_max_completion_tokens=not model.profile.get(_LIMIT, True))
    for said, instead in _REFUSALS:
        if change is None and any(word in words for word in said) and not _has(model, instead):
            change = instead
    if change is None:
        return None
    changed = merge_profile(model.profile, change)
    return OpenAIChatModel(model.model_name, provider=model._provider, profile=changed)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _has(model: OpenAIChatModel, change: OpenAIModelProfile) -> bool:
    return all(model.profile.get(key) == value for key, value in change.items())


async def close(model: Model) -> None:
    """Close the connections of a model that `build` made."""
    if isinstance(model, AnthropicModel | OpenAIChatModel | OpenAIResponsesModel):
        await model.client.close()


def _anthropic(access: ModelAccess, limits: RequestLimits) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key=_reveal(access.anthropic_api_key),
        base_url=access.anthropic_base_url,
        timeout=anthropic.Timeout(limits.timeout_seconds, connect=_connect_seconds(limits)),
        max_retries=limits.max_retries,
        http_client=StreamingClient(MessagesStream),
    )


def _openai(access: ModelAccess, limits: RequestLimits, *, local: bool) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=_reveal(access.autopack_local_api_key if local else access.openai_api_key),
        base_url=access.autopack_local_base_url if local else access.openai_base_url,
        timeout=openai.Timeout(limits.timeout_seconds, connect=_connect_seconds(limits)),
        max_retries=limits.max_retries,
        http_client=None if local else StreamingClient(ResponsesStream),
    )


def _azure(access: ModelAccess, limits: RequestLimits) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(
        api_key=_reveal(access.azure_openai_api_key),
        azure_endpoint=access.azure_openai_endpoint or "",
        api_version=access.azure_openai_api_version,
        timeout=openai.Timeout(limits.timeout_seconds, connect=_connect_seconds(limits)),
        max_retries=limits.max_retries,
        http_client=StreamingClient(ResponsesStream),
    )


def _connect_seconds(limits: RequestLimits) -> float:
    return min(CONNECT_SECONDS, limits.timeout_seconds)


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
