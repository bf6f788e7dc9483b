"""From a model's name to a client: `vendor:name`, with the keys and addresses of this process."""

import asyncio
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from pydantic import Field
from pydantic_ai.models import Model

from app import collection
from app.agents.checked_model import CheckedModel, RefusedKey
from app.agents.model_access import REQUIRED_VARIABLES, ModelAccess
from app.domain.budget import ModelFailed, ModelFailure
from app.domain.frozen import Frozen


class RequestLimits(Frozen):
    """How long one attempt at a request may take, and how often the SDK repeats it."""

    timeout_seconds: float = Field(default=300.0, gt=0)
    """Of silence: nothing of the reply has come for so long."""
    max_retries: int = Field(default=2, ge=0, le=5)
    """After 408, 409, 429, 5xx or a broken connection."""


@dataclass
class _Process:
    """What this process may use and has built."""

    access: ModelAccess | None = None
    limits: RequestLimits = field(default_factory=RequestLimits)
    # An HTTP client belongs to the event loop that opened its connections, and the workflow engine has one of its own.
    built: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, CheckedModel]] = field(
        default_factory=WeakKeyDictionary
    )
    refused_keys: dict[str, RefusedKey] = field(default_factory=dict[str, RefusedKey])
    """The vendors' keys that were refused when they were last used."""


_process = _Process()


def configure(access: ModelAccess | None, limits: RequestLimits | None = None) -> None:
    """Set what this process may use; models built before are forgotten."""
    _process.access = access
    _process.limits = limits or RequestLimits()
    _process.built.clear()
    _process.refused_keys.clear()


def list_refused_keys() -> list[str]:
    """The vendors that refused this process's key when it was last used."""
    return sorted(_process.refused_keys)


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
        built = await asyncio.to_thread(build, model_id, access, _process.limits)
        from app.agents import vendors

        models[model_id] = CheckedModel(
            built,
            model_id.partition(":")[0],
            timeout_seconds=_process.limits.timeout_seconds,
            adapt=vendors.adapt,
            refused_keys=_process.refused_keys,
        )
    return models[model_id]


async def close() -> None:
    """Close the connections of the models built on the running event loop; a later request builds them again."""
    for model in _process.built.pop(asyncio.get_running_loop(), {}).values():
        from app.agents import vendors

        await vendors.close(model.wrapped)
