"""`GET /reports/…`: open issues over all runs, use of budgets, and one run as a whole."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.domain.metrics import BacklogSummary, BudgetAnalysis, RunSummary
from app.queries import backlog_report, budget_report, run_metrics
from app.web.metric_routes import RunId, of_run
from app.web.problems import problems
from app.workflows.services import call_db, services

router = APIRouter(prefix="/reports", tags=["reports"])


@router.get("/issue_backlog_summary", responses=problems())
async def issue_backlog_summary(
    project_id: Annotated[
        str | None,
        Query(
            max_length=200,
            pattern=r"^[A-Za-z0-9._/-]+$",
            description="A repository, `owner/name`, or `autopack` for runs without one; all projects unless given",
            examples=["acme/widgets"],
        ),
    ] = None,
) -> BacklogSummary:
    """Issues that runs have left open: how many, which for longest, which need a clean-up."""
    return await call_db(backlog_report.backlog_summary, project_id)


@router.get("/budget_analysis", responses=problems())
async def budget_analysis(
    limit: Annotated[int, Query(ge=1, le=500, description="Failures to list, the newest first")] = 100,
) -> BudgetAnalysis:
    """Which caps ended runs, and where; what kinds of phases spent most; whether another audit helped."""
    return await call_db(budget_report.budget_analysis, services().ruleset.run, limit=limit)


@router.get("/run_summary/{run_id}", responses=problems(404))
async def run_summary(run_id: RunId) -> RunSummary:
    """One run as a lead reads it."""
    return await of_run(run_metrics.read_run_summary, run_id, services().ruleset.run)
