"""Replacing passages of a text: exactly where that fits, else where exactly one passage can be meant."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.workspace import passages
from app.workspace.nearest import nearest_passage, visible
from app.workspace.text_files import TextFile
from app.workspace.workspace_errors import EditError

_MAX_SHOWN = 30
_MAX_SHOWN_LINE = 300


@dataclass(frozen=True, slots=True)
class Edit:
    """One passage and what takes its place."""

    old: str
    new: str
    everywhere: bool = False
    """Every occurrence of exactly this text, not the only one."""


def apply_edits(path: str, file: TextFile, edits: Sequence[Edit]) -> str:
    """The file's text after all edits, one after the other; none counts when one does not fit.

    New lines get the file's line ends. Raises EditError when the old text is empty or equals the new, or it is
    not clear which passage is meant; then it shows the nearest.
    """
    text = file.text
    for number, edit in enumerate(edits, 1):
        try:
            text = _replace(path, text, edit, file.newline)
        except EditError as error:
            of_many = f"Edit {number} of {len(edits)}, so nothing was changed: " if len(edits) > 1 else ""
            raise EditError(f"{of_many}{error}") from error
    return text


def insert_lines(path: str, file: TextFile, line: int, new: str) -> str:
    """The text with new lines before line `line` (1-based; one after the last appends). Raises EditError."""
    lines = file.text.split("\n")
    total = len(lines) - (lines[-1] == "")
    if not 1 <= line <= total + 1:
        raise EditError(f"{path} has {total} lines; give a line from 1 to {total + 1}")
    before, after = lines[: line - 1], lines[line - 1 :]
    added = [part + file.newline[:-1] for part in _lf(new).removesuffix("\n").split("\n")]
    if line == total + 1 and lines[-1] != "":  # the last line has no line end yet
        before[-1] += file.newline[:-1]
        added[-1] = added[-1].removesuffix("\r")
    return "\n".join([*before, *added, *after])


def _replace(path: str, text: str, edit: Edit, newline: str) -> str:
    if not edit.old:
        raise EditError("The text to replace is empty; quote the lines to change, or write the whole file")
    if edit.old == edit.new:
        raise EditError("The old and the new text are the same; nothing was changed")
    for old in dict.fromkeys((edit.old, _lf(edit.old).replace("\n", newline))):
        found = text.count(old)
        if (found == 1 and not _ends_with_another(text, old)) or (found and edit.everywhere):
            return text.replace(old, _lf(edit.new).replace("\n", newline))
        if found > 1:
            lines = ", ".join(str(number) for number in _lines_of(text, old)[:10])
            raise EditError(
                f"The text to replace occurs {found} times in {path}, at lines {lines}; "
                "include more of the lines around the one you mean, or replace all"
            )
    return _replace_alike(path, text, edit, newline)


def _ends_with_another(text: str, old: str) -> bool:
    """Whether the text also ends with the passage, there without its line end."""
    return old.endswith("\n") and text.endswith("\n" + old.rstrip("\r\n"))


def _replace_alike(path: str, text: str, edit: Edit, newline: str) -> str:
    """Replace a passage that was not copied exactly."""
    lines = _lf(text).split("\n")
    old, new = _passage(edit.old), _passage(edit.new)
    places = passages.find(lines, old, new)
    stripped_old, stripped_new = passages.without_numbers(edit.old), passages.without_numbers(edit.new)
    if not places and stripped_old is not None:
        old, new = _passage(stripped_old), _passage(edit.new if stripped_new is None else stripped_new)
        places = passages.find(lines, old, new)
    places = places or passages.find_moved(lines, old, new)
    if len(places) > 1:
        where = ", ".join(str(place.first + 1) for place in places[:10])
        raise EditError(
            f"The text to replace is not in {path} as given, and {len(places)} passages are like it, at lines {where}; "
            "copy more of the lines around the one you mean"
        )
    if not places:
        raise EditError(f"The text to replace was not found in {path}. {_hint(lines, old)}")
    (place,) = places
    ends = text.split("\n")
    own_ends = ["\r" if line.endswith("\r") else "" for line in ends]
    changed = passages.rewrite(lines, place, old, new)
    kept_before = [line + end for line, end in zip(lines[: place.first], own_ends, strict=False)]
    kept_after = [line + end for line, end in zip(lines[place.last :], own_ends[place.last :], strict=True)]
    is_last = place.last == len(lines)
    made = [line + newline[:-1] for line in changed]
    if is_last and made:
        made[-1] = made[-1].removesuffix("\r")
    return "\n".join([*kept_before, *made, *kept_after])


def _passage(text: str) -> list[str]:
    """The lines of a quoted passage: a line end at its end is none of its lines."""
    return _lf(text).removesuffix("\n").split("\n")


def _lf(text: str) -> str:
    return text.replace("\r\n", "\n")


def _lines_of(text: str, old: str) -> list[int]:
    positions: list[int] = []
    start = text.find(old)
    while start != -1:
        positions.append(text.count("\n", 0, start) + 1)
        start = text.find(old, start + len(old))
    return positions


def _hint(lines: Sequence[str], old: Sequence[str]) -> str:
    """The lines most like the wanted ones, numbered, so that the next try can copy them."""
    nearest = nearest_passage(lines, old)
    if nearest is None:
        return "No line is like it, even where characters that look alike count as one; read the file again"
    first, have = nearest
    quoted = "\n".join(f"{number}: {visible(line)}" for number, line in enumerate(have, first + 1))
    wanted = [line for line in old if line.strip()]
    differs = next(((one, other) for one, other in zip(wanted, have, strict=False) if one != other), None)
    shown = f"\nThe first that differs, as you gave it: {visible(differs[0])}" if differs else ""
    return f"The nearest lines are:\n{quoted}{shown}\nCopy the text without its number"


def changed_lines(before: str, after: str) -> str:
    """The lines of the new text that differ, numbered, with one line around them; bounded."""
    old, new = _lf(before).split("\n"), _lf(after).split("\n")
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    same = 0
    while same < min(len(old), len(new)) - first and old[-1 - same] == new[-1 - same]:
        same += 1
    start, end = max(0, first - 1), min(len(new), len(new) - same + 1)
    numbered = [f"{number}: {line[:_MAX_SHOWN_LINE]}" for number, line in enumerate(new[start:end], start + 1)]
    if len(numbered) > _MAX_SHOWN:
        half = _MAX_SHOWN // 2
        numbered[half:-half] = [f"[{len(numbered) - 2 * half} lines more]"]
    return "\n".join(numbered)
