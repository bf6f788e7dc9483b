"""Issues as clients report them: by themselves, or with a result or an audit and then with their place."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StrictBool

from app.domain.api_fields import Body, Category, IssueKey, LongText, Positive, Reference, Source, Text, example
from app.domain.findings import Finding, Severity, Side
from app.domain.plan import Complexity, TaskCategory

_PLACE = re.compile(r"(?P<path>[^\s:][^:]{0,400}):(?P<first>[1-9][0-9]{0,6})(?:-(?P<last>[1-9][0-9]{0,6}))?")
"""A reference to evidence that is a place: `path:line`, or `path:first-last`."""


class _Issue(Body):
    """An issue of a phase."""

    issue_key: IssueKey
    severity: Severity | None = None
    """`default_severity` of the phase's category, unless given."""
    category: Category
    evidence_refs: Annotated[list[Reference], Field(max_length=100)] | None = None
    description: Text | None = None

    def as_finding(self, source: str, default_severity: Severity) -> Finding:
        return Finding(
            issue_key=self.issue_key,
            severity=self.severity or default_severity,
            source=source,
            category=self.category,
            problem=self.description or self.issue_key.replace("__", ": ").replace("_", " "),
        )


class PostedIssue(_Issue):
    """An issue that comes with a result or an audit. Lines are 1-based; an audit's are shown on the pull request."""

    source: Source | None = None
    """`cursor_self_doubt` for a builder's, `auditor` for an auditor's, unless given."""
    path: Reference | None = None
    """Its file; without one, the first of `evidence_refs` that reads `path:line` or `path:first-last`."""
    start_line: Positive | None = None
    """The first line, where it is about several."""
    line: Positive | None = None
    """The last line, or the only one, of the file as the patch leaves it; on side LEFT as it was before."""
    side: Side = Side.RIGHT
    replacement: LongText | None = None
    """Text for exactly these lines, which people can apply on the pull request."""

    def as_finding(self, source: str, default_severity: Severity) -> Finding:
        finding = super().as_finding(source, default_severity)
        place = {"path": self.path, "start_line": self.start_line, "line": self.line, "side": self.side}
        if self.path is None:
            place |= _first_place(self.evidence_refs or ())
        return finding.model_copy(update={**place, "replacement": self.replacement})


def _first_place(references: Sequence[str]) -> dict[str, str | int | None]:
    """The place that the first of these references names; none of them may."""
    found = next((match for one in references if (match := _PLACE.fullmatch(one))), None)
    if found is None:
        return {"start_line": None, "line": None}
    first, last = sorted((int(found["first"]), int(found["last"] or found["first"])))
    return {"path": found["path"], "start_line": first if first < last else None, "line": last}


class IssueReport(_Issue):
    """An issue that is reported by itself."""

    model_config = example(
        issue_key="test_failure__auth_missing",
        severity="minor",
        source="test",
        category="test_failure",
        task_category="feature_scaffolding",
        complexity="medium",
        evidence_refs=["tests/test_auth.py::test_jwt_validation"],
    )

    source: Source
    task_category: TaskCategory | None = None
    complexity: Complexity | None = None
    expected_fail: StrictBool = False
    """Known to fail and accepted: listed, but it does not count against the phase."""
