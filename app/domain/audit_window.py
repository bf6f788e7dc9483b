"""How much of a diff the Auditor reads. What it cannot read whole, it does not approve."""

from app.domain.findings import AuditFinding, AuditReport, Recommendation, Severity, issue_key

WINDOW = 200_000
"""Characters of the diff in one request, with the line numbers that are put before its lines."""
MAX_PARTS = 6
"""Requests in which one audit reads a larger diff, file by file."""

_CATEGORY, _COMPONENT, _SLUG = "audit", "patch", "diff over the window"
OVER_WINDOW = issue_key(_CATEGORY, _COMPONENT, _SLUG)
"""The key of the finding about a diff that does not fit. It is fixed as soon as a diff does."""


def refuse_unread(characters: int) -> AuditReport:
    """The audit of a diff with so many characters that the Auditor cannot read it whole.

    No model is asked: a part of a diff can hide what the rest does, so its approval would not count.
    """
    problem = (
        f"The diff has {characters:,} characters, the Auditor reads at most {MAX_PARTS * WINDOW:,}, and lines of "
        f"{WINDOW:,} at most: it was not audited and is not approved. Make the change smaller: do less in this phase, "
        "and take out generated files."
    )
    finding = AuditFinding(
        severity=Severity.MAJOR, category=_CATEGORY, component=_COMPONENT, slug=_SLUG, problem=problem
    )
    return AuditReport(recommendation=Recommendation.REVISE, summary=problem, findings=[finding])
