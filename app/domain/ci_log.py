"""CI logs, trimmed to the failure: only what the Builder's next try needs."""

import re

_TIMESTAMP = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_ERROR = re.compile(
    r"##\[error\]|\berror\b|\bfail(?:ed|ure|s)?\b|traceback \(most recent|assert(?:ion)?error|panicked|exception",
    re.IGNORECASE,
)
_GAP_NOTE = 40
"""Characters set aside for each note on lines left out."""


def trim_log(log: str, *, limit: int = 6_000, before: int = 12, after: int = 20) -> str:
    """Keep the lines around errors, newest first when short of room, in order; at most `limit` (≥ 100) characters.

    Timestamps, colors and control characters are dropped. A log without a line that looks like an error keeps its end.
    """
    lines = _CONTROL.sub("", _TIMESTAMP.sub("", _ANSI.sub("", log))).splitlines()
    hits = [i for i, line in enumerate(lines) if _ERROR.search(line)]
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
