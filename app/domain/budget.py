"""Budgets: what a run may spend, and whether the next request or CI run still fits."""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from app.domain.frozen import Frozen
from app.domain.numbers import figure

WARN_AT = 0.8
"""Share of a cap from which the status comment warns, unless the ruleset says otherwise."""
MAX_MERGES = 3
"""How often a run may merge its base in when it ends; each time is one more CI run than its phases have."""


class Role(StrEnum):
    PLANNER = "planner"
    BUILDER = "builder"
    AUDITOR = "auditor"


class Scope(StrEnum):
    """What a cap bounds."""

    PHASE = "phase"
    TIER = "tier"
    RUN = "run"
    ISSUE = "issue"
    """A GitHub issue over its whole life: all runs that were ever made for it."""
    REPOSITORY = "repository"
    """A repository on one day, by UTC."""
    PERSON = "person"
    """A person's runs on one day, in all repositories."""
    SERVICE = "service"
    """All repositories of the service on one day."""


class Kind(StrEnum):
    """What a cap counts."""

    TOKENS = "tokens"
    USD = "usd"
    """Money, where the models' prices are known."""
    CI_RUNS = "ci_runs"
    MINUTES = "minutes"
    """Of active work."""

    @property
    def unit(self) -> str:
        return {Kind.CI_RUNS: "CI runs", Kind.MINUTES: "active minutes", Kind.USD: "US dollars"}.get(self, self.value)

    def amount(self, amount: int | float) -> str:
        """A figure of this kind as people read it, without the unit."""
        return f"{amount:,.2f}" if self is Kind.USD else figure(amount)


CACHED_SHARE = 0.1
"""What a cached input token costs of a fresh one, where the model's prices are not known."""


class Usage(Frozen):
    """Tokens of one or more model requests, as the provider reported them; `cached` is part of `input`."""

    input: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)
    cost_usd: Decimal | None = None
    """Price of the model that was used; None where no price is known."""
    cost_partial: bool = False
    """Whether more was used than `cost_usd` is the price of."""
    discount: int = Field(default=0, ge=0)
    """How much less counts against token caps, since cached input counts at its share of the fresh price."""
    estimated: bool = False
    """Whether the provider reported nothing for a part of it: then that part is what had been reserved."""

    @property
    def total(self) -> int:
        return self.input + self.output

    @property
    def against_caps(self) -> int:
        """Tokens as caps count them, which bound spending and not re-reading."""
        return max(0, self.total - self.discount)

    def __add__(self, other: "Usage") -> "Usage":
        priced = [one for one in (self, other) if one.cost_usd is not None]
        unpriced = any(one.cost_usd is None and one.total for one in (self, other))
        return Usage(
            input=self.input + other.input,
            cached=self.cached + other.cached,
            output=self.output + other.output,
            cost_usd=sum((one.cost_usd or Decimal(0) for one in priced), Decimal(0)) if priced else None,
            cost_partial=self.cost_partial or other.cost_partial or bool(priced and unpriced),
            discount=self.discount + other.discount,
            estimated=self.estimated or other.estimated,
        )


class ModelUse(Frozen):
    """What one model was used for in one role."""

    role: Role
    model: str
    usage: Usage


class Cap(Frozen):
    """One cap and what counts towards it: what is used, and what is reserved for requests under way."""

    scope: Scope
    name: str
    """The id of the run, tier or phase, or the issue's number."""
    kind: Kind = Kind.TOKENS
    limit: int | float
    """In units of the kind; whole but for minutes."""
    used: int | float
    reserved: int | float = 0
    warn_at: float = WARN_AT
    """Share of the limit from which it warns."""

    @property
    def left(self) -> int | float:
        return max(0, self.limit - self.used - self.reserved)

    @property
    def warns(self) -> bool:
        return self.used >= self.limit * self.warn_at


