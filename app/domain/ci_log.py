"""CI logs, trimmed to the failure: only what the Builder's next try needs."""

import re

from app.domain.shown_text import clean

_TIMESTAMP = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
_MARK = re.compile(r"##\[error\](?!Process completed|The operation was canceled|The runner)")
_END = re.compile(r"##\[error\](?:Process completed|The operation was canceled)")
"""The runner's own line after the last one of a step that failed."""
_ERROR = re.compile(
    r"##\[error\]|\berror\b|\bfail(?:ed|ure|s)?\b|traceback \(most recent|assert(?:ion)?error|panicked|exception",
    re.IGNORECASE,
)
_GAP_NOTE = 40
"""Characters set aside for each note on lines left out."""


def trim_log(log: str, *, limit: int = 6_000, before: int = 12, after: int = 20) -> str:
    """Keep the lines around errors, newest first when short of room, in order; at most `limit` (≥ 100) characters.

    Escapes and redrawn lines are gone, as in all text for models. The runner's own error marks come first, then what
    the step that failed printed last; a log without a line that looks like an error keeps its end.
    """
    lines = clean(_TIMESTAMP.sub("", log)).removesuffix("\n").split("\n")
    hits = _hits(lines)
    if not hits:
        return "\n".join(lines)[-limit:]
    longest = limit // 2
    lines = [_clip(line, longest) for line in lines]
    keep: set[int] = set()
    room = limit
    for hit in reversed(hits):
        room -= _GAP_NOTE
        # Nearest lines first, so that long ones further off cannot push the error itself out.
        for i in sorted(range(max(0, hit - before), min(len(lines), hit + after + 1)), key=lambda i: abs(i - hit)):
            if i in keep:
                continue
            room -= len(lines[i]) + 1
            if room < 0:
                return _join(lines, sorted(keep))
            keep.add(i)
    return _join(lines, sorted(keep))


def _hits(lines: list[str]) -> list[int]:
    """The lines that look like errors, the most telling ones last: steps after the one that failed only clean up."""
    found = [i for i, line in enumerate(lines) if _ERROR.search(line)]
    end = max((i for i, line in enumerate(lines) if _END.search(line)), default=len(lines))
    return sorted(found, key=lambda i: (i <= end, i <= end and _MARK.search(lines[i]) is not None, i))


def _clip(line: str, longest: int) -> str:
    """At most `longest` characters, from a little before the error where the line has one."""
    if len(line) <= longest:
        return line
    error = _ERROR.search(line)
    start = max(0, error.start() - longest // 4) if error else 0
    return line[start : start + longest]


def _join(lines: list[str], kept: list[int]) -> str:
    out: list[str] = []
    previous = -1
    for i in kept:
        if i != previous + 1:
            out.append(f"… {i - previous - 1} lines left out …")
        out.append(lines[i])
        previous = i
    return "\n".join(out)
