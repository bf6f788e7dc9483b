"""Findings: every problem that anyone saw, with severity, source and place; none is silent."""

import hashlib
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.domain.frozen import Frozen
from app.domain.model_text import shortened


class Severity(StrEnum):
    MINOR = "minor"
    MAJOR = "major"


class Source(StrEnum):
    """The sources that Autopack itself knows."""

    TEST = "test"
    PROBE = "probe"
    CI = "ci"
    STATIC_CHECK = "static_check"
    AUDITOR = "auditor"
    SELF_DOUBT = "self_doubt"


AnySource = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A `Source`, or what another client calls its own, such as `cursor_self_doubt`."""


class Side(StrEnum):
    """Which side of the diff a line number counts on, in GitHub's words."""

    LEFT = "LEFT"
    RIGHT = "RIGHT"


class Recommendation(StrEnum):
    APPROVE = "approve"
    REVISE = "revise"
    ESCALATE = "escalate"


class Finding(Frozen):
    """One problem. Lines are 1-based and inclusive, on `side` of the diff; no path: it is about the whole patch."""

    issue_key: str
    severity: Severity
    source: AnySource
    category: str
    problem: str
    path: str | None = None
    start_line: int | None = None
    line: int | None = None
    side: Side = Side.RIGHT
    quote: str = ""
    """The text of `line`, by which it is found where its number is wrong; empty where nobody quoted it."""
    replacement: str | None = None
    """Text that would replace lines `start_line`…`line`, where one hunk fixes it."""

    @property
    def fingerprint(self) -> str:
        """The same problem at the same place has the same fingerprint, however its text is put or its line moves."""
        return hashlib.sha256(f"{self.issue_key}\n{self.path or ''}".encode()).hexdigest()[:16]


class AuditFinding(Frozen):
    """A finding as the Auditor answers it."""

    path: str | None = Field(default=None, description="File path in the diff, or null if it concerns the whole patch")
    start_line: int | None = Field(default=None, ge=1, description="First line, when more than one")
    line: int | None = Field(default=None, ge=1, description="Last (or only) line, numbered as in the shown diff")
    side: Side = Field(default=Side.RIGHT, description="RIGHT for added or kept lines, LEFT for removed ones")
    quote: Annotated[str, shortened(300)] = Field(
        default="", max_length=300, description="The text of `line`, copied; it outweighs the number"
    )
    severity: Severity
    category: Annotated[str, shortened(80)] = Field(
        max_length=80, description="One or two words, such as correctness, security, tests, style"
    )
    component: Annotated[str, shortened(80)] = Field(max_length=80, description="The function, class or file concerned")
    problem: Annotated[str, shortened(4_000)] = Field(
        max_length=4_000, description="What is wrong, proven from the diff, and what would be right"
    )
    slug: Annotated[str, shortened(60)] = Field(
        max_length=60, description="The problem in two to four words, the same each time it is reported"
    )
    replacement: str | None = Field(default=None, description="Exact new text for the lines, if one hunk fixes it")

    def as_finding(self) -> Finding:
        return Finding(
            issue_key=issue_key(self.category, self.component, self.slug),
            severity=self.severity,
            source=Source.AUDITOR,
            category=self.category,
            problem=self.problem,
            path=self.path,
            start_line=self.start_line,
            line=self.line,
            side=self.side,
            quote=self.quote,
            replacement=self.replacement,
        )


class AuditReport(Frozen):
    """The Auditor's structured answer."""

    recommendation: Recommendation
    summary: Annotated[str, shortened(8_000)] = Field(max_length=8_000)
    findings: list[AuditFinding] = Field(default_factory=list[AuditFinding])
    fixed: list[str] = Field(default_factory=list[str], description="Ids of earlier findings that this diff fixes")


class SuggestedIssue(Frozen):
    """Something the Builder itself doubts or noticed."""

    severity: Severity | None = Field(default=None, description="Leave it out when unsure: the task's category decides")
    category: Annotated[str, shortened(80)] = Field(max_length=80)
    component: Annotated[str, shortened(80)] = Field(max_length=80)
    slug: Annotated[str, shortened(60)] = Field(max_length=60)
    description: Annotated[str, shortened(4_000)] = Field(max_length=4_000)

    def as_finding(self, default_severity: Severity) -> Finding:
        return Finding(
            issue_key=issue_key(self.category, self.component, self.slug),
            severity=self.severity or default_severity,
            source=Source.SELF_DOUBT,
            category=self.category,
            problem=self.description,
        )


DECLINED = "declined"
"""The category of a suggested issue by which the Builder leaves a person's request undone."""


class BuilderAnswer(Frozen):
    """The Builder's structured answer; the patch itself is what it did in the worktree."""

    status: Literal["done", "cannot"] = Field(description="'cannot' when the phase can't be done as asked")
    summary: Annotated[str, shortened(4_000)] = Field(
        max_length=4_000, description="What was changed and why, for the commit message and the PR"
    )
    suggested_issues: list[SuggestedIssue] = Field(default_factory=list[SuggestedIssue])

    @property
    def declined(self) -> dict[int, str]:
        """Why it leaves people's requests undone, by their numbers; the task says how it tells."""
        left = [issue for issue in self.suggested_issues if issue not in self.doubts]
        found = [(re.search(r"[0-9]{1,4}", issue.component), issue.description) for issue in left]
        return {int(number[0]): reason for number, reason in found if number is not None}

    @property
    def doubts(self) -> list[SuggestedIssue]:
        """What it doubts or noticed."""
        return [issue for issue in self.suggested_issues if issue.category.strip().lower() != DECLINED]


def slug(text: str) -> str:
    """Lower-case words joined by `_`, at most 60 characters. Text without such a word gets a hash."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60].rstrip("_")
    if words or not text.strip():
        return words or "unnamed"
    return f"unnamed_{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each fingerprint once, in the order of first sight; of several, the graver one stays."""
    kept: dict[str, Finding] = {}
    for finding in findings:
        other = kept.get(finding.fingerprint)
        if other is None or finding.severity is Severity.MAJOR:
            kept[finding.fingerprint] = finding if other is None or other.severity is Severity.MINOR else other
    return tuple(kept.values())


def issue_key(category: str, component: str, problem: str) -> str:
    """The stable slug `category__component__problem` under which a problem is counted."""
    return "__".join(slug(part) for part in (category, component, problem))
