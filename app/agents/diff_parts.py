"""A diff as the Auditor reads it: with line numbers, in parts that each fit into one request, and whole."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from app.domain.diff import Line, hunk_lines

_BINARY = ("GIT binary patch", "Binary files ")
_SHOWN = re.compile(r"[RL]\d{1,9} (?=[+-])")
"""Before an added or removed line, as the Auditor reads it."""


def split_numbered(diff: str, window: int) -> tuple[str, ...] | None:
    """The parts of the diff, of `window` characters at most, file by file; None where one line alone is longer.

    Added and kept lines begin with `R<n>` (new file), removed ones with `L<n>` (old file), 1-based. A file larger than
    the window goes on in the next part, under its head. A binary file is one line with its digest.
    """
    parts: list[list[str]] = [[]]
    room = window
    for head, body in _sections(diff):
        size = _size(head) + _size(body)
        if size > room and parts[-1]:
            parts.append([])
            room = window
        if size > room:
            continued = _cut(head, body, window)
            if continued is None:
                return None
            parts[-1:] = continued
            room = window - _size(continued[-1])
        else:
            parts[-1] += [*head, *body]
            room -= size
    return tuple("\n".join(part) for part in parts if part) or ("",)


def digest_of_parts(parts: Sequence[str]) -> str:
    """The digest of all added and removed lines that these parts show, file by file."""
    files: dict[str, list[str]] = {}
    name = ""
    for line in (line for part in parts for line in part.split("\n")):
        if line.startswith("diff --git "):
            name = line
        elif line.startswith("(binary, "):
            files.setdefault(name, []).append(line)
        elif (mark := _SHOWN.match(line)) is not None:
            files.setdefault(name, []).append(line[mark.end() :])
    return _digest_of(files)


def digest_of_diff(diff: str) -> str:
    """The same of a whole diff, as git gives it."""
    known, files, name = hunk_lines(diff), dict[str, list[str]](), ""
    lines = diff.split("\n")
    for place, line in enumerate(lines):
        if place in known:
            if known[place].tag != " ":
                files.setdefault(name, []).append(line)
        elif line.startswith("diff --git "):
            name = line
        elif line.startswith(_BINARY):
            files.setdefault(name, []).append(_digest(lines[place : _end_of_section(lines, place)]))
    return _digest_of(files)


def _end_of_section(lines: Sequence[str], start: int) -> int:
    ends = (place for place in range(start, len(lines)) if lines[place].startswith("diff --git "))
    return next(ends, len(lines))


def _digest_of(files: Mapping[str, Sequence[str]]) -> str:
    text = "\0".join("\n".join((name, *lines)) for name, lines in sorted(files.items()))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _sections(diff: str) -> Iterator[tuple[list[str], list[str]]]:
    """Each file's head and its numbered lines."""
    known, lines = hunk_lines(diff), diff.split("\n")
    starts = [index for index, line in enumerate(lines) if line.startswith("diff --git ") and index not in known]
    bounds = [*([] if starts[:1] == [0] else [0]), *starts, len(lines)]
    for first, last in pairwise(bounds):
        section = lines[first:last]
        binary = next((place for place, line in enumerate(section) if line.startswith(_BINARY)), None)
        if binary is not None and first + binary not in known:
            yield [*section[:binary], _digest(section[binary:])], []
            continue
        head = next((place for place, _ in enumerate(section) if first + place in known), len(section))
        head = max(0, head - 1) if head < len(section) else head  # the hunk's own line belongs to its lines
        body = [_mark(known.get(first + place)) + section[place] for place in range(head, len(section))]
        yield section[:head], body


def _cut(head: Sequence[str], body: Sequence[str], window: int) -> list[list[str]] | None:
    """One file over several parts, each under the file's head; None where a line does not fit."""
    if 2 * _size(head) > window:  # what cannot be parsed has no head
        head, body = [], [*head, *body]
    parts = [list(head)]
    room = window - _size(head)
    for line in body:
        if len(line) + 1 > room:
            parts.append(list(head))
            room = window - _size(head)
            if len(line) + 1 > room:
                return None
        parts[-1].append(line)
        room -= len(line) + 1
    return parts


def _digest(section: Sequence[str]) -> str:
    text = "\n".join(section)
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return f"(binary, {len(text):,} characters of the diff, not shown: sha256 {digest})"


def _mark(line: Line | None) -> str:
    if line is None:
        return ""
    return f"L{line.old_no} " if line.tag == "-" else f"R{line.new_no} "


def _size(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)
