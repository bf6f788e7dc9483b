"""Budgets: what a run may spend, and whether the next model request still fits. All amounts are tokens unless named."""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

WARN_AT = 0.8
"""Share of a cap from which the status comment warns."""


class Role(StrEnum):
    PLANNER = "planner"
    BUILDER = "builder"
    AUDITOR = "auditor"


class Scope(StrEnum):
    """What a cap bounds."""

    PHASE = "phase"
    TIER = "tier"
    RUN = "run"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Frozen):
    """Tokens of one or more model requests, as the provider reported them; `cached` is part of `input`."""

    input: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)
    cost_usd: Decimal | None = None
    """Price of the model that was used; None where no price is known."""

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: "Usage") -> "Usage":
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            input=self.input + other.input,
            cached=self.cached + other.cached,
            output=self.output + other.output,
            cost_usd=sum(costs, Decimal(0)) if costs else None,
        )


class Cap(_Frozen):
    """One token cap and what stands against it: settled usage and open reservations."""

    scope: Scope
    name: str
    """The id of the run, tier or phase."""
    limit: int
    used: int
    reserved: int = 0

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used - self.reserved)

    @property
    def warns(self) -> bool:
        return self.used >= self.limit * WARN_AT


class BudgetExhausted(Exception):
    """The next model request could not fit under a cap, so it was not sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def check_fit(request_tokens: int, caps: list[Cap]) -> None:
    """Raise `BudgetExhausted` naming the first cap under which `request_tokens` more would not fit."""
    for cap in caps:
        if request_tokens > cap.left:
            raise BudgetExhausted(
                f"{cap.scope} {cap.name}: {cap.used:,} of {cap.limit:,} tokens used, "
                f"the next request may need {request_tokens:,}"
            )


class ModelFailure(StrEnum):
    """Why a model gave no usable answer."""

    REFUSED = "refused"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    """The provider would not take the request: key, model name, context length."""


class ModelFailed(Exception):
    """No model of the list gave a usable answer."""

    def __init__(self, failure: ModelFailure, reason: str) -> None:
        super().__init__(failure, reason)
        self.failure = failure
        self.reason = reason

    def __str__(self) -> str:
        return f"model {self.failure}: {self.reason}"


class RunStopped(Exception):
    """A person, or an event on GitHub, ended the run while it was working."""
