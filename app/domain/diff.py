"""Unified diffs as files, hunks and numbered lines, and which lines a pull request review may comment on.

Written here because a diff is untrusted and its paths decide policy: `unidiff` 1.0.1 names the wrong file for a rename
to a path with ` b/` or spaces in it, leaves git's quoted paths undecoded, and then refuses the whole diff.
"""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from app.domain.patch import ChangeKind

Side = Literal["LEFT", "RIGHT"]
Tag = Literal["+", "-", " "]

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@.*", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_PREFIXES = frozenset("abciow12")
_SUBMODULE = re.compile(r"Submodule (.{1,1000}) [0-9a-f]{7,40}(?:\.{2,3}[0-9a-f]{7,40})?[ :]")
"""As `diff.submodule=log` writes a change of one: no file of it can be taken from that."""
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DEV_NULL = "/dev/null"


class DiffSyntaxError(ValueError):
    """The text is not a unified diff; the message names the line (1-based) of the diff."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a hunk: `+` has only a new number, `-` only an old one, ` ` both (1-based). `text` has no line end.

    `newline` is False for the last line of a file that ends without one.
    """

    tag: Tag
    old_no: int | None
    new_no: int | None
    text: str
    newline: bool = True


@dataclass(frozen=True, slots=True)
class Hunk:
    """A run of changed lines with their context; starts are 1-based (0 on the side that has no lines)."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[Line, ...]

    @property
    def header(self) -> str:
        return f"@@ -{self.old_start},{self.old_lines} +{self.new_start},{self.new_lines} @@"

    def numbers(self, side: Side) -> frozenset[int]:
        """The lines that a review comment on `side` may name: removed ones LEFT, added and unchanged ones RIGHT."""
        if side == "LEFT":
            return frozenset(line.old_no for line in self.lines if line.tag == "-" and line.old_no)
        return frozenset(line.new_no for line in self.lines if line.new_no)


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One file of a diff. `old_path` is set for a rename or copy only; modes are git's, None where not stated."""

    path: str
    old_path: str | None
    kind: ChangeKind
    binary: bool
    hunks: tuple[Hunk, ...]
    old_mode: str | None = None
    new_mode: str | None = None

    @property
    def added(self) -> int:
        return sum(line.tag == "+" for hunk in self.hunks for line in hunk.lines)

    @property
    def removed(self) -> int:
        return sum(line.tag == "-" for hunk in self.hunks for line in hunk.lines)

    def commentable(self, side: Side, line: int, start_line: int | None = None) -> bool:
        """Whether GitHub accepts a review comment on `line`, or on `start_line` to `line`, both within one hunk."""
        first = line if start_line is None else start_line
        return first <= line and any({first, line} <= hunk.numbers(side) for hunk in self.hunks)


def old_line(file: FileDiff, number: int) -> int | None:
    """The number that line `number` of the new file has in the old one; None where the diff added it. Both 1-based."""
    moved = 0
    for hunk in file.hunks:
        if number < hunk.new_start:
            break
        for line in hunk.lines:
            if line.new_no == number:
                return line.old_no
        moved = hunk.old_start + hunk.old_lines - hunk.new_start - hunk.new_lines
    return number + moved


def parse(diff: str) -> list[FileDiff]:
    """Parse a diff as git or `diff -u` writes it; text around the files is skipped. Raises DiffSyntaxError."""
    reader = _Reader(diff)
    return list(_files(reader))


def hunk_lines(diff: str) -> dict[int, Line]:
    """The lines of all hunks by their index (0-based) among the lines of the diff, as far as it can be parsed."""
    reader = _Reader(diff)
    with suppress(DiffSyntaxError):
        deque(_files(reader), maxlen=0)
    return reader.hunk_lines


