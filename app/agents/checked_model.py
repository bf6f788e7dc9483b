"""A vendor's model as conversations use it: bounded in time, asked as it demands, its replies repaired.

All of this happens inside the workflow's step, so a replay sees what was recorded.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_ai.exceptions import ModelAPIError, ModelAuthenticationError, ModelHTTPError, ModelTimeoutError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from typing_extensions import override

from app.agents.replies import repair

SILENT_TIMES = 10
"""A request with its retries may take this many times the time of silence that ends one attempt: a reply that keeps
arriving is no timeout, and one that never ends is."""
_MAX_ADAPTATIONS = 4
REFUSED_KEY = 401
KEY_REFUSED = "the provider refused the key (401)"
REFUSALS = 2
ASK_AGAIN_SECONDS = 600.0
"""A key that was refused so often in a row is not used for so long: the account may be put right without a restart."""


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """How often in a row a vendor's key was refused, and when last (monotonic seconds)."""

    times: int
    at: float

    @property
    def is_left_alone(self) -> bool:
        return self.times >= REFUSALS and time.monotonic() - self.at < ASK_AGAIN_SECONDS


class UnreadableReply(ModelAPIError):
    """The answer is none: no JSON, no choices, an error with status 200. What it cost is not known."""


class CheckedModel(WrapperModel):
    """The model of one vendor in this process.

    `adapt` gives a model that asks differently, for a refusal that demands it; `refused_keys` holds
    the vendors' keys that were refused, by vendor, and outlives the model.
    """

    def __init__(
        self,
        wrapped: Model,
        vendor: str,
        *,
        timeout_seconds: float,
        adapt: Callable[[Model, str], Model | None],
        refused_keys: dict[str, RefusedKey],
    ) -> None:
        super().__init__(wrapped)
        self._vendor = vendor
        self._timeout_seconds = timeout_seconds
        self._adapt = adapt
        self._refused_keys = refused_keys

    @override
    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, and repair the reply. Raises `ModelAPIError` for everything that goes wrong."""
        attempt = (model_settings or {}).get("timeout")
        seconds = SILENT_TIMES * (attempt if isinstance(attempt, int | float) else self._timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                reply = await self._ask(messages, model_settings, model_request_parameters)
        except TimeoutError as error:
            raise ModelTimeoutError(self.model_name, f"no complete reply in {seconds:g} s") from error
        offered = [*model_request_parameters.function_tools, *model_request_parameters.output_tools]
        try:
            return repair(reply, [tool.name for tool in offered], messages)
        except Exception as error:  # of kinds of parts, or values in them, that no protocol has
            raise UnreadableReply(self.model_name, _wrong_with(error)) from error

    async def _ask(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse:
        before = self._refused_keys.get(self._vendor, RefusedKey(0, 0.0))
        if before.is_left_alone:
            raise ModelAuthenticationError(self.model_name, f"{KEY_REFUSED}, so it was not asked again")
        for left in reversed(range(_MAX_ADAPTATIONS + 1)):
            try:
                reply = await super().request(messages, settings, parameters)
                self._refused_keys.pop(self._vendor, None)
                return reply
            except ModelHTTPError as error:
                may_adapt = left > 0 and error.status_code in {400, 422}
                adapted = self._adapt(self.wrapped, str(error.body)) if may_adapt else None
                if error.status_code == REFUSED_KEY:
                    self._refused_keys[self._vendor] = RefusedKey(before.times + 1, time.monotonic())
                if adapted is None:
                    raise
                self.wrapped = adapted
            except ModelAPIError:
                raise
            except Exception as error:  # what the SDK and the library make of an answer that is none
                raise UnreadableReply(self.model_name, _wrong_with(error)) from error
        raise AssertionError("the last try returns or raises")


def _wrong_with(error: BaseException) -> str:
    """What is wrong with a reply that the SDK or the library could not read, in one sentence for the run's reader."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValidationError):
            first = cause.errors(include_url=False)[0]
            place = ".".join(str(name) for name in first["loc"] if str(name)[:1].islower() or isinstance(name, int))
            return f"{place or 'the reply'}: {first['msg']}"
        if isinstance(cause, json.JSONDecodeError):
            return "it is not JSON"
        cause = cause.__cause__ or cause.__context__
    return "it is no answer of this protocol"
