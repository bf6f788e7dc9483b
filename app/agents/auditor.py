"""The Auditor: from a diff to findings and a recommendation."""

from collections.abc import Sequence

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.diff_parts import digest_of_parts, split_numbered
from app.agents.tasks import AuditTask
from app.domain.audit_window import MAX_PARTS, WINDOW, refuse_unread
from app.domain.budget import Role
from app.domain.findings import AuditReport, Recommendation

agent = make_agent(Role.AUDITOR, AuditReport)
_GRAVEST = (Recommendation.ESCALATE, Recommendation.REVISE, Recommendation.APPROVE)


def unread(diff: str) -> bool:
    """Whether a diff cannot be read whole."""
    return _parts_of(diff) is None


def digest_shown(diff: str) -> str:
    """The digest of what the Auditor is shown of a diff; empty where that is nothing."""
    parts = _parts_of(diff)
    return "" if parts is None else digest_of_parts(parts)


async def audit(task: AuditTask, deps: AgentDeps) -> AuditReport:
    """Ask for a review of the patch, part by part; one that cannot be read whole is sent back unread.

    Raises as `converse` does.
    """
    parts = _parts_of(task.diff)
    if parts is None:
        return refuse_unread(len(task.diff))
    reports: list[AuditReport] = []
    for number, shown in enumerate(parts, 1):
        part = task.model_copy(update={"shown": shown, "part": number, "parts": len(parts)})
        result = await converse(agent, prompts.auditor_system(part), prompts.request("auditor", part), deps)
        reports.append(result.output)
    return _together(reports)


def _parts_of(diff: str) -> tuple[str, ...] | None:
    """What each request shows of the diff; None where it cannot be read whole."""
    parts = split_numbered(diff, WINDOW)
    return parts if parts is not None and len(parts) <= MAX_PARTS else None


def _together(reports: Sequence[AuditReport]) -> AuditReport:
    """One audit of all parts: the gravest recommendation, all findings, and what a part found fixed."""
    if len(reports) == 1:
        return reports[0]
    given = {report.recommendation for report in reports}
    summary = "\n\n".join(f"Part {number}: {report.summary}" for number, report in enumerate(reports, 1))
    return AuditReport(
        recommendation=next(one for one in _GRAVEST if one in given),
        summary=summary[:8_000],
        findings=[finding for report in reports for finding in report.findings],
        fixed=list(dict.fromkeys(key for report in reports for key in report.fixed)),
    )
