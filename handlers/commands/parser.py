"""Reading commands: from Markdown's text only, never from code, quotes, links or HTML comments."""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.domain.commands import OPTIONS, REGISTRY, Argument, BadOption, CommandName, parse_options
from app.domain.plan import is_identifier
from app.domain.strategy import RunOptions
from app.github.client import Repo
from app.github.events import Account, IssueCommentEvent

_PREFIX = "/autopack"
MAX_BODY = 10_500
"""Characters of a comment in which a command is looked for: reading Markdown takes time with the square of brackets."""
MAX_NESTING = 10
"""Levels of brackets, quotes and lists that are read; time grows with it."""
MAX_TEXT = 10_000
"""Characters of a command's text that are read."""
_HTML_QUOTE = re.compile(r"<(/?)(?:a|blockquote|code|del|kbd|pre|q|s|samp|strike)\b", re.IGNORECASE)
"""HTML whose text is code, a link, a quote or struck out."""
_MAIL_TAIL = re.compile(
    r"^(?:-{2,} ?(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine|Mensaje original)"
    r"|_{20,} *$|(?:On|Am|Le|El|Il|Op) .{1,300}(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef).{0,100}:[ \t]*$"
    r"|(?:From|Von|De|Da|Van): .{1,300}\n(?:Sent|Gesendet|Envoyé|Enviado|Inviato|Verzonden|Date|To): )",
    re.MULTILINE,
)
"""Where a mail program repeats what was answered. GitHub folds that away and delivers it all the same
(dependabot/feedback#277, nextcloud/mail#13402)."""


@dataclass(frozen=True)
class Command:
    name: CommandName
    options: RunOptions = field(default_factory=RunOptions)
    argument: str = ""
    """The phase, or the text, that it is about."""


@dataclass(frozen=True)
class CommandRequest:
    """A command, its sender and its place; the sender's permission has been checked."""

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


def parse_comment(body: str, mention: str = "") -> Command | UnknownCommand | None:
    """The first command of a comment; None when there is none. `mention` is the App's name, as in `@autopack run`."""
    return next(iter(parse_comments(body, mention)), None)


def parse_comments(body: str, mention: str = "") -> list[Command | UnknownCommand]:
    """The commands of a comment in order. Only what may hold one is read as Markdown, and no more than `MAX_BODY`."""
    if not _may_hold_command(body, mention):
        return []
    body = body[:MAX_BODY]
    above_mail = _MAIL_TAIL.split(body.replace("\r\n", "\n").replace("\u00a0", " "), maxsplit=1)[0]
    prefixes = {_PREFIX, f"@{mention}".lower()} - {"@"}
    calls: list[tuple[list[str], int]] = []
    for line, number in _plain_lines(above_mail):
        words = "".join(char for char in line if unicodedata.category(char) != "Cf").split()
        if words and words[0].lower() in prefixes:
            calls.append((words[1:], number))
    written = above_mail.split("\n")
    ends = [*[number for _, number in calls], len(written)][1:]
    return [_command(words, "\n".join(written[number:end])) for (words, number), end in zip(calls, ends, strict=True)]


def _may_hold_command(body: str, mention: str) -> bool:
    """Whether any word of the comment can call Autopack, also where letters are written as entities."""
    lowered = "".join(char for char in body.lower() if unicodedata.category(char) != "Cf")
    return _PREFIX in lowered or "&" in lowered or bool(mention and f"@{mention}".lower() in lowered)


def _command(words: list[str], written: str) -> Command | UnknownCommand:
    """The command in these words; `written` is its line as typed, and all that follows it."""
    if not words:
        return Command(CommandName.HELP)
    name = words[0].lower()
    if name not in tuple(CommandName):
        return UnknownCommand(words[0], nearest=_nearest(name, tuple(CommandName)))
    try:
        return _known(CommandName(name), words[1:], written)
    except BadOption as error:
        return UnknownCommand(" ".join(words), str(error))


def _known(name: CommandName, words: list[str], written: str) -> Command:
    spec, argument = REGISTRY[name], ""
    if spec.argument is Argument.TEXT:
        argument = _after_name(name, written)
        if not argument:
            raise BadOption(f"{name} needs a text: say what to change")
        return Command(name, argument=argument)
    if spec.argument in {Argument.PHASE, Argument.MAYBE_PHASE} and words and not words[0].startswith(("-", "\u2014")):
        argument = words.pop(0)
        if not is_identifier(argument):
            raise BadOption(f"{argument} is not the name of a phase")
    if spec.argument is Argument.PHASE and not argument:
        raise BadOption(f"{name} needs the name of a phase, such as P2")
    if words and not spec.options:
        raise BadOption(f"{words[0]}: {name} takes no {'more than a phase' if argument else 'options'}")
    return Command(name, _options(words), argument)


def _after_name(name: CommandName, written: str) -> str:
    """What is written after the command's name, with the lines below it."""
    found = re.search(rf"\b{name}\b(.*)", written, re.IGNORECASE | re.DOTALL)
    return found[1].strip()[:MAX_TEXT] if found else ""


def _plain_lines(body: str) -> Iterator[tuple[str, int]]:
    """The lines of top-level paragraphs and lists that are plain text from their first word on, with their numbers."""
    depth = in_html = 0
    for token in MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).parse(body):
        if token.type in {"blockquote_open", "blockquote_close"}:
            depth += token.nesting
        if token.type == "html_block":  # a blank line ends the block, not the quote that it opens
            for tag in _HTML_QUOTE.finditer(token.content):
                in_html = max(0, in_html + (-1 if tag[1] else 1))
        if token.type == "inline" and depth == 0 and in_html == 0:
            first = token.map[0] if token.map else 0
            yield from ((line, first + number) for number, line in enumerate(_inline_lines(token.children or [])))


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
    values: dict[str, str] = {}
    typed = [word.replace("\u2014", "--") for word in words]  # what some keyboards make of two dashes
    rest = [part for word in typed for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while rest:
        option = rest.pop(0)
        if option not in OPTIONS:
            hint = _nearest(option, OPTIONS)
            raise BadOption(f"{option} is not an option" + (f"; did you mean {hint}?" if hint else ""))
        if not rest:
            raise BadOption(f"{option} needs a value")
        values[option] = rest.pop(0)
    return parse_options(values)


def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.5)), None)
