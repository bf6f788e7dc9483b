"""Reading commands: from Markdown's text only, never from code, quotes, links or HTML comments."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.domain.ruleset import RunScope, SafetyProfile
from app.domain.strategy import RunOptions
from app.github.client import Repo
from app.github.events import Account, IssueCommentEvent

NAMES = ("run", "plan", "status", "cancel", "help")
OPTIONS = ("--safety", "--scope", "--tokens", "--model")
_PREFIX = "/autopack"
_TOKENS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM]?)")
_FACTOR = {"": 1, "k": 1_000, "m": 1_000_000}
_HTML_QUOTE = re.compile(r"<(/?)(?:a|blockquote|code|del|kbd|pre|q|s|samp)\b", re.IGNORECASE)
"""HTML whose text is code, a link, a quote or struck out."""
_MODEL = re.compile(r"[a-z]+:[A-Za-z0-9._/-]{1,100}")


@dataclass(frozen=True)
class Command:
    name: str
    options: RunOptions = field(default_factory=RunOptions)


@dataclass(frozen=True)
class CommandRequest:
    """Who asked for what, and where; their permission has been checked."""

    event: IssueCommentEvent
    repo: Repo
    who: Account
    command: Command


@dataclass(frozen=True)
class UnknownCommand:
    """Something after `/autopack` that is not understood: what, and what may have been meant.

    `problem` says what is wrong with the options of a command that there is; empty, the command is not known.
    """

    word: str
    problem: str = ""
    nearest: str | None = None


class _BadOption(ValueError):
    """The text says what is wrong with an option."""


def parse_comment(body: str) -> Command | UnknownCommand | None:
    """The first command of a comment; None when there is none."""
    line = next((one for one in _plain_lines(body) if one.lower().split()[:1] == [_PREFIX]), None)
    if line is None:
        return None
    words = line.split()[1:]
    if not words:
        return Command("help")
    name = words[0].lower()
    if name not in NAMES:
        return UnknownCommand(words[0], nearest=_nearest(name, NAMES))
    try:
        return Command(name, _options(words[1:]))
    except _BadOption as error:
        return UnknownCommand(" ".join(words), str(error))


def _plain_lines(body: str) -> Iterator[str]:
    """The lines of top-level paragraphs and lists that are plain text from their first word on."""
    depth = 0
    for token in MarkdownIt("commonmark").parse(body):
        if token.type in {"blockquote_open", "blockquote_close"}:
            depth += token.nesting
        if token.type == "inline" and depth == 0:
            yield from _inline_lines(token.children or [])


def _inline_lines(children: list[Token]) -> Iterator[str]:
    line, in_link, in_html = "", 0, 0
    for child in children:
        if child.type in {"link_open", "link_close"}:
            in_link += child.nesting
        elif child.type == "html_inline":
            tag = _HTML_QUOTE.match(child.content)
            in_html = max(0, in_html + (0 if tag is None else -1 if tag[1] else 1))
        elif child.type in {"softbreak", "hardbreak"}:
            yield line.strip()
            line = ""
        elif child.type == "text" and not in_link and not in_html:
            line += child.content
        elif child.type == "code_inline" and not line.strip():
            line += "`"  # a line that begins with code is not a command
    yield line.strip()


def _options(words: list[str]) -> RunOptions:
    values: dict[str, object] = {}
    typed = [word.replace("\u2014", "--") for word in words]  # what some keyboards make of two dashes
    rest = [part for word in typed for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        option = rest.pop(0)
        if option not in OPTIONS:
            hint = _nearest(option, OPTIONS)
            raise _BadOption(f"{option} is not an option" + (f"; did you mean {hint}?" if hint else ""))
        if not rest:
            raise _BadOption(f"{option} needs a value")
        values[option.removeprefix("--")] = _value(option, rest.pop(0))
    return RunOptions.model_validate(values)


def _value(option: str, value: str) -> object:
    if option == "--tokens":
        match = _TOKENS.fullmatch(value)
        tokens = int(float(match[1]) * _FACTOR[match[2].lower()]) if match else 0
        if not 1_000 <= tokens <= 1_000_000_000:
            raise _BadOption(f"--tokens {value}: give a number from 1k on, such as 500k or 2M")
        return tokens
    if option == "--model":
        if not _MODEL.fullmatch(value):
            raise _BadOption(f"--model {value}: give vendor:name")
        return value
    allowed = tuple(one.value for one in (SafetyProfile if option == "--safety" else RunScope))
    chosen = value.replace("-", "_")
    if option == "--safety" and chosen == "critical":
        return "safety_critical"
    if chosen in allowed:
        return chosen
    raise _BadOption(f"{option} {value}: give one of {', '.join(allowed)}")


def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), None)
