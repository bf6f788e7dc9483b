"""Parts of texts: numbers, bars, links, tables that know how much room they have."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote as percent

from app.domain.budget import Cap
from app.domain.numbers import share, tokens
from app.domain.states import PhaseState, TierState
from app.domain.status_view import RunView
from app.github.text.escape import code, inline

NAME_ROOM = 120
"""Characters of a name that are shown."""
LIMIT = 65_000
"""Characters of any text; GitHub takes 65,536 in a comment."""

TIER_MARKS = {
    TierState.PENDING: "⬜",
    TierState.RUNNING: "⏳",
    TierState.COMPLETE: "✅",
    TierState.NOT_CLEAN: "⚠️",
    TierState.BLOCKED: "⛔",
}
PHASE_MARKS = {
    PhaseState.QUEUED: "⬜",
    PhaseState.EXECUTING: "⏳",
    PhaseState.GATE: "🔍",
    PhaseState.RETRY: "🔁",
    PhaseState.COMPLETE: "✅",
    PhaseState.FAILED: "❌",
    PhaseState.SKIPPED: "⏭️",
}


def counted(count: int, noun: str) -> str:
    """`1 phase`, `2 phases`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def bar(used: float, limit: float, width: int = 10) -> str:
    """A bar of what was used, with its percentage; full at and over the limit."""
    filled = min(width, int(used / limit * width + 0.5)) if limit > 0 else width
    return f"{'▓' * filled}{'░' * (width - filled)} {share(used, limit)}"


def budget(cap: Cap) -> str:
    """`12.3k / 500k ▓░░░ 2%`, with a warning from 80 % on."""
    warning = " ⚠️" if cap.warns else ""
    return f"{tokens(int(cap.used))} / {tokens(int(cap.limit))} tokens {bar(cap.used, cap.limit)}{warning}"


def moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def link(view: RunView, label: str, path: str) -> str:
    """A link into the run's repository; `label` is Markdown."""
    return f"[{label}]({url(view, path)})"


def url(view: RunView, path: str) -> str:
    return f"{view.server_url.rstrip('/')}/{percent(view.repository, safe='/')}/{percent(path, safe='/#-_.')}"


def commit(view: RunView, sha: str) -> str:
    return link(view, f"`{sha[:7]}`", f"commit/{sha}")


def links(view: RunView) -> str:
    """One line: run, who asked, branch, pull request and checks."""
    parts = [f"run {code(view.run_id)}", f"requested by {code(view.requester)}"]
    parts.append(link(view, code(view.branch), f"tree/{view.branch}"))
    if view.pull_number is not None:
        parts.append(f"#{view.pull_number}")
        parts.append(link(view, "checks", f"pull/{view.pull_number}/checks"))
    if view.head_sha is not None:
        parts.append(f"head {commit(view, view.head_sha)}")
    return " · ".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], room: int) -> str:
    """A table of rows (cells are Markdown) in at most `room` characters; a line says how many rows were left out."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return _fit(lines, [f"| {' | '.join(row)} |" for row in rows], room, "rows")


def bullets(items: Iterable[str], room: int) -> str:
    """A list of Markdown items in at most `room` characters; a line says how many were left out."""
    return _fit([], [f"- {item}" for item in items], room, "entries")


def details(summary: str, body: str) -> str:
    """A section that opens on a click. `summary` is HTML of our own making."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def sections(*parts: str) -> str:
    """The parts that say something, a blank line between them."""
    return "\n\n".join(part for part in parts if part)


def named(identifier: str, name: str) -> str:
    return f"{code(identifier, 100)} {inline(name, NAME_ROOM)}"


def _fit(lines: list[str], more: list[str], room: int, what: str) -> str:
    used = sum(len(line) + 1 for line in lines)
    note_room = 80
    for index, line in enumerate(more):
        if used + len(line) + 1 > room - note_room:
            return "\n".join(lines) + f"\n\n… and {len(more) - index} more {what}, left out for length."
        lines.append(line)
        used += len(line) + 1
    return "\n".join(lines)
