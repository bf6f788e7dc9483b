"""The commands that steer runs: one registry for comments, the help, the REST API, the command line and the docs."""

import re
from collections.abc import Mapping
from enum import StrEnum

from app.domain.frozen import Frozen
from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.strategy import RunOptions


class CommandName(StrEnum):
    """The word after `/autopack`."""

    RUN = "run"
    PLAN = "plan"
    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    SKIP = "skip"
    FIX = "fix"
    PROMOTE = "promote"
    HELP = "help"


class Argument(StrEnum):
    """What follows a command's name."""

    NONE = ""
    MAYBE_PHASE = "[phase]"
    PHASE = "<phase>"
    TEXT = "<text>"


class CommandSpec(Frozen):
    """A command: what it means, what it takes, and where it can be given besides in comments."""

    meaning: str
    argument: Argument = Argument.NONE
    options: bool = False
    """Whether it takes the options of a run."""
    of_run: bool = False
    """Whether it is also `POST /runs/{run_id}/…`, and on the command line."""


REGISTRY: Mapping[CommandName, CommandSpec] = {
    CommandName.RUN: CommandSpec(
        meaning="start a run for this issue; "
        "`--safety critical`, `--scope single_tier`, `--tokens 2M`, `--model vendor:name`",
        options=True,
    ),
    CommandName.PLAN: CommandSpec(meaning="post the plan and build nothing; takes the same options", options=True),
    CommandName.STATUS: CommandSpec(meaning="show the run's status"),
    CommandName.PAUSE: CommandSpec(meaning="send no further model request until `resume`", of_run=True),
    CommandName.RESUME: CommandSpec(meaning="go on after `pause`", of_run=True),
    CommandName.CANCEL: CommandSpec(meaning="end the run; its branch stays", of_run=True),
    CommandName.RETRY: CommandSpec(
        meaning="after a run that did not end well: do what is not complete, on the same branch; "
        "takes the options of `run`",
        argument=Argument.MAYBE_PHASE,
        options=True,
        of_run=True,
    ),
    CommandName.SKIP: CommandSpec(
        meaning="leave the phase out; what it has pushed is taken back", argument=Argument.PHASE, of_run=True
    ),
    CommandName.FIX: CommandSpec(
        meaning="have this change made, as a phase of its own; also after the run's end",
        argument=Argument.TEXT,
        of_run=True,
    ),
    CommandName.PROMOTE: CommandSpec(
        meaning="look again whether the run may be promoted, and say what prevents it; merging is yours", of_run=True
    ),
    CommandName.HELP: CommandSpec(meaning="this list"),
}
OPTIONS = ("--safety", "--scope", "--tokens", "--model")
MIN_TOKENS, MAX_TOKENS = 1_000, 1_000_000_000
_TOKENS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM]?)", re.ASCII)
_FACTOR = {"": 1, "k": 1_000, "m": 1_000_000}
MODEL_PATTERN = r"^[a-z]{1,20}:[A-Za-z0-9._/-]{1,100}$"
_MODEL = re.compile(MODEL_PATTERN)


BOXES: Mapping[CommandName, str] = {
    CommandName.PAUSE: "Pause: no further model request",
    CommandName.RESUME: "Resume",
    CommandName.CANCEL: "Cancel the run",
    CommandName.RETRY: "Retry what is not complete, on the same branch",
}
"""Commands that the status comment has as boxes to tick, with their words."""
_TICKED = re.compile(r"^[-*] \[[xX]\] .*<!-- autopack:do:([a-z]+) -->\s*$", re.MULTILINE)


class BadOption(ValueError):
    """An option or argument that does not fit; the text says why and what fits."""


def usage(name: CommandName) -> str:
    """The command as it is typed in a comment."""
    return f"/autopack {name} {REGISTRY[name].argument}".strip()


def box(name: CommandName) -> str:
    """The command's box in a status comment, as Markdown."""
    return f"- [ ] {BOXES[name]} <!-- autopack:do:{name} -->"


def ticked(body: str) -> tuple[CommandName, ...]:
    """The commands whose boxes are ticked in this status comment."""
    return tuple(CommandName(name) for name in _TICKED.findall(body) if name in BOXES)


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
