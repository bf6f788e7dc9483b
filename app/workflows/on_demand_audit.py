"""Our own Auditor for externally built phases: `auditor_request` starts it where a model is configured."""

from dbos import DBOS, SetWorkflowID

from app.agents import auditor
from app.agents.conversation import AgentDeps
from app.agents.guard import ModelPlan
from app.agents.tasks import AuditTask, IssueText
from app.domain.api_requests import AuditorResult, AuditRequest
from app.domain.budget import BudgetExhausted, ModelFailed, Role, RunStopped
from app.domain.findings import AuditReport, distinct
from app.domain.frozen import Frozen
from app.domain.plan import AuditorProfile
from app.domain.states import RunState
from app.queries import run_details
from app.runs import audits, phase_moves, submissions
from app.workflows import db_steps
from app.workflows.run_ledger import RunLedger
from app.workflows.services import call_db, services
from app.workflows.steps import blocking_step, db_step, utcnow
from app.workflows.waiting import notify_run


class _AuditRequest(Frozen):
    """What our Auditor needs to review a posted patch."""

    task: AuditTask
    plan: ModelPlan


async def start_audit(run_id: str, phase_id: str, request: AuditRequest) -> bool:
    """Set our Auditor to work on the phase's newest patch, unless there is no model or no patch; whether it was.

    Requested again while it works, nothing happens; after it gave no answer, it tries again.
    """
    if not services().vendors:
        return False
    subject = await call_db(audits.audit_subject, run_id, phase_id)
    if subject is None:
        return False
    number = await call_db(audits.next_audit_number, run_id, phase_id)
    with SetWorkflowID(f"{run_id}:{phase_id}:audit:{number}:{subject}"):
        await DBOS.start_workflow_async(audit_posted_patch, run_id, phase_id, number, request)
    return True


@DBOS.workflow(name="audit_posted_patch")
async def audit_posted_patch(run_id: str, phase_id: str, number: int, request: AuditRequest) -> None:
    """Review the patch and post the audit, as an external auditor would. What goes wrong is recorded as an issue."""
    asked = await _prepare(run_id, phase_id, number, request)
    if asked is None:
        return
    ledger = RunLedger(run_id, phase_id)
    deps = AgentDeps(
        role=Role.AUDITOR,
        ledger=ledger,
        plan=asked.plan,
        record_failure=ledger.record_failure,
        read_tokens_left=ledger.read_tokens_left,
    )
    try:
        report = await auditor.audit(asked.task, deps)
    except BudgetExhausted as spent:
        await _record_failure(run_id, phase_id, number, str(spent))
        await db_steps.end_run(run_id, RunState.DONE_FAILED_BUDGET_EXHAUSTED, str(spent), spent.exhausted)
    except (ModelFailed, RunStopped) as trouble:
        await _record_failure(run_id, phase_id, number, str(trouble))
    else:
        await _post_audit(run_id, phase_id, number, report)
    await notify_run(run_id)


@blocking_step
def _prepare(run_id: str, phase_id: str, number: int, request: AuditRequest) -> _AuditRequest | None:
    """None when no patch was posted for the phase: then there is nothing to review."""
    with services().db.reading() as session:
        run = run_details.get_run(session, run_id)
        built = submissions.list_submissions(session, run_id, phase_id, Role.BUILDER)
        phase = submissions.planned_phase(run, phase_moves.get_phase(session, run, phase_id))
        strategy = phase_moves.strategy_of(run)
    posted = built[-1].builder_result.patch_content if built else None
    if not posted:
        return None
    # What was pushed unread is still to be read: a small patch on top of it does not get it approved.
    pushed = [one.builder_result.patch_content for one in built[:-1] if (one.answer or {}).get("commit_sha")]
    diff = "\n".join([*(one for one in pushed if one and auditor.unread(one)), posted])
    rules = strategy.of_phase(phase_id)
    task = AuditTask(
        repository=run.repository or run.project_id,
        run_id=run_id,
        issue=IssueText(number=run.issue_number, title=run.issue_title),
        phase=phase,
        attempt=number,
        diff=diff,
        profile=request.auditor_profile or AuditorProfile(rules.auditor_profile or AuditorProfile.GENERAL),
        ci=f"Asked to look at: {request.review_focus}.",
    )
    return _AuditRequest(
        task=task,
        plan=ModelPlan(
            models=rules.auditor.ids,
            max_output_tokens=strategy.output_tokens.auditor,
            request_limit=strategy.requests_per_attempt,
        ),
    )


@blocking_step
def _post_audit(run_id: str, phase_id: str, number: int, report: AuditReport) -> None:
    result = AuditorResult(
        run_id=run_id,
        phase_id=phase_id,
        review_notes=report.summary,
        recommendation=report.recommendation,
        auditor_attempts=number,
    )
    found = distinct(one.as_finding() for one in report.findings)
    audits.post_audit(services().db, run_id, phase_id, result, utcnow(), found=found)


_record_failure = db_step(audits.record_audit_failure)
