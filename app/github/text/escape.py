"""Making foreign text (from people, models, logs) safe in Autopack's Markdown.

Safe means: it notifies no one, closes and cross-references no issue, forges no marker, hides nothing, skips no CI and
breaks out of no table, quote or fence. GitHub finds mentions and references in the rendered text, where a backslash is
gone; so these are broken with a zero-width space. That works in code as well, so no parsing of Markdown can be fooled.
"""

import re

BREAK = "\u200b"

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters, what has no width, what turns the direction of text, tags, lone surrogates."""
_MENTION = re.compile(r"@(?=[\w-])")
_REFERENCE = re.compile(r"(#|\bGH-)(?=\d)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?=#?[A-Za-z0-9]{1,40};)")
"""GitHub finds mentions and references in `&commat;octocat` and `&num;1` too: https://github.com/github/cmark-gfm/issues/181"""
_URL = re.compile(r"(https?:)(?=//\S*/(?:issues|pull|discussions|commit)/)", re.IGNORECASE)
_KEYWORD = re.compile(
    r"\b(c|f|r)(?=(?:lose[sd]?|ix(?:es|ed)?|esolve[sd]?)\b\s*+(?::\s*+)?\S{0,300}?(?:#|GH-|://))", re.IGNORECASE
)
_SKIP_CI = re.compile(r"\[(skip|ci|no|actions)(?=[ -](?:ci|skip|actions)\])|\b(skip)(?=-checks:)", re.IGNORECASE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"\](?=[(:\[])")
_IMAGE = re.compile(r"!(?=\[)")
_BACKTICKS = re.compile(r"`+")
_COMMAND = re.compile(r"`(/autopack(?: [\w.-]+)*|[a-z_]+(?:\.[a-z_]+)*: [0-9.]+)`")
_MARKER_KEY = re.compile(r"[^A-Za-z0-9._:/-]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;"}
_SPECIAL = re.compile(r"[&<>|\\`*_{}\[\]()#+!~$=-]")


def marker(key: str) -> str:
    """The hidden mark by which one of Autopack's own texts is found. A key is letters, digits and `._:/-`."""
    return f"<!-- autopack:{_MARKER_KEY.sub('_', key)} -->"


def has_marker(text: str, key: str) -> bool:
    """Whether `text` ends with the mark. Anywhere else a mark is a quotation."""
    return text.rstrip().endswith(marker(key))


def with_marker(text: str, key: str) -> str:
    """`text` with the mark at its end, once."""
    return text if has_marker(text, key) else f"{text.rstrip()}\n\n{marker(key)}"


def plain(text: str, limit: int = 20_000) -> str:
    """Foreign text where no Markdown is read, or where it may stay: nothing in it acts. At most `limit` characters."""
    text = shorten(_HIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n")), limit)
    text = _ENTITY.sub(f"&{BREAK}", text)
    text = _KEYWORD.sub(rf"\1{BREAK}", text)
    text = _URL.sub(rf"\1{BREAK}", text)
    text = _REFERENCE.sub(rf"\1{BREAK}", text)
    text = _MENTION.sub(f"@{BREAK}", text)
    return _SKIP_CI.sub(lambda match: f"{match[0]}{BREAK}", text)


def inline(text: str, limit: int = 200) -> str:
    """Foreign text as part of a line, list item or table cell: shown as it is, on one line, with no Markdown in it.

    `limit` bounds what is shown; the Markdown has at most twice as many characters.
    """
    one_line = plain(" ".join(_HIDDEN.sub("", text).split()), limit)
    while len(escaped := _SPECIAL.sub(_escaped, one_line)) > 2 * limit:
        one_line = shorten(one_line, len(one_line) * 2 // 3)
    return escaped


def _escaped(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0], f"\\{match[0]}")


def code(text: str, limit: int = 200) -> str:
    """Foreign text as inline code; safe in table cells too. A hyphen in its place where there is none."""
    one_line = shorten(" ".join(_HIDDEN.sub("", text).split()), limit)
    if not one_line:
        return "-"
    if re.search(r"[`|\\]|<!--", one_line):
        return f"<code>{inline(one_line, limit)}</code>"
    return f"`{one_line}`"


def advice(text: str, limit: int = 1_000) -> str:
    """Like `inline`, but commands (`/autopack run --tokens 2M`) and settings (`issue.tokens: 900`) stay code."""
    parts = _COMMAND.split(shorten(text, limit))
    return "".join(f"`{part}`" if index % 2 else _keep_line_ends(part, limit) for index, part in enumerate(parts))


def _keep_line_ends(text: str, limit: int) -> str:
    start, end = " " * (text[:1].isspace()), " " * (text[-1:].isspace())
    return f"{start}{inline(text, limit)}{end}" if text.strip() else start


def quote(text: str, limit: int = 4_000) -> str:
    """Foreign Markdown as a block quote: code and lists are shown as such, HTML, links and images are not.

    The quote contains it: an open fence or list in it ends with it.
    """
    text = _TAG.sub(f"<{BREAK}", plain(text, limit))
    text = _IMAGE.sub(f"!{BREAK}", _LINK.sub(f"]{BREAK}", text))
    return "\n".join(f"> {line}".rstrip() for line in text.strip().split("\n"))


def fence(text: str, info: str = "", limit: int = 8_000) -> str:
    """Foreign text as a code block whose fence is longer than any in it. The end is kept when it is too long."""
    text = _HIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
    text = (f"…{text[-limit:]}" if len(text) > limit else text).replace("<!--", f"<{BREAK}!--")
    mark = fence_for(text)
    return f"{mark}{info}\n{text}\n{mark}"


def fence_for(text: str) -> str:
    """Backticks enough to fence `text`."""
    return "`" * max(3, *(len(run) + 1 for run in _BACKTICKS.findall(text)), 0)


def shorten(text: str, limit: int) -> str:
    """`text`, its end replaced by an ellipsis where it is longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
