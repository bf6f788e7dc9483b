"""A diff with the line numbers that a finding must give."""

from app.domain.diff import Line, hunk_lines


def number_lines(diff: str) -> str:
    """Put `R<n>` before added and kept lines (new file) and `L<n>` before removed ones (old file); 1-based.

    Lines outside hunks stay as they are.
    """
    known = hunk_lines(diff)
    return "\n".join(_mark(known.get(index)) + line for index, line in enumerate(diff.split("\n")))


def _mark(line: Line | None) -> str:
    if line is None:
        return ""
    return f"L{line.old_no} " if line.tag == "-" else f"R{line.new_no} "
