"""The Auditor: from a diff to findings and a recommendation."""

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.diff_lines import number_lines
from app.agents.tasks import AuditTask
from app.domain.audit_window import refuse_unread
from app.domain.budget import Role
from app.domain.findings import AuditReport

agent = make_agent(Role.AUDITOR, AuditReport)


def unread(diff: str) -> AuditReport | None:
    """The answer about a diff that does not fit into the Auditor's request; None for one that does."""
    return refuse_unread(len(number_lines(diff)))


async def audit(task: AuditTask, deps: AgentDeps) -> AuditReport:
    """Ask for a review of the patch; one that does not fit whole is sent back unread. Raises as `converse` does."""
    refused = unread(task.diff)
    if refused is not None:
        return refused
    result = await converse(agent, prompts.auditor_system(task), prompts.request("auditor", task), deps)
    return result.output
