"""A diff with the line numbers that a finding must give."""

import re

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def number_lines(diff: str) -> str:
    """Put `R<n>` before added and kept lines (new file) and `L<n>` before removed ones (old file); 1-based.

    Lines outside hunks stay as they are.
    """
    numbered: list[str] = []
    old = new = 0
    within = False
    for line in diff.split("\n"):
        mark, hunk = "", _HUNK.match(line)
        if hunk:
            old, new, within = int(hunk[1]), int(hunk[2]), True
        elif within and line.startswith("+"):
            mark, new = f"R{new} ", new + 1
        elif within and line.startswith("-"):
            mark, old = f"L{old} ", old + 1
        elif within and line.startswith(" "):
            mark, old, new = f"R{new} ", old + 1, new + 1
        elif not line.startswith("\\"):
            within = False
        numbered.append(mark + line)
    return "\n".join(numbered)
