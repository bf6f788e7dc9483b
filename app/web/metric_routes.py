"""`GET /metrics` for Prometheus, and the figures of runs and tiers as JSON."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Annotated, Concatenate, ParamSpec, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import NoResultFound

from app.db.engine import Database
from app.domain.metrics import RunMetrics, TierMetrics
from app.domain.plan import is_identifier
from app.domain.states import RunState
from app.queries import run_metrics
from app.web import prometheus
from app.web.dependencies import ServiceState, state
from app.web.problems import Problem, problems
from app.workflows.services import call_db, services
from app.workflows.steps import utcnow

P = ParamSpec("P")
R = TypeVar("R")

SCRAPE_SECONDS = 8.0
"""Prometheus itself gives up after ten."""
TEXT = "text/plain; version=0.0.4; charset=utf-8"
LARGEST_OFFSET = 1_000_000_000

router = APIRouter(tags=["metrics"])


class RunsPage(BaseModel):
    """A page of runs, the newest first."""

    total_runs: int = Field(examples=[1])
    """All that match, on all pages."""
    runs: list[RunMetrics]


class TiersOfRun(BaseModel):
    """The tiers of a run, in order."""

    run_id: str = Field(examples=["run-001"])
    tier_count: int = Field(examples=[1])
    tiers: list[TierMetrics]


RunId = Annotated[str, Path(examples=["run-001"])]


async def of_run(read: Callable[Concatenate[Database, str, P], R], run_id: str, *args: P.args, **kwargs: P.kwargs) -> R:
    """What the database says of a run. Raises the 404 problem of a run that does not exist."""
    # What is no identifier names no run, and may hold what a database does not take.
    if is_identifier(run_id):
        with contextlib.suppress(NoResultFound):
            return await call_db(read, run_id, *args, **kwargs)
        raise Problem(404, f"There is no run {run_id}; GET /metrics/runs lists those there are")
    raise Problem(404, "There is no run of this name: it is not an identifier")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": 'autopack_runs{state="GATE"} 1.0'}}},
        **problems(503),
    },
)
async def scrape(service: Annotated[ServiceState, Depends(state)]) -> Response:
    """Totals for Prometheus, counted now. 503 when that takes too long."""
    github = services().github
    left = github.budget.fewest() if github is not None else None
    counting = asyncio.to_thread(prometheus.exposition, service.db, utcnow(), SCRAPE_SECONDS / 2, left)
    try:
        text = await asyncio.wait_for(counting, SCRAPE_SECONDS)
    except (TimeoutError, prometheus.Busy) as slow:
        raise Problem(503, f"The totals were not counted within {SCRAPE_SECONDS:g} seconds; try again") from slow
    return Response(text, headers={"content-type": TEXT})


@router.get("/metrics/runs", responses=problems())
async def runs(
    request: Request,
    response: Response,
    status: Annotated[RunState | None, Query(description="Only runs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Runs on a page")] = 100,
    offset: Annotated[int, Query(ge=0, le=LARGEST_OFFSET, description="Runs to leave out before it")] = 0,
) -> RunsPage:
    """Runs in figures, the newest first; the header `Link` leads to the next page."""
    defaults = services().ruleset.run
    total, page = await call_db(run_metrics.run_metrics, defaults, state=status, limit=limit, offset=offset)
    if offset + len(page) < total and page:
        following = request.url.include_query_params(limit=limit, offset=offset + limit)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return RunsPage(total_runs=total, runs=page)


@router.get("/metrics/tiers/{run_id}", responses=problems(404))
async def tiers(run_id: RunId) -> TiersOfRun:
    """The tiers of one run in figures."""
    found = await of_run(run_metrics.tier_metrics, run_id)
    return TiersOfRun(run_id=run_id, tier_count=len(found), tiers=found)
