"""The Auditor's review: its body and its inline comments."""

from collections.abc import Sequence

from app.domain.findings import Finding, Recommendation, Severity
from app.github.text.escape import code, fence_for, inline, marker, quote
from app.github.text.markdown import bullets, sections

VERDICTS = {
    Recommendation.APPROVE: ("✅", "The Auditor found nothing that blocks it"),
    Recommendation.REVISE: ("🔁", "The Auditor asks for changes"),
    Recommendation.ESCALATE: ("🙋", "The Auditor asks for a person's judgment"),
}
LEFTOVER_ROOM = 40_000


def finding_marker(fingerprint: str) -> str:
    """The hidden mark of a finding, by which it is never posted twice."""
    return marker(f"finding:{fingerprint}")


def review_body(
    recommendation: Recommendation,
    summary: str,
    *,
    phase_id: str,
    builders: Sequence[str],
    auditors: Sequence[str],
    posted: bool = False,
) -> str:
    """The review's own text. The models are named, so that anyone sees whether one judged itself.

    What is `posted` may come from agents whose models Autopack does not know.
    """
    mark, verdict = VERDICTS[recommendation]
    return sections(
        f"### {mark} {verdict} ({code(phase_id)})",
        quote(summary, 8_000),
        f"<sub>Built by {_names(builders, posted)}, audited by {_names(auditors, posted)}. An App cannot approve its "
        "own pull request: the verdict is the check run.</sub>",
    )


def _names(models: Sequence[str], posted: bool) -> str:
    return " and ".join(map(code, models)) or ("an external agent" if posted else code("no model"))


def review_comment(finding: Finding, *, suggest: bool = False) -> str:
    """An inline comment. With `suggest`, the finding's replacement can be applied from GitHub's page."""
    mark = "🔴" if finding.severity is Severity.MAJOR else "🟡"
    suggestion = ""
    if suggest and finding.replacement is not None and suggestible(finding.replacement):
        ticks = fence_for(finding.replacement)
        # GitHub puts the lines between the fences in place of the marked ones: blank ones count, and none deletes.
        lines = finding.replacement.removesuffix("\n") + "\n" if finding.replacement else ""
        suggestion = f"{ticks}suggestion\n{lines}{ticks}"
    return sections(
        f"{mark} **{finding.severity.value}** · {inline(finding.category, 80)}",
        quote(finding.problem, 4_000),
        suggestion,
        finding_marker(finding.fingerprint),
    )


def suggestible(replacement: str) -> bool:
    """Whether a replacement stays unchanged in a suggestion block, so that GitHub applies exactly that."""
    return (
        len(replacement) <= 10_000 and "<!--" not in replacement and "\r" not in replacement and "\0" not in replacement
    )


def leftover_section(findings: Sequence[Finding]) -> str:
    """The findings that no line of the diff can carry, as part of the review's body."""
    if not findings:
        return ""
    return sections("**Not on a line of this diff:**", bullets((_leftover(one) for one in findings), LEFTOVER_ROOM))


def _leftover(finding: Finding) -> str:
    mark = "🔴" if finding.severity is Severity.MAJOR else "🟡"
    place = finding.path or "the whole patch"
    if finding.path is not None and finding.line is not None:
        place = f"{finding.path}:{finding.line}"
    head = f"{mark} **{finding.severity.value}** · {inline(finding.category, 80)} · {code(place)}"
    return f"{head}: {inline(finding.problem, 2_000)} {finding_marker(finding.fingerprint)}"
