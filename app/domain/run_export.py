"""Everything from which a run's files are written: what its database rows say, as plain values."""

from datetime import datetime
from typing import Any

from app.domain.aging import BacklogEntry
from app.domain.finding_counts import IndexEntry, PhaseIssues
from app.domain.frozen import Frozen
from app.domain.metrics import RunSummary
from app.domain.plan import Plan
from app.domain.ruleset import Ruleset
from app.domain.status_view import RunView


class TransitionEntry(Frozen):
    """A transition of a machine: `run`, `tier` or `phase`; `subject` is the id of what moved."""

    machine: str
    subject: str
    old: str
    new: str
    cause: str
    at: datetime


class PostedPatch(Frozen):
    """A patch that an external agent posted."""

    phase_id: str
    role: str
    attempt: int
    number: int = 1
    """From 1: an audit may suggest several."""
    text: str


class RunArchive(Frozen):
    """A run in full."""

    summary: RunSummary
    view: RunView
    plan: Plan | None
    strategy: dict[str, Any] | None
    """As it was frozen."""
    base_sha: str | None
    follows: str | None
    part: int
    parts: int
    last_log: str
    issues: dict[str, PhaseIssues]
    """By phase."""
    index: dict[str, IndexEntry]
    history: tuple[TransitionEntry, ...]
    patches: tuple[PostedPatch, ...]
    """In the order in which they came."""


class ProjectRules(Frozen):
    """By which rules a project's runs are governed."""

    project_id: str
    ruleset: Ruleset
    """The one that ships with Autopack: what neither the repository nor the run overrides."""
    last_run_id: str | None
    """The project's newest run that has a strategy."""
    strategy: dict[str, Any] | None
    """What became of the ruleset, the repository's settings and the options in that run; without its phases."""


Backlogs = dict[str, tuple[BacklogEntry, ...]]
"""The backlog of each project that has one."""
