"""What a trial prints: live progress, then the conversation on GitHub, then what to do next."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from app.db import run_rows
from app.db.engine import Database
from app.db.run_rows import RunRow
from app.db.tables import FindingRow, Transition
from app.domain.status_view import RunView
from app.queries import run_view

POLL_SECONDS = 0.1
_MARKS = {
    "COMPLETE": "✅",
    "FAILED": "❌",
    "RETRY": "🔁",
    "SKIPPED": "⏭",
    "NOT_CLEAN": "⚠",
    "BLOCKED": "❌",
    "SNAPSHOT_CREATED": "📌",
}


class TooLong(RuntimeError):
    """The run did not end before the trial's deadline."""


class Progress:
    """Follows one run in the service's database and prints each step as it is recorded."""

    def __init__(self, console: Console, database_url: str, repository: str, issue_number: int) -> None:
        self._console = console
        self._db = Database(database_url)
        self._repository = repository
        self._issue = issue_number
        self._seen = 0
        self._findings: set[tuple[str, bool]] = set()

    def follow(self, deadline_seconds: float) -> RunRow:
        """Print until the run has ended and said so. Raises `TooLong`."""
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            run = run_rows.find_latest_run(self._db, self._repository, self._issue)
            if run is not None:
                self._print_new(run.run_id)
                if run.told_at is not None:
                    self._console.print(_table(run_view.read_run_view(self._db, run.run_id, "")))
                    return run
            time.sleep(POLL_SECONDS)
        raise TooLong("the run did not end before the deadline")

    def _print_new(self, run_id: str) -> None:
        with self._db.reading() as session:
            query = (
                sa.select(Transition)
                .where(Transition.run_id == run_id, Transition.id > self._seen)
                .order_by(Transition.id)
            )
            for row in session.scalars(query):
                self._seen = row.id
                mark = _MARKS.get(row.new, "·")
                moved = f"{row.machine:5} {escape(row.subject)} → {row.new}"
                self._console.print(f"{row.at:%H:%M:%S} {mark} {moved}  [dim]{escape(row.cause)}[/]")
            for issue in session.scalars(
                sa.select(FindingRow).where(FindingRow.run_id == run_id).order_by(FindingRow.first_seen_at)
            ):
                self._print_finding(issue)

    def _print_finding(self, issue: FindingRow) -> None:
        key = (issue.fingerprint, issue.open)
        if key in self._findings:
            return
        self._findings.add(key)
        state = f"{issue.severity} finding ({issue.source})" if issue.open else f"closed, {issue.resolution}"
        self._console.print(
            f"         🔎 {escape(issue.issue_key)}: {escape(state)}: {escape(issue.finding.problem[:160])}"
        )


def _table(view: RunView) -> Table:
    table = Table(title=f"{view.run_id}: {view.state}")
    for column in ("Tier", "Phase", "State", "Builder", "Audits", "Tokens"):
        table.add_column(column)
    for tier in view.tiers:
        for phase in tier.phases:
            name = f"{phase.phase_id} {phase.name}"
            attempts = (str(phase.builder_attempts), str(phase.auditor_attempts))
            table.add_row(tier.name, name, str(phase.state), *attempts, f"{phase.tokens:,}")
    return table


def conversation(github: httpx.Client, repository: str, issue_number: int, pull_number: int | None) -> RenderableType:
    """The issue's and the pull request's conversation, as GitHub shows it."""
    parts: list[RenderableType] = [*_thread(github, repository, issue_number, f"Issue #{issue_number}")]
    if pull_number is not None:
        pull: dict[str, Any] = github.get(f"/repos/{repository}/pulls/{pull_number}").json()
        draft = " (draft)" if pull["draft"] else ""
        parts.append(_panel(f"Pull request #{pull_number}{draft}: {pull['title']}", pull["body"]))
        reviews = github.get(f"/repos/{repository}/pulls/{pull_number}/reviews").json()
        parts.extend(_panel(f"Review by {one['user']['login']}", one["body"]) for one in reviews)
        inline = github.get(f"/repos/{repository}/pulls/{pull_number}/comments").json()
        parts.extend(_panel(f"{one['user']['login']} on {one['path']}:{one['line']}", one["body"]) for one in inline)
        parts.extend(_thread(github, repository, pull_number, f"Pull request #{pull_number}"))
    return Group(*parts)


def _thread(github: httpx.Client, repository: str, number: int, name: str) -> Iterator[RenderableType]:
    for comment in github.get(f"/repos/{repository}/issues/{number}/comments", params={"per_page": 100}).json():
        yield _panel(f"{name}: {comment['user']['login']}", comment["body"])


def _panel(title: str, body: str | None) -> Panel:
    visible = "\n".join(line for line in (body or "").splitlines() if not line.startswith("<!--"))
    return Panel(Markdown(visible), title=escape(title), title_align="left")


def what_next(console: Console, repository: Path, run: RunRow) -> None:
    """Where the work is now, and what a person does with it."""
    console.print(f"\nThe run ended as [bold]{run.state}[/]. Its branch is in {repository}:")
    console.print(f"  git -C {repository} log --stat {run.base_branch}..{run.branch}", markup=False)
    if run.state == "DONE_SUCCESS":
        console.print(f"  git -C {repository} merge {run.branch}   # promotion is yours", markup=False)
    else:
        console.print("Read the comments above for the reason, change the issue, and try again.")