class _Reader:
    """The lines of a diff with a position. Split at `\\n` only: other line separators are content."""

    def __init__(self, text: str) -> None:
        self._lines: list[str] = text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._position: int = 0
        self.hunk_lines: dict[int, Line] = {}

    @property
    def line(self) -> str | None:
        return self._lines[self._position] if self._position < len(self._lines) else None

    def starts(self, prefix: str) -> bool:
        return self.line is not None and self.line.startswith(prefix)

    def next_starts(self, prefix: str) -> bool:
        position = self._position + 1
        return position < len(self._lines) and self._lines[position].startswith(prefix)

    def take(self) -> str:
        line = self._lines[self._position]
        self._position += 1
        return line

    def keep(self, line: Line) -> Line:
        """Remember what the line here is in its hunk."""
        self.hunk_lines[self._position] = line
        return line

    def error(self, expected: str) -> DiffSyntaxError:
        return DiffSyntaxError(f"line {self._position + 1}: {expected}")


def _files(reader: _Reader) -> Iterator[FileDiff]:
    while reader.line is not None:
        if reader.starts("diff --git "):
            yield _git_file(reader)
        elif reader.starts("--- ") and reader.next_starts("+++ "):
            old, new = _names(reader)
            yield _file(reader, {"old": old, "new": new}, _some_hunks(reader), binary=False)
        elif reader.starts("@@ -"):
            raise reader.error("a hunk without --- and +++ lines before it")
        elif reader.starts("Submodule ") and (submodule := _SUBMODULE.match(reader.line)):
            raise reader.error(f"{submodule[1]} is a submodule; patches may only change files")
        else:
            reader.take()


def _git_file(reader: _Reader) -> FileDiff:
    headers = _same_names(reader.take().removeprefix("diff --git ").removesuffix("\r"))
    binary = False
    while reader.line is not None and not reader.starts("diff --git "):
        if reader.starts("--- ") and reader.next_starts("+++ "):
            headers["old"], headers["new"] = _names(reader)
            return _file(reader, headers, _some_hunks(reader), binary=False)
        if reader.starts("@@ -"):
            if "old" not in headers:
                raise reader.error("a hunk without --- and +++ lines before it")
            return _file(reader, headers, _hunks(reader), binary=False)
        if reader.starts("Binary files ") or reader.starts("GIT binary patch"):
            binary = True
            reader.take()
        elif not _extended_header(reader.take().removesuffix("\r"), headers) and not binary:
            break
    return _file(reader, headers, (), binary=binary)


def _extended_header(line: str, headers: dict[str, str]) -> bool:
    """Store one of git's header lines; False for a line that is none."""
    for prefix in ("new file mode", "deleted file mode", "old mode", "new mode"):
        if line.startswith(prefix + " "):
            headers[prefix] = line.removeprefix(prefix + " ")
            return True
    for prefix in ("rename from", "rename to", "copy from", "copy to"):
        if line.startswith(prefix + " "):
            headers[prefix] = _unquoted(line.removeprefix(prefix + " "))
            return True
    if line.startswith("index "):
        words = line.split(" ")
        if len(words) == 3:
            headers["index mode"] = words[2]
        return True
    return line.startswith(("similarity index ", "dissimilarity index "))


def _file(reader: _Reader, headers: dict[str, str], hunks: tuple[Hunk, ...], *, binary: bool) -> FileDiff:
    source = headers.get("rename from") or headers.get("copy from") or _stripped(headers.get("old", ""))
    target = headers.get("rename to") or headers.get("copy to") or _stripped(headers.get("new", ""))
    if not source or not target or source == target == _DEV_NULL:
        raise reader.error("the file before this line has no name")
    kind = ChangeKind.MODIFIED
    if source == _DEV_NULL or "new file mode" in headers or "copy to" in headers:
        kind = ChangeKind.ADDED
    elif target == _DEV_NULL or "deleted file mode" in headers:
        kind = ChangeKind.DELETED
    path = source if target == _DEV_NULL else target
    both = headers.get("index mode")
    return FileDiff(
        path=path,
        old_path=source if source not in (path, _DEV_NULL) else None,
        kind=kind,
        binary=binary,
        hunks=hunks,
        old_mode=headers.get("deleted file mode") or headers.get("old mode") or both,
        new_mode=headers.get("new file mode") or headers.get("new mode") or both,
    )


