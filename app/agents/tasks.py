"""What each role is given. Everything from GitHub in here is untrusted and is fenced when the prompt is written."""

from pydantic import Field

from app.domain.findings import Finding
from app.domain.frozen import Frozen
from app.domain.plan import AuditorProfile, PlannedPhase


class IssueText(Frozen):
    """The GitHub issue that requested the run; for a run without one, the request as text."""

    number: int | None = None
    title: str
    body: str = ""
    comments: tuple[str, ...] = ()


class Feedback(Frozen):
    """Something that an earlier attempt taught: `title` is Autopack's own words, `text` is untrusted."""

    title: str
    text: str


class _Task(Frozen):
    repository: str
    """Full name, `owner/name`."""
    run_id: str
    issue: IssueText
    attempt: int = Field(default=1, ge=1)
    outline: str = ""
    """The repository's files, as text."""
    notes: str = ""
    """The repository's own instructions (`AGENTS.md` and the like)."""


class PlannerTask(_Task):
    max_phases: int = 25


class BuilderTask(_Task):
    """`attempt` counts this phase's attempts from 1; `feedback` and `findings` come from the earlier ones."""

    phase: PlannedPhase
    feedback: tuple[Feedback, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Open findings of the earlier audits and gates."""
    previous_diff: str = ""
    """What the attempt before changed, as a unified diff; it is in the worktree, or on the branch."""


class AuditTask(_Task):
    """`attempt` is the audit round, from 1. Findings are known to the model by their fingerprints."""

    phase: PlannedPhase
    diff: str
    """Unified git diff of the patch."""
    shown: str = ""
    """The part of it that is read in this request, with line numbers."""
    part: int = 1
    parts: int = 1
    profile: AuditorProfile = AuditorProfile.GENERAL
    ci: str = ""
    """What CI says about the commit so far."""
    open_findings: tuple[Finding, ...] = ()
    said: tuple[str, ...] = ()
    """What people who may steer the run said while it was at work."""
    dismissed: tuple[str, ...] = ()
    """Findings that people of this repository called wrong, with their reasons."""
