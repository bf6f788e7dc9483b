"""Where a passage is in a file when a model has not copied it exactly, and how the file's own text is kept.

Models lose or change blanks, tabs, line ends, quotes and dashes, copy line numbers, and leave out the middle. A passage
counts only where exactly one place of the file can be meant. Pure.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"\s{0,8}\d{1,7}(?::|\||\t|→)[ \t]?")
_ELISION = re.compile(r"\s*(?:(?:#|//|--|/\*|<!--)\s*)?(?:\.\.\.|…)(?:[^\w]*|\s.{0,80})")
_INDENT = re.compile(r"[ \t]*")
_BLANKS = re.compile(r"\s+")
_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys('\u2018\u2019\u201a\u201b\u2032\u00b4`"\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb', "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys(
            "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
    }
)
"""Characters that look like another, one for one."""
_MIN_WORD = 3
_NEAR = 6
"""Lines by which context may be away from where a passage has it."""

Normalize = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Place:
    """A passage found: each line of the old text with the file's line that is meant, by index from 0.

    Lines of the old text that are an omission have None, and the file's lines under it are kept.
    """

    first: int
    last: int
    """Exclusive."""
    lines: tuple[int | None, ...]


def _plain(line: str) -> str:
    return line.rstrip()


def look_alike(line: str) -> str:
    """The line with look-alike characters as one, blanks at the end and between words as one; for comparing."""
    shown = "".join(char for char in line if unicodedata.category(char) != "Cf").translate(_LOOK_ALIKES)
    return _BLANKS.sub(" ", shown.rstrip())


def _unindented(line: str) -> str:
    return look_alike(line).strip()


def without_numbers(text: str) -> str | None:
    """The text without the line numbers that were copied with it; None when it has none."""
    lines = text.split("\n")
    written = [line for line in lines if line.strip()]
    if not written or not all(_NUMBER.match(line) for line in written):
        return None
    return "\n".join(_NUMBER.sub("", line, count=1) if line.strip() else line for line in lines)


def find(lines: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[Place]:
    """All places of the old lines, by the strictest reading under which there is one.

    A passage with an omission counts only where the new text has it too: what no one has read is not deleted.
    """
    kept = {line.strip() for line in new}
    elided = all(line.strip() in kept for line in old if _ELISION.fullmatch(line))
    for normalize in (_plain, look_alike, _unindented):
        found = list(_whole(lines, old, normalize)) or (list(_elided(lines, old, normalize)) if elided else [])
        if found:
            return found
    return []


def _whole(lines: Sequence[str], old: Sequence[str], normalize: Normalize) -> Iterator[Place]:
    wanted = [normalize(line) for line in old]
    if not any(wanted):
        return
    have = [normalize(line) for line in lines]
    anchor = max(range(len(wanted)), key=lambda index: len(wanted[index]))
    for index, line in enumerate(have):
        first = index - anchor
        if line == wanted[anchor] and first >= 0 and have[first : first + len(wanted)] == wanted:
            yield Place(first, first + len(wanted), tuple(range(first, first + len(wanted))))


def _elided(lines: Sequence[str], old: Sequence[str], normalize: Normalize) -> Iterator[Place]:
    """Places of a passage whose middle is left out with `...`: what is before and after it comes in this order."""
    gaps = [index for index, line in enumerate(old) if _ELISION.fullmatch(line)]
    if len(gaps) != 1 or not 0 < gaps[0] < len(old) - 1:
        return
    heads = list(_whole(lines, old[: gaps[0]], normalize))
    tails = list(_whole(lines, old[gaps[0] + 1 :], normalize))
    for head in heads:
        after = [tail for tail in tails if tail.first > head.last]
        if after:
            yield Place(head.first, after[0].last, (*head.lines, None, *after[0].lines))


def find_moved(lines: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[Place]:
    """Where the lines that change are, when the context around them is not in the file's order.

    They must be there once, be worth the name, and have most of their context near.
    """
    changed = [tag for tag in _matcher(old, new).get_opcodes() if tag[0] != "equal"]
    if len(changed) != 1 or changed[0][1] == changed[0][2]:
        return []
    _, first, last, _, _ = changed[0]
    block = old[first:last]
    if not any(len(re.findall(r"\w", line)) >= _MIN_WORD for line in block):
        return []
    places = list(_whole(lines, block, _unindented))
    context = [_unindented(line) for line in (*old[:first], *old[last:]) if line.strip()]
    near = [place for place in places if _has_near(lines, place, context)]
    if len(places) != 1 or len(near) != 1:
        return []
    (place,) = near
    return [Place(place.first, place.last, (*(None,) * first, *place.lines, *(None,) * (len(old) - last)))]


def _has_near(lines: Sequence[str], place: Place, context: Sequence[str]) -> bool:
    reach = len(context) + _NEAR
    around = {_unindented(line) for line in lines[max(0, place.first - reach) : place.last + reach]}
    return bool(context) and 2 * sum(line in around for line in context) >= len(context) + 1


def rewrite(lines: Sequence[str], place: Place, old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The new lines of the place: the file's own text where old and new agree, else the new text as the file writes."""
    indents = _indents(lines, place, old)
    out: list[str] = []
    for tag, a, b, c, d in _matcher(old, new).get_opcodes():
        if tag == "equal":
            for index in range(a, b):
                out += _own(lines, place, old, index)
            continue
        pairs = _pairs(old[a:b], new[c:d])
        for offset, line in enumerate(new[c:d]):
            twin = pairs.get(offset)
            at = None if twin is None else place.lines[a + twin]
            if at is None or twin is None:
                out.append(_reindent(line, indents) if line.strip() else line)
                continue
            kept = _keep_characters(lines[at], old[a + twin], line)
            same = _indent(line) == _indent(old[a + twin])
            out.append(_indent(lines[at]) + kept.lstrip(" \t") if same else _reindent(kept, indents))
    return out


