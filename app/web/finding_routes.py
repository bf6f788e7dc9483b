"""Issues at three levels: of a phase, of a run, and of a project over all its runs."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from app.db import backlog
from app.db.engine import Database
from app.db.tables import DEFAULT_PROJECT
from app.domain.aging import BacklogEntry, BacklogStatus
from app.domain.finding_counts import IndexEntry
from app.domain.posted_issue import IssueReport
from app.runs import api_commands
from app.runs.api_commands import IssueReceipt
from app.web.dependencies import ServiceState, state
from app.web.problems import problems
from app.workflows import api

router = APIRouter(tags=["issues"])


class IssueIndex(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "run-001",
                    "issues_by_key": {
                        "test_failure__auth_missing": {
                            "category": "test_failure",
                            "severity": "minor",
                            "effective_severity": "minor",
                            "first_phase_index": 0,
                            "last_phase_index": 0,
                            "occurrence_count": 1,
                            "seen_in_tiers": ["T1"],
                            "seen_in_phases": ["P1.1"],
                        }
                    },
                }
            ]
        }
    )

    run_id: str
    issues_by_key: dict[str, IndexEntry]


class ProjectBacklog(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project_id": "autopack",
                    "total": 1,
                    "issues_by_key": {
                        "test_failure__auth_missing": {
                            "issue_key": "test_failure__auth_missing",
                            "category": "test_failure",
                            "base_severity": "minor",
                            "status": "open",
                            "occurrences": 1,
                            "age_in_runs": 1,
                            "age_in_tiers": 1,
                            "seen_in_tiers": ["T1"],
                            "first_seen_run_id": "run-001",
                            "last_seen_run_id": "run-001",
                            "last_seen_at": "2026-01-02T03:04:05Z",
                        }
                    },
                }
            ]
        }
    )

    project_id: str
    total: int
    issues_by_key: dict[str, BacklogEntry]


@router.post("/runs/{run_id}/phases/{phase_id}/record_issue", responses=problems(404, 409))
async def record_issue(run_id: str, phase_id: str, report: Annotated[IssueReport, Body()]) -> IssueReceipt:
    """Record an issue at the three levels. The same key again is counted, not repeated; severity only rises."""
    return await api.record_issue(run_id, phase_id, report)


@router.get("/runs/{run_id}/issues/index", responses=problems(404))
async def issue_index(run_id: str, service: Annotated[ServiceState, Depends(state)]) -> IssueIndex:
    """The run's issues, each key once."""
    found = await run_in_threadpool(api_commands.issue_index, service.db, run_id)
    return IssueIndex(run_id=run_id, issues_by_key=found)


@router.get("/project/issues/backlog", responses=problems())
async def project_backlog(
    service: Annotated[ServiceState, Depends(state)],
    project_id: Annotated[
        str,
        Query(
            max_length=200,
            pattern=r"^[A-Za-z0-9._/-]+$",
            description="`owner/name`, or `autopack` for runs without a repository",
        ),
    ] = DEFAULT_PROJECT,
    status: Annotated[BacklogStatus | None, Query(description="Only issues with this status")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ProjectBacklog:
    """The project's issues over all its runs, with their age, by key."""
    total, shown = await run_in_threadpool(_page, service.db, project_id, status, limit, offset)
    return ProjectBacklog(project_id=project_id, total=total, issues_by_key={one.issue_key: one for one in shown})


def _page(
    db: Database, project_id: str, status: BacklogStatus | None, limit: int, offset: int
) -> tuple[int, tuple[BacklogEntry, ...]]:
    with db.reading() as session:
        return backlog.list_page(session, project_id, status, limit, offset)
