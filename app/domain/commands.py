"""The slash commands and their options: one list for the parser, the help, the status and the command line."""

import re
from collections.abc import Mapping
from enum import StrEnum

from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.strategy import RunOptions


class CommandName(StrEnum):
    """The word after `/autopack`."""

    RUN = "run"
    PLAN = "plan"
    STATUS = "status"
    CANCEL = "cancel"
    PROMOTE = "promote"
    HELP = "help"


MEANINGS: Mapping[CommandName, str] = {
    CommandName.RUN: (
        "start a run for this issue; `--safety critical`, `--scope single_tier`, `--tokens 2M`, `--model NAME`"
    ),
    CommandName.PLAN: "post the plan and build nothing",
    CommandName.STATUS: "show the run's status",
    CommandName.CANCEL: "end the run; its branch stays",
    CommandName.PROMOTE: "look again whether the run may be promoted, and say what prevents it; merging is yours",
    CommandName.HELP: "this list",
}
OPTIONS = ("--safety", "--scope", "--tokens", "--model")
MIN_TOKENS, MAX_TOKENS = 1_000, 1_000_000_000
_TOKENS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM]?)", re.ASCII)
_FACTOR = {"": 1, "k": 1_000, "m": 1_000_000}
_MODEL = re.compile(r"[a-z]+:[A-Za-z0-9._/-]{1,100}")


class BadOption(ValueError):
    """An option that does not fit; the text says why and what fits."""


def parse_options(values: Mapping[str, str]) -> RunOptions:
    """Options as typed in a comment or on the command line, by their names with dashes. Raises `BadOption`."""
    return RunOptions.model_validate({name.removeprefix("--"): _value(name, text) for name, text in values.items()})


def _value(option: str, text: str) -> object:
    if option == "--tokens":
        return _parse_tokens(text)
    if option == "--model":
        if not _MODEL.fullmatch(text):
            raise BadOption(f"--model {text}: give vendor:name")
        return text
    allowed = tuple(SafetyProfile if option == "--safety" else RunScope)
    chosen = text.replace("-", "_")
    if option == "--safety" and chosen == "critical":
        return SafetyProfile.SAFETY_CRITICAL
    if chosen in allowed:
        return chosen
    raise BadOption(f"{option} {text}: give one of {', '.join(allowed)}")


def _parse_tokens(text: str) -> int:
    match = _TOKENS.fullmatch(text)
    count = int(float(match[1]) * _FACTOR[match[2].lower()]) if match else 0
    if not MIN_TOKENS <= count <= MAX_TOKENS:
        raise BadOption(f"--tokens {text}: give a number from 1k to 1,000M, such as 500k or 2M")
    return count
