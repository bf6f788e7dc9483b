"""The one way to show a program's text to a model: as a terminal shows it, cut once, with a note of the cut."""

import codecs
import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colors, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links (OSC), device strings
    r"|\x1b[ -/]*[0-~]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BACKSPACES = re.compile(r"[^\n\x08]\x08")
_MAX_BACKSPACES = 20


def clean(text: str) -> str:
    """Text as a person saw it at the end: no escapes, of a redrawn line its last state, nothing that cannot be seen."""
    text = _ESCAPES.sub("", text)
    for _ in range(_MAX_BACKSPACES):
        if "\b" not in text:
            break
        text = _BACKSPACES.sub("", text)
    if "\r" in text:
        text = "\n".join(map(_last_state, text.split("\n")))
    return _CONTROL.sub("", text)


def _last_state(line: str) -> str:
    """What is left of a line that was written over, `\\r` by `\\r`."""
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")


def cut_line(line: str, longest: int, around: int = 0) -> str:
    """At most some `longest` characters of a line, those around index `around` among them, with a note of the cut."""
    if len(line) <= longest:
        return line
    start = max(0, min(around - longest // 4, len(line) - longest))
    before = f"[{start:,} characters] … " if start else ""
    left = len(line) - start - longest
    return f"{before}{line[start : start + longest]}" + (f" … [{left:,} characters]" if left > 0 else "")


class HeadAndTail:
    """Collects the text of a long output in bounded memory: its first and its last characters, `limit` in all."""

    _MAX_OPEN_LINE = 20_000

    def __init__(self, limit: int) -> None:
        self._head_limit: int = limit // 3
        self._tail_limit: int = limit - self._head_limit
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open: str = ""
        self._head: str = ""
        self._tail: str = ""
        self._omitted: int = 0

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Add bytes; a character or a line may be split between two calls."""
        text = self._open + self._decoder.decode(data, final)
        whole, newline, self._open = text.rpartition("\n")
        self._keep(clean(whole) + newline if newline else "")
        if final or len(self._open) > self._MAX_OPEN_LINE:
            redrawn, _, last = self._open.rpartition("\r")
            shown = last if last.strip() else redrawn.rpartition("\r")[2]
            self._keep(clean(shown))
            self._open = ""

    def _keep(self, text: str) -> None:
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head, text = self._head + text[:room], text[room:]
        tail = self._tail + text
        cut = max(0, len(tail) - self._tail_limit)
        self._omitted += cut
        self._tail = tail[cut:]

    def text(self) -> str:
        """What was kept, with a line that says how much was left out and how to see it."""
        if not self._omitted:
            return self._head + self._tail
        note = f"[… {self._omitted:,} characters left out here; write to a file and read parts of it to see them …]"
        return f"{self._head}\n{note}\n{self._tail}"
