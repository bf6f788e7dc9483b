"""What a recording holds: for each role, phase and attempt, the answers of one conversation in order."""

import contextlib
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator

ANY = "*"
"""The entry for every repository, phase or attempt that has none of its own."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(_Strict):
    name: str
    args: dict[str, Any] = Field(default_factory=dict[str, Any])


class TokenUsage(_Strict):
    """Tokens to report; `cached` is part of `input`."""

    input: int
    cached: int = 0
    output: int


class Oddity(_Strict):
    """How a reply differs from a sound one: places of its body, such as `choices.0.message`, or another body."""

    set: dict[str, Any] = Field(default_factory=dict[str, Any])
    drop: list[str] = Field(default_factory=list[str])
    body: str | None = None
    content_type: str = "application/json"

    def distort(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with each place changed, where the body has it."""
        distorted = copy.deepcopy(body)
        for place, value in self.set.items():
            _change(distorted, place.split("."), lambda holder, key, value=value: holder.__setitem__(key, value))
        for place in self.drop:
            _change(distorted, place.split("."), lambda holder, key: holder.pop(key))
        return distorted


def _change(body: Any, place: list[str], act: Callable[[Any, Any], object]) -> None:
    *way, last = [int(name) if name.isdigit() else name for name in place]
    with contextlib.suppress(KeyError, IndexError, TypeError):
        for name in way:
            body = body[name]
        act(body, last)


class Turn(_Strict):
    """One reply of the model: text, tool calls and a structured answer, or a failure in place of them."""

    text: str | None = None
    reasoning: str | None = None
    """Sealed thinking before the reply; only on the Responses wire, which wants it back in the next request."""
    thinks: int | None = Field(default=None, gt=0)
    """Tokens of thinking before the reply: with a limit that is not larger, there is no reply."""
    tool_calls: list[ToolCall] = Field(default_factory=list[ToolCall])
    answer: dict[str, Any] | None = None
    """Sent as a call of the output tool that the request offers."""
    usage: TokenUsage | None = None
    """Counted from the sizes of request and reply when absent."""

    status: int | None = Field(default=None, ge=400, le=599)
    """Fail with this HTTP status."""
    refusal: bool = False
    malformed: bool = False
    """Call the output tool with arguments that no schema accepts."""
    hang_seconds: float | None = Field(default=None, gt=0, le=600)
    """Wait so long before replying; nothing is sent."""
    thinks_seconds: float | None = Field(default=None, gt=0, le=60)
    """Think so long before replying: a stream sends its pings meanwhile, another reply nothing."""
    odd: Oddity | None = None
    """Send the reply distorted."""
    only_for: str | None = None
    """Vendor or model name that the failure is for; others get the rest of the turn."""
    times: int | None = Field(default=None, ge=1)
    """Fail only the first so many requests for this turn."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.fails or self.tool_calls or self.answer is not None or self.text is not None):
            raise ValueError("a turn needs text, tool_calls, an answer or a failure")
        return self

    @property
    def fails(self) -> bool:
        failures = (self.status, self.hang_seconds, self.thinks_seconds, self.odd)
        return self.refusal or self.malformed or any(failure is not None for failure in failures)

    def without_failure(self) -> "Turn":
        """The reply to a request that the failure is not for. Raises `ValueError` if the turn holds nothing else."""
        failures = ("status", "refusal", "malformed", "hang_seconds", "thinks_seconds", "odd", "only_for", "times")
        return Turn(**{name: value for name, value in self if name not in failures})


def _with_text_keys(value: object) -> object:
    """YAML reads `1:` as a number; attempts are looked up by text."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


Attempts = Annotated[dict[str, list[Turn]], BeforeValidator(_with_text_keys)]
Phases = Annotated[dict[str, Attempts], BeforeValidator(_with_text_keys)]


class Recording(_Strict):
    """All recorded answers for one repository. The Builder's and Auditor's are by phase id, then attempt or round."""

    planner: Attempts = Field(default_factory=dict[str, list[Turn]])
    builder: Phases = Field(default_factory=dict[str, dict[str, list[Turn]]])
    auditor: Phases = Field(default_factory=dict[str, dict[str, list[Turn]]])

    def find(self, role: str, phase: str | None, attempt: int, turn: int) -> Turn:
        """The reply to a conversation that already holds `turn` replies. Raises `KeyError` naming what is missing."""
        if role == "planner":
            attempts, where = self.planner, "planner"
        else:
            phases = self.builder if role == "builder" else self.auditor
            where = f"{role}.{phase}"
            found = phases.get(phase or "", phases.get(ANY))
            if found is None:
                raise KeyError(where)
            attempts = found
        turns = attempts.get(str(attempt), attempts.get(ANY))
        if turns is None:
            raise KeyError(f"{where}.{attempt}")
        if turn >= len(turns):
            raise KeyError(f"{where}.{attempt}[{turn}]")
        return turns[turn]


_RECORDINGS: TypeAdapter[dict[str, Recording]] = TypeAdapter(dict[str, Recording])


def load_recordings(path: Path) -> dict[str, Recording]:
    """Read recordings by repository full name (or `*`). Raises `OSError`, `yaml.YAMLError` or `ValidationError`."""
    return _RECORDINGS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