def _names(reader: _Reader) -> tuple[str, str]:
    return _name(reader.take().removeprefix("--- ")), _name(reader.take().removeprefix("+++ "))


def _name(text: str) -> str:
    """A name as after `--- `: quoted, or up to a tab before which git puts nothing and `diff` a date after."""
    quoted = _QUOTED.match(text)
    return _unquoted(quoted[0]) if quoted else text.partition("\t")[0].removesuffix("\r")


def _same_names(rest: str) -> dict[str, str]:
    """The names of a `diff --git` line, where both are the same. Others follow in headers of their own."""
    first = _QUOTED.match(rest)
    second = _QUOTED.match(rest, first.end() + 1) if first else None
    if first and second:
        old, new = _unquoted(first[0]), _unquoted(second[0])
    else:
        old, new = rest[: len(rest) // 2], rest[len(rest) // 2 + 1 :]
    return {"old": old, "new": new} if _stripped(old) == _stripped(new) else {}


def _stripped(name: str) -> str:
    """Without git's prefix: `a/` and `b/`, or a mnemonic one (diff.mnemonicPrefix). `git apply` takes off any."""
    return name[2:] if name[:1] in _PREFIXES and name[1:2] == "/" else name


def _unquoted(text: str) -> str:
    """Decode git's C-style quotes, in which bytes outside ASCII are octal."""
    if not (len(text) > 1 and text.startswith('"') and text.endswith('"')):
        return text

    def character(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8)]) if len(code) == 3 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(character, text[1:-1].encode(errors="surrogatepass")).decode(errors="replace")


def _hunks(reader: _Reader) -> tuple[Hunk, ...]:
    hunks: list[Hunk] = []
    while reader.starts("@@ -"):
        hunks.append(_hunk(reader))
    return tuple(hunks)


def _some_hunks(reader: _Reader) -> tuple[Hunk, ...]:
    """Hunks as they follow --- and +++ lines, which are written for their sake only."""
    hunks = _hunks(reader)
    if not hunks:
        raise reader.error("expected a hunk (@@ -1,2 +1,2 @@)")
    return hunks


def _hunk(reader: _Reader) -> Hunk:
    match = _HUNK.fullmatch(reader.line or "")
    if match is None:
        raise reader.error("a hunk's first line must look like @@ -1,2 +1,2 @@")
    reader.take()
    old_start, old_lines, new_start, new_lines = (1 if part is None else int(part) for part in match.groups())
    lines = _body(reader, old_start, old_lines, new_start, new_lines)
    return Hunk(old_start, old_lines, new_start, new_lines, lines)


def _body(reader: _Reader, old_no: int, old_left: int, new_no: int, new_left: int) -> tuple[Line, ...]:
    """Read as many lines as the hunk's first line promised; only the counts tell a line `--- x` from a file header."""
    lines: list[Line] = []
    while old_left or new_left or reader.starts("\\ "):
        if reader.line is None:
            raise reader.error(f"the hunk ends early: {old_left} old and {new_left} new lines are missing")
        # An empty line is an empty context line whose blank was lost on the way (mail, editors, models).
        tag, text = (reader.line[0], reader.line[1:]) if reader.line else (" ", "")
        if tag == "\\" and lines:
            last = lines[-1]
            lines[-1] = Line(last.tag, last.old_no, last.new_no, last.text, newline=False)
        elif tag == "+" and new_left:
            lines.append(reader.keep(Line("+", None, new_no, text)))
        elif tag == "-" and old_left:
            lines.append(reader.keep(Line("-", old_no, None, text)))
        elif tag == " " and old_left and new_left:
            lines.append(reader.keep(Line(" ", old_no, new_no, text)))
        else:
            raise reader.error(f"expected {old_left} old and {new_left} new lines more in this hunk")
        old_no, old_left = (old_no + 1, old_left - 1) if tag in "- " else (old_no, old_left)
        new_no, new_left = (new_no + 1, new_left - 1) if tag in "+ " else (new_no, new_left)
        reader.take()
    return tuple(lines)
