"""Prompts, from the templates in the top-level `prompts/` folder."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import app
from app.agents.tasks import AuditTask, BuilderTask, PlannerTask
from app.domain.audit_window import WINDOW
from app.domain.findings import Finding

FOLDER = Path(app.__file__).parent.parent / "prompts"

_FENCE = re.compile(r"<(?=\s*/?\s*untrusted)", re.IGNORECASE)


def fence(text: str, name: str, limit: int = 20_000) -> str:
    """Put untrusted text between marks that it cannot close, at most `limit` characters of it."""
    return f'<untrusted name="{name}">\n{_FENCE.sub("&lt;", clip(text, limit)).strip()}\n</untrusted>'


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of the text: its beginning and end, and between them how many were left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"


def place_and_problem(finding: Finding) -> str:
    """One finding as text: its place, where it has one, and what is wrong."""
    where = finding.path or "the whole patch"
    if finding.path and finding.line:
        where += f" line {finding.start_line or finding.line}" + (f" to {finding.line}" if finding.start_line else "")
    return f"{where}: {finding.problem}"


@cache
def _environment() -> Environment:
    # The output is text for a model, not HTML: untrusted parts go through `fence`.
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    filters: dict[str, Callable[..., str]] = {
        "fence": fence,
        "place_and_problem": place_and_problem,
    }
    environment.filters.update(filters)
    return environment


def planner_system() -> str:
    return _environment().get_template("planner.md.j2").render().strip()


def builder_system(task: BuilderTask, *, commands_allowed: bool) -> str:
    """The Builder's fixed part, with the file of the phase's mode."""
    mode = _environment().get_template(f"builder/{task.phase.builder_mode}.md.j2").render().strip()
    template = _environment().get_template("builder.md.j2")
    return template.render(mode=mode, commands_allowed=commands_allowed).strip()


def auditor_system(task: AuditTask) -> str:
    """The Auditor's fixed part, with the file of its profile."""
    profile = _environment().get_template(f"auditor/{task.profile}.md.j2").render().strip()
    return _environment().get_template("auditor.md.j2").render(profile=profile).strip()


def header(task: PlannerTask | BuilderTask | AuditTask) -> str:
    """The lines by which logs and scripted models know whose request it is."""
    lines = [f"Repository: {task.repository}"]
    if task.issue.number is not None:
        lines.append(f"Issue: #{task.issue.number}")
    lines.append(f"Run: {task.run_id}")
    if not isinstance(task, PlannerTask):
        lines.append(f"Phase: {task.phase.phase_id}")
    lines.append(f"Attempt: {task.attempt}")
    return "\n".join(lines)


def request(role: Literal["planner", "builder", "auditor"], task: PlannerTask | BuilderTask | AuditTask) -> str:
    """The first user message: the task, what stays the same from phase to phase first, a blank line, the header lines.

    So a vendor's cache of the beginning serves more than one conversation.
    """
    body = _environment().get_template(f"{role}_task.md.j2").render(task=task, audit_window=WINDOW).strip()
    return f"{body}\n\n{header(task)}\n"
