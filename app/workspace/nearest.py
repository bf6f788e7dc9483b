"""The lines of a file that are most like a passage which is not in it, quickly, with what differs made visible."""

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from app.workspace.passages import look_alike

_WORD = re.compile(r"\w{2,40}")
_MAX_LINES = 50_000
_MAX_LINE = 300
_CANDIDATES = 20
_SHOWN = 12
_CLOSE_ENOUGH = 0.5


def nearest_passage(lines: Sequence[str], wanted: Sequence[str]) -> tuple[int, list[str]] | None:
    """The first line's index, and the lines, of the passage that has the most of the wanted words, rare ones first."""
    lines = lines[:_MAX_LINES]
    wanted = [line[:_MAX_LINE] for line in wanted if line.strip()][: _SHOWN * 4]
    votes: Counter[int] = Counter()
    places: defaultdict[str, list[int]] = defaultdict(list)
    words = {word for line in wanted for word in _WORD.findall(line)}
    for number, line in enumerate(lines):
        for word in set(_WORD.findall(line[:_MAX_LINE])) & words:
            places[word].append(number)
    for offset, line in enumerate(wanted):
        for word in set(_WORD.findall(line)):
            for number in places[word][:200]:
                votes[number - offset] += 1000 // (1 + len(places[word]))
    best: tuple[float, int] | None = None
    for first, _ in votes.most_common(_CANDIDATES):
        start = max(0, first)
        score = _likeness(lines[start : start + len(wanted)], wanted)
        if best is None or score > best[0]:
            best = (score, start)
    if best is None or best[0] < _CLOSE_ENOUGH:
        return None
    return best[1], list(lines[best[1] : best[1] + min(len(wanted), _SHOWN)])


def _likeness(have: Sequence[str], wanted: Sequence[str]) -> float:
    ratios = [
        difflib.SequenceMatcher(None, look_alike(one[:_MAX_LINE]), look_alike(other), autojunk=False).quick_ratio()
        for one, other in zip(have, wanted, strict=False)
    ]
    return max(ratios, default=0.0) if len(ratios) == 1 else sum(ratios) / max(1, len(wanted))


def visible(line: str) -> str:
    """The line with characters that cannot be seen, or look like others, as escapes."""
    return "".join(char if _can_be_seen(char) else f"\\u{ord(char):04x}" for char in line[:_MAX_LINE].rstrip("\r\n"))


def _can_be_seen(char: str) -> bool:
    return char in " \t" or not (unicodedata.category(char) in {"Cf", "Cc", "Zs", "Zl", "Zp"} and char != " ")
