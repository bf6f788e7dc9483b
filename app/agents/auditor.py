"""The Auditor: from a diff to findings and a recommendation."""

from app.agents import prompts
from app.agents.conversation import AgentDeps, converse, make_agent
from app.agents.tasks import AuditTask
from app.domain.budget import Role
from app.domain.findings import AuditReport

agent = make_agent(Role.AUDITOR, AuditReport)


async def audit(task: AuditTask, deps: AgentDeps) -> AuditReport:
    """Ask for a review of the patch. Raises as `converse` does."""
    result = await converse(agent, prompts.auditor_system(task), prompts.request("auditor", task), deps)
    return result.output
