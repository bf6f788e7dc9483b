"""`/runs`: start a run, look at it, step its phases."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from app.domain.api_requests import RunStart, StatusUpdate
from app.domain.api_run import PhaseCard, RunCard
from app.queries import run_details
from app.web.dependencies import ServiceState, state
from app.web.etag import etag_of
from app.web.problems import problems
from app.workflows import api

router = APIRouter(tags=["runs"])


class StatusReceipt(BaseModel):
    message: str
    phase: PhaseCard


@router.post("/runs/start", status_code=201, responses=problems(409))
async def start_run(asked: Annotated[RunStart, Body()], response: Response) -> RunCard:
    """Start a run with its whole plan: all of it is made, or nothing.

    A plan over `max_phases` becomes several runs that follow each other; `linked_runs` names them.
    """
    card = await api.start_run(asked)
    response.headers["Location"] = f"/runs/{card.run_id}"
    return card


@router.get("/runs/{run_id}", responses=problems(404) | {304: {"description": "Not changed since that ETag"}})
async def get_run(
    run_id: str,
    service: Annotated[ServiceState, Depends(state)],
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> RunCard:
    """The run with its tiers, phases, counts and frozen strategy. Send the `ETag` back in `If-None-Match` to poll."""
    card = await run_in_threadpool(run_details.read_run_card, service.db, run_id)
    tag = etag_of(card)
    if if_none_match is not None and tag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]:
        return Response(status_code=304, headers={"ETag": tag})  # pyright: ignore[reportReturnType]
    response.headers["ETag"] = tag
    return card


@router.post("/runs/{run_id}/phases/{phase_id}/update_status", responses=problems(404, 409))
async def update_status(run_id: str, phase_id: str, update: Annotated[StatusUpdate, Body()]) -> StatusReceipt:
    """Step a phase by its machine: QUEUED → EXECUTING → GATE → COMPLETE, or RETRY, FAILED, SKIPPED.

    Its tier and run move with it. A step that the machine does not have is a 409.
    """
    phase = await api.update_status(run_id, phase_id, update)
    return StatusReceipt(message=f"Phase {phase_id} is {phase.state}", phase=phase)
