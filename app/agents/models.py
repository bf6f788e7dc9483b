"""From a model's name to a client: `vendor:name`, with the keys and addresses of this process."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydantic import Field
from pydantic_ai.exceptions import ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from app import collection
from app.agents.model_access import REQUIRED_VARIABLES, ModelAccess
from app.domain.budget import ModelFailed, ModelFailure
from app.domain.frozen import Frozen

REQUEST_ATTEMPTS_TIME = 3
"""A request with its retries may take this many times the time of one attempt."""


class RequestLimits(Frozen):
    """How long one attempt at a request may take, and how often the SDK repeats it."""

    timeout_seconds: float = Field(default=180.0, gt=0)
    max_retries: int = Field(default=2, ge=0, le=5)
    """After 408, 409, 429, 5xx or a broken connection."""


class TimeLimitedModel(WrapperModel):
    """A model whose request ends in time, retries and slowly arriving replies included, and whose replies are Unicode.

    The bound is inside the workflow's step, so that a timeout is recorded there and replay sees it again;
    pydantic-ai's `request_timeout` is around the step.
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
            attempt = request_timeout_seconds()
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

    access: ModelAccess | None = None
    limits: RequestLimits = field(default_factory=RequestLimits)
    # An HTTP client belongs to the event loop that opened its connections, and the workflow engine has one of its own.
    built: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, TimeLimitedModel]] = field(
        default_factory=WeakKeyDictionary
    )


_process = _Process()


def configure(access: ModelAccess | None, limits: RequestLimits | None = None) -> None:
    """Set what this process may use; models built before are forgotten."""
    _process.access = access
    _process.limits = limits or RequestLimits()
    _process.built.clear()


def request_timeout_seconds() -> float:
    """How long one attempt at a request may take, unless the repository says otherwise."""
    return _process.limits.timeout_seconds


def build(model_id: str, access: ModelAccess, limits: RequestLimits) -> Model:
    """Make the model named `vendor:name`. Raises `ModelFailed` for a vendor that is unknown or has no key.

    The first call imports the vendors' clients, which takes seconds: call it off the event loop.
    """
    vendor, _, name = model_id.partition(":")
    if vendor not in REQUIRED_VARIABLES or not name:
        known = ", ".join(REQUIRED_VARIABLES)
        raise ModelFailed(ModelFailure.REJECTED, f"{model_id!r} is not vendor:name with a vendor of {known}")
    if vendor not in access.vendors:
        missing = " and ".join(REQUIRED_VARIABLES[vendor])
        raise ModelFailed(ModelFailure.UNAVAILABLE, f"no access to {vendor}: set {missing}")
    with collection.paused():
        from app.agents import vendors

    return vendors.build(access, limits, vendor, name)


async def resolve(_: object, model_id: str) -> Model:
    """The model named `vendor:name`, for the `ResolveModelId` capability. Raises `ModelFailed` as `build` does."""
    access = _process.access
    if access is None:
        raise ModelFailed(ModelFailure.UNAVAILABLE, "this process has no access to models")
    models = _process.built.setdefault(asyncio.get_running_loop(), {})
    if model_id not in models:
        models[model_id] = TimeLimitedModel(await asyncio.to_thread(build, model_id, access, _process.limits))
    return models[model_id]


async def close() -> None:
    """Close the connections of the models built on the running event loop; a later request builds them again."""
    for model in _process.built.pop(asyncio.get_running_loop(), {}).values():
        from app.agents import vendors

        await vendors.close(model.wrapped)
