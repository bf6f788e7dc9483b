"""CI logs, trimmed to the failure: what the Builder's next try needs and no more."""

import re

_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ERROR = re.compile(
    r"##\[error\]|\berror\b|\bfail(?:ed|ure|s)?\b|traceback \(most recent|assert(?:ion)?error|panicked|exception",
    re.IGNORECASE,
)


def trim_log(log: str, *, limit: int = 6_000, before: int = 12, after: int = 20) -> str:
    """Keep the lines around errors, newest first when short of room, in order; at most `limit` characters.

    Timestamps and colours are dropped. A log without a line that looks like an error keeps its end.
    """
    lines = _TIMESTAMP.sub("", _ANSI.sub("", log)).splitlines()
    hits = [i for i, line in enumerate(lines) if _ERROR.search(line)]
    if not hits:
        return "\n".join(lines)[-limit:]
    keep: set[int] = set()
    size = 0
    for hit in reversed(hits):
        window = [i for i in range(max(0, hit - before), min(len(lines), hit + after + 1)) if i not in keep]
        cost = sum(len(lines[i]) + 1 for i in window)
        if keep and size + cost > limit:
            break
        keep.update(window)
        size += cost
    return _join(lines, sorted(keep))[-limit:]


def _join(lines: list[str], kept: list[int]) -> str:
    out: list[str] = []
    previous = -1
    for i in kept:
        if i != previous + 1:
            out.append(f"… {i - previous - 1} lines left out …")
        out.append(lines[i])
        previous = i
    return "\n".join(out)
