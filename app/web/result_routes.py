"""`/runs/{run}/phases/{phase}/…`: how any other agent takes the part of the Builder or the Auditor."""

from typing import Annotated

from fastapi import APIRouter, Body

from app.domain.api_requests import AuditorResult, AuditRequest, BuilderResult
from app.domain.api_responses import AuditReceipt, AuditRequestReceipt, BuilderReceipt
from app.web.problems import problems
from app.workflows import api
from app.workflows.branch_status import IntegrationStatus, integration_status

router = APIRouter(tags=["builder and auditor"])


@router.post("/runs/{run_id}/phases/{phase_id}/builder_result", responses=problems(404, 409, 503))
async def builder_result(run_id: str, phase_id: str, result: Annotated[BuilderResult, Body()]) -> BuilderReceipt:
    """Post what a builder made of a phase; answered with the phase's state after its gate.

    COMPLETE; GATE while an audit or CI is awaited; RETRY when it is sent back; FAILED when no try is left. The same
    `builder_attempts` again is answered as the first time and counts once. A patch that cannot be read or does not
    apply is a 422 that names the hunk; it is recorded as an issue and costs no attempt.
    """
    return await api.post_builder_result(run_id, phase_id, result)


@router.post("/runs/{run_id}/phases/{phase_id}/auditor_request", responses=problems(404, 409, 503))
async def auditor_request(
    run_id: str, phase_id: str, request: Annotated[AuditRequest | None, Body()] = None
) -> AuditRequestReceipt:
    """Ask for an audit: the phase goes to its gate, and Autopack's own Auditor begins where a model is configured."""
    return await api.request_audit(run_id, phase_id, request or AuditRequest())


@router.post("/runs/{run_id}/phases/{phase_id}/auditor_result", responses=problems(404, 409, 503))
async def auditor_result(run_id: str, phase_id: str, result: Annotated[AuditorResult, Body()]) -> AuditReceipt:
    """Post an audit; also welcome after the phase or its run has ended: then it is recorded and can cost promotion."""
    return await api.post_auditor_result(run_id, phase_id, result)


@router.get("/runs/{run_id}/integration_status", responses=problems(404, 503))
async def get_integration_status(run_id: str) -> IntegrationStatus:
    """The run's branch on GitHub."""
    return await integration_status(run_id)