def _own(lines: Sequence[str], place: Place, old: Sequence[str], index: int) -> list[str]:
    """The file's lines for one line of the old text: none, one, or all that an omission leaves out."""
    at = place.lines[index]
    if at is not None:
        return [lines[at]]
    if not _ELISION.fullmatch(old[index]):
        return []  # context from elsewhere in the file, which stays there
    before = max((line for line in place.lines[:index] if line is not None), default=place.first - 1)
    after = min((line for line in place.lines[index:] if line is not None), default=place.last)
    return list(lines[before + 1 : after])


def _matcher(old: Sequence[str], new: Sequence[str]) -> difflib.SequenceMatcher[str]:
    return difflib.SequenceMatcher(
        None, [line.rstrip() for line in old], [line.rstrip() for line in new], autojunk=False
    )


def _pairs(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """For lines of `new` the line of `old` that each replaces, in order and only where they are alike."""
    pairs: dict[int, int] = {}
    start = 0
    for index, line in enumerate(new):
        ratios = [
            (difflib.SequenceMatcher(None, old[n], line).ratio(), -n) for n in range(start, min(len(old), start + 20))
        ]
        best, negative = max(ratios, default=(0.0, 0))
        if best > 0.5:
            pairs[index] = -negative
            start = -negative + 1
    return pairs


def _keep_characters(own: str, old: str, new: str) -> str:
    """The new line, with the file's characters where it agrees with the old one, which is a copy of the file's."""
    own_text, old_text, new_text = own.strip(), old.strip(), new.strip()
    if len(own_text) != len(old_text) or own_text == old_text:
        return new
    kept = list(new_text)
    for block in difflib.SequenceMatcher(None, old_text, new_text, autojunk=False).get_matching_blocks():
        kept[block.b : block.b + block.size] = own_text[block.a : block.a + block.size]
    lead = new[: len(new) - len(new.lstrip())]
    return lead + "".join(kept) + new[len(new.rstrip()) :]


def _indents(lines: Sequence[str], place: Place, old: Sequence[str]) -> dict[str, str]:
    """The file's indentation for each that the old text has."""
    return {
        _indent(line): _indent(lines[at])
        for line, at in zip(old, place.lines, strict=True)
        if at is not None and line.strip()
    }


def _indent(line: str) -> str:
    match = _INDENT.match(line)
    return match[0] if match else ""


def _reindent(line: str, indents: dict[str, str]) -> str:
    """The line with the file's indentation, one step deeper or less where the old text has no such line."""
    indent, text = _indent(line), line.lstrip(" \t")
    if indent in indents or not indents:
        return indents.get(indent, indent) + text
    shorter = [one for one in indents if indent.startswith(one)]
    if shorter:
        base = max(shorter, key=len)
        return indents[base] + _steps(indent[len(base) :], indents) + text
    base = min(indents, key=len)
    if base.startswith(indent):
        less = len(_steps(base[len(indent) :], indents))
        return indents[base][: len(indents[base]) - less] + text
    return indent + text


def _steps(extra: str, indents: dict[str, str]) -> str:
    """More indentation in the file's own characters."""
    tabs = any("\t" in own for own in indents.values())
    if tabs and "\t" not in extra:
        width = next((len(one) // own.count("\t") for one, own in indents.items() if "\t" in own and one), 4)
        return "\t" * max(1, round(len(extra) / max(1, width)))
    spaced = [(one, own) for one, own in indents.items() if "\t" in one and own and "\t" not in own]
    if "\t" in extra and not tabs:
        width = len(spaced[0][1]) // spaced[0][0].count("\t") if spaced else 4
        return " " * (extra.count("\t") * max(1, width))
    return extra
