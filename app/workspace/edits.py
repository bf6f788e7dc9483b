"""Exact text replacement, and what to say when it does not fit."""

import difflib

from app.workspace.workspace_errors import EditError

_HINT_LINES = 12
_HINT_FILE_LINES = 20_000
_CLOSE_ENOUGH = 0.5


def replace_once(path: str, content: bytes, old: str, new: str) -> bytes:
    """Replace the only occurrence of `old` in a UTF-8 file by `new`.

    A file with CRLF line ends also matches `old` with plain newlines, and keeps its line ends. Raises EditError when
    the file is not text, `old` is empty or equals `new`, or it occurs never or more than once.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise EditError(f"{path} is not UTF-8 text; replace the whole file instead") from error
    if not old:
        raise EditError("The text to replace is empty; quote the exact lines to change, or write the whole file")
    if old == new:
        raise EditError("The old and the new text are the same; nothing was changed")
    if old not in text and "\r\n" in text and "\r" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    found = text.count(old)
    if found == 0:
        raise EditError(f"The text to replace was not found in {path}.{_nearest(text, old)}")
    if found > 1:
        lines = ", ".join(str(number) for number in _lines_of(text, old)[:10])
        raise EditError(
            f"The text to replace occurs {found} times in {path}, at lines {lines}; "
            "include more of the lines around the one you mean"
        )
    return text.replace(old, new).encode()


def _lines_of(text: str, old: str) -> list[int]:
    positions: list[int] = []
    start = text.find(old)
    while start != -1:
        positions.append(text.count("\n", 0, start) + 1)
        start = text.find(old, start + len(old))
    return positions


def _nearest(text: str, old: str) -> str:
    """Quote the lines most like the wanted ones, numbered, so that the next try can copy them."""
    lines = text.splitlines()[:_HINT_FILE_LINES]
    wanted = old.splitlines()
    anchor = max(wanted, key=lambda line: len(line.strip()), default="")
    close = difflib.get_close_matches(anchor, lines, n=1, cutoff=_CLOSE_ENOUGH)
    if not anchor.strip() or not close:
        return " No line is similar; read the file again"
    first = max(0, lines.index(close[0]) - wanted.index(anchor))
    excerpt = lines[first : first + min(len(wanted), _HINT_LINES)]
    quoted = "\n".join(f"{number}: {line[:300]}" for number, line in enumerate(excerpt, first + 1))
    return f" The nearest lines are:\n{quoted}\nCopy the text exactly, with its indentation"
