"""From a model's name to a client: `vendor:name`, with the keys and addresses of this process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast
from weakref import WeakKeyDictionary

from pydantic import Field, SecretStr
from pydantic_ai.exceptions import ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from app import collection
from app.domain.budget import ModelFailed, ModelFailure
from app.domain.frozen import Frozen

Vendor = Literal["anthropic", "openai", "azure", "local"]

REQUEST_ATTEMPTS_TIME = 3
"""A request with its retries may take this many times the time of one attempt."""

_REQUIRED_VARIABLES: Mapping[str, str] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT",
    "local": "AUTOPACK_LOCAL_BASE_URL",
}


class ModelAccess(Frozen):
    """Keys and addresses of the vendors that this process may use. Keys never show in its text form."""

    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str = "https://api.anthropic.com"
    openai_api_key: SecretStr | None = None
    openai_base_url: str = "https://api.openai.com/v1"
    azure_api_key: SecretStr | None = None
    azure_endpoint: str | None = None
    azure_api_version: str = "2025-04-01-preview"
    """Responses need 2025-03-01-preview or later; this one is the last with a date."""
    local_base_url: str | None = None
    """Any server that speaks OpenAI's Chat Completions."""
    local_api_key: SecretStr = SecretStr("none")
    request_timeout_seconds: float = Field(default=180.0, gt=0)
    """How long one attempt at a request may take."""
    max_retries: int = Field(default=2, ge=0, le=5)
    """How often the SDK repeats a request that failed with 408, 409, 429, 5xx or a broken connection."""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Self:
        """Read the variables of the documentation's settings table; empty ones count as absent."""
        names = {
            "anthropic_api_key": "ANTHROPIC_API_KEY",
            "anthropic_base_url": "ANTHROPIC_BASE_URL",
            "openai_api_key": "OPENAI_API_KEY",
            "openai_base_url": "OPENAI_BASE_URL",
            "azure_api_key": "AZURE_OPENAI_API_KEY",
            "azure_endpoint": "AZURE_OPENAI_ENDPOINT",
            "azure_api_version": "AZURE_OPENAI_API_VERSION",
            "local_base_url": "AUTOPACK_LOCAL_BASE_URL",
            "local_api_key": "AUTOPACK_LOCAL_API_KEY",
        }
        return cls.model_validate({field: env[name] for field, name in names.items() if env.get(name)})

    def vendors(self) -> set[Vendor]:
        """The vendors for which everything needed is set."""
        usable: set[Vendor] = set()
        if self.anthropic_api_key:
            usable.add("anthropic")
        if self.openai_api_key:
            usable.add("openai")
        if self.azure_api_key and self.azure_endpoint:
            usable.add("azure")
        if self.local_base_url:
            usable.add("local")
        return usable

    def build(self, model_id: str) -> Model:
        """Make the model named `vendor:name`. Raises `ModelFailed` for a vendor that is unknown or has no key.

        The first call imports the vendors' clients, which takes seconds: call it beside the event loop.
        """
        vendor, _, name = model_id.partition(":")
        if vendor not in _REQUIRED_VARIABLES or not name:
            known = ", ".join(_REQUIRED_VARIABLES)
            raise ModelFailed(ModelFailure.REJECTED, f"{model_id!r} is not vendor:name with a vendor of {known}")
        if vendor not in self.vendors():
            raise ModelFailed(ModelFailure.UNAVAILABLE, f"no access to {vendor}: set {_REQUIRED_VARIABLES[vendor]}")
        with collection.paused():
            from app.agents import vendors

        return vendors.build(self, vendor, name)


class TimeLimitedModel(WrapperModel):
    """A model whose request ends in time, retries and slowly arriving replies included, and whose replies are Unicode.

    The bound lies inside the workflow's step, so that a timeout is recorded there and replay sees it again;
    pydantic-ai's `request_timeout` lies around the step.
    """

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        attempt = (model_settings or {}).get("timeout")
        if not isinstance(attempt, int | float):
            attempt = _process.access.request_timeout_seconds
        seconds = REQUEST_ATTEMPTS_TIME * attempt
        try:
            async with asyncio.timeout(seconds):
                reply = await super().request(messages, model_settings, model_request_parameters)
        except TimeoutError as error:
            raise ModelTimeoutError(self.model_name, f"no complete reply in {seconds:g} s") from error
        return replace(reply, parts=[_encodable_part(part) for part in reply.parts])


def _encodable_part(part: ModelResponsePart) -> ModelResponsePart:
    """JSON can carry half of a surrogate pair, which no file, database or further request can."""
    if isinstance(part, ToolCallPart):
        return replace(part, args=_encodable(part.args))
    return replace(part, content=_encodable(part.content)) if isinstance(part, TextPart) else part


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in cast("dict[Any, Any]", value).items()}
    return [_encodable(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


@dataclass
class _Process:
    """What this process may use and has built."""

    access: ModelAccess = field(default_factory=ModelAccess)
    # An HTTP client belongs to the event loop that opened its connections, and the workflow engine has one of its own.
    built: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, TimeLimitedModel]] = field(
        default_factory=WeakKeyDictionary
    )


_process = _Process()


def configure(access: ModelAccess) -> None:
    """Set what this process may use; models built before are forgotten."""
    _process.access = access
    _process.built.clear()


def current_access() -> ModelAccess:
    return _process.access


async def resolve(_: object, model_id: str) -> Model:
    """The model named `vendor:name`, for the `ResolveModelId` capability. Raises `ModelFailed` as `build` does."""
    models = _process.built.setdefault(asyncio.get_running_loop(), {})
    if model_id not in models:
        models[model_id] = TimeLimitedModel(await asyncio.to_thread(_process.access.build, model_id))
    return models[model_id]


async def close() -> None:
    """Close the connections of the models built on the running event loop; a later request builds them anew."""
    for model in _process.built.pop(asyncio.get_running_loop(), {}).values():
        from app.agents import vendors

        await vendors.close(model.wrapped)