class Purpose(Frozen):
    """What is about to be spent on: a role's request, or a push that starts a CI run; and for which phase, if any."""

    role: Role | None = None
    phase_id: str | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        what = f"the next {self.role} request" if self.role else "the next request"
        if self.phase_id is None:
            return what
        number = (
            "" if self.attempt is None else f", {'audit' if self.role is Role.AUDITOR else 'attempt'} {self.attempt}"
        )
        return f"{what} ({self.phase_id}{number})"


class Exhausted(Frozen):
    """The cap that ended a run: which, how much of it was used, and what would have crossed it."""

    scope: Scope
    name: str
    kind: Kind
    limit: int | float
    used: int | float
    reserved: int | float = 0
    needs: int | float
    """What was requested on top; 0 where the cap was full already."""
    role: Role | None = None
    phase_id: str | None = None
    attempt: int | None = None

    @property
    def reason(self) -> str:
        """One sentence with all figures, such as `phase P1: 9,000 of 9,500 tokens used, …`."""
        wanted = Purpose(role=self.role, phase_id=self.phase_id, attempt=self.attempt)
        amount = self.kind.amount
        held = f" and {amount(self.reserved)} reserved" if self.reserved else ""
        stood = f"{self.scope} {self.name}: {amount(self.used)} of {amount(self.limit)} {self.kind.unit} used{held}"
        if self.kind is Kind.TOKENS and not self.needs:  # an external agent reports what it has used already
            return f"{stood} ({self.phase_id}), which is over the cap"
        if self.kind in {Kind.TOKENS, Kind.USD}:
            return f"{stood}, {wanted} may need {amount(self.needs)}"
        if self.kind is Kind.CI_RUNS:
            where = f" ({self.phase_id})" if self.phase_id else ""
            return f"{stood}, the next push{where} would start one more"
        return f"{stood} before {wanted}"


class BudgetExhausted(Exception):
    """The next expense does not fit under a cap: no request was sent, nothing was pushed."""

    def __init__(self, exhausted: Exhausted) -> None:
        super().__init__(exhausted)
        self.exhausted = exhausted

    def __str__(self) -> str:
        return self.exhausted.reason


def check_fit(needs: int | float, caps: Iterable[Cap], purpose: Purpose | None = None) -> None:
    """Raise `BudgetExhausted` naming the first cap under which `needs` more would not fit."""
    for cap in caps:
        if needs > cap.left:
            raise exhausted(cap, needs, purpose)


def exhausted(cap: Cap, needs: int | float, purpose: Purpose | None = None) -> BudgetExhausted:
    """The refusal to spend `needs` more under a cap that has no room for it."""
    return BudgetExhausted(
        Exhausted(**cap.model_dump(exclude={"warn_at"}), needs=needs, **(purpose or Purpose()).model_dump())
    )


def concerning(caps: Iterable[Cap], kind: Kind, *, tier_id: str | None, phase_id: str | None) -> tuple[Cap, ...]:
    """Those of a run's caps that bound what is done for this phase, or for none."""
    names = {Scope.TIER: tier_id, Scope.PHASE: phase_id}
    return tuple(cap for cap in caps if cap.kind is kind and names.get(cap.scope, cap.name) == cap.name)


class ModelFailure(StrEnum):
    """Why a model gave no usable answer."""

    REFUSED = "refused"
    """The model would not answer."""
    MALFORMED = "malformed"
    """Its replies could not be used: cut, empty, not in form, or the same over and over."""
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    """The provider would not take the request: key, model name, context length."""
    PAUSED = "paused"
    """No model was asked: a person paused the run."""


class ModelFailed(Exception):
    """No model of the list gave a usable answer."""

    def __init__(self, failure: ModelFailure, reason: str) -> None:
        super().__init__(failure, reason)
        self.failure = failure
        self.reason = reason

    def __str__(self) -> str:
        return f"model {self.failure}: {self.reason}"


class PhaseSkipped(Exception):
    """A person had the phase left out while it was at work."""


class RunStopped(Exception):
    """A person, or an event on GitHub, ended the run while it was working."""
