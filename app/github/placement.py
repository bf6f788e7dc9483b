"""Where a finding can be shown: on lines of the diff, or in the review's body. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.domain.diff import FileDiff, Line, old_line
from app.domain.findings import Finding, Side
from app.domain.patch import ChangeKind
from app.github.text.review_text import review_comment, suggestible

MAX_INLINE = 50
"""Inline comments of one review; what is beyond goes to the body."""


@dataclass(frozen=True, slots=True)
class InlineComment:
    """A finding on lines of the diff (1-based, inclusive). `start_line` is set when there are several."""

    finding: Finding
    path: str
    side: Literal["LEFT", "RIGHT"]
    line: int
    start_line: int | None = None
    suggest: bool = False

    @property
    def body(self) -> str:
        return review_comment(self.finding, suggest=self.suggest)


@dataclass(frozen=True, slots=True)
class Placement:
    """Findings by where they are shown; each finding once."""

    inline: tuple[InlineComment, ...] = ()
    body: tuple[Finding, ...] = ()


def place_findings(findings: Iterable[Finding], files: Sequence[FileDiff]) -> Placement:
    """Place findings on the pull request's diff (base…head, as GitHub shows it: three lines of context).

    Several lines are marked only within one hunk, else the last one alone; a fix is suggested only where exactly the
    lines that it replaces are marked on the new side. Of findings with one fingerprint, the first counts.
    """
    unique = {finding.fingerprint: finding for finding in reversed(list(findings))}
    inline: list[InlineComment] = []
    body: list[Finding] = []
    for finding in reversed(unique.values()):
        comment = _place_finding(finding, files) if len(inline) < MAX_INLINE else None
        if comment is None:
            body.append(finding)
        else:
            inline.append(comment)
    return Placement(tuple(inline), tuple(body))


def on_the_base(findings: Iterable[Finding], earlier: Sequence[FileDiff]) -> list[Finding]:
    """Findings of an audit with the numbers of removed lines as the pull request has them.

    The Auditor numbers them by the commit that it compares with; `earlier` is the diff from the pull request's base to
    that commit. A line that came only in between is none of the pull request's: its finding loses its line.
    """
    files = {file.path: file for file in earlier}
    return [_on_the_base(finding, files.get(finding.path or "")) for finding in findings]


def _on_the_base(finding: Finding, earlier: FileDiff | None) -> Finding:
    if finding.side is not Side.LEFT or finding.line is None or earlier is None:
        return finding
    line = old_line(earlier, finding.line)
    start = None if finding.start_line is None else old_line(earlier, finding.start_line)
    whole = start is not None and line is not None and line - start == finding.line - (finding.start_line or 0)
    return finding.model_copy(update={"line": line, "start_line": start if whole else None})


def _place_finding(finding: Finding, files: Sequence[FileDiff]) -> InlineComment | None:
    if finding.path is None or finding.line is None:
        return None
    file = _file(finding.path, files)
    if file is None or file.binary:
        return None
    finding = _by_quote(finding, file)
    if finding.line is None:
        return None
    side: Literal["LEFT", "RIGHT"] = "LEFT" if finding.side is Side.LEFT else "RIGHT"
    start = finding.start_line if finding.start_line is not None else finding.line
    first, last = min(start, finding.line), max(start, finding.line)
    if file.commentable(side, last, first):
        fix = finding.replacement is not None and suggestible(finding.replacement)
        suggest = fix and side == "RIGHT" and file.kind is not ChangeKind.DELETED
        return InlineComment(finding, file.path, side, last, first if first != last else None, suggest)
    if file.commentable(side, last):
        return InlineComment(finding, file.path, side, last)
    return None


def _by_quote(finding: Finding, file: FileDiff) -> Finding:
    """The finding at the line that it quotes: the nearest one with that text. Without such a line, it has none.

    Models copy text better than they count lines.
    """
    quoted = next((line.strip() for line in finding.quote.splitlines() if line.strip()), "")
    if not quoted or finding.line is None:
        return finding
    number = finding.line
    texts = {
        no: line.text.strip()
        for hunk in file.hunks
        for line in hunk.lines
        if (no := _number(line, finding.side)) is not None
    }
    same = [no for no, text in texts.items() if text == quoted] or [no for no, text in texts.items() if quoted in text]
    nearest = min(same, key=lambda no: abs(no - number), default=None)
    if nearest is None:
        return finding.model_copy(update={"line": None, "start_line": None})
    start = None if finding.start_line is None else finding.start_line + nearest - number
    return finding.model_copy(update={"line": nearest, "start_line": start})


def _number(line: Line, side: Side) -> int | None:
    return line.new_no if side is Side.RIGHT else line.old_no


def _file(path: str, files: Sequence[FileDiff]) -> FileDiff | None:
    """The file by its new name, else by the name that it had."""
    return next((one for one in files if one.path == path), None) or next(
        (one for one in files if one.old_path == path), None
    )
