"""`GET /` and `GET /health`: open to everyone, and they tell database, workflow engine and GitHub apart."""

from collections.abc import Sequence
from typing import Annotated, Any

from dbos import DBOS, error
from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

import app
from app.web.dependencies import ServiceState, state
from app.workflows.services import list_refused_keys, services

router = APIRouter()


@router.get("/")
async def root() -> dict[str, str]:
    """What this is."""
    return {
        "service": "Autopack",
        "version": app.__version__,
        "description": "Labeled issues become reviewed pull requests.",
    }


@router.get("/health", responses={503: {"description": "One of its tasks fails"}})
async def health(service: Annotated[ServiceState, Depends(state)], response: Response) -> dict[str, Any]:
    """`status` says whether the process works (503 when one of its tasks fails); the parts say what is configured."""
    failing = service.background.failing()
    response.status_code = 503 if failing else 200
    return {
        "status": "failing" if failing else "healthy",
        "database": await run_in_threadpool(_database, service),
        "workflow_engine": await run_in_threadpool(_workflow_engine),
        "github": _github(service.settings.github_missing),
        "background": {"status": "failing" if failing else "ok", "failing": failing},
        "models": sorted(services().vendors),
        "refused_keys": list_refused_keys(),
    }


def _github(missing: Sequence[str]) -> dict[str, Any]:
    """Whether it is configured; once GitHub was asked who the App is, and did not know it, what it answered."""
    if missing:
        return {"status": "missing", "missing": list(missing)}
    github = services().github
    if github is not None and github.trouble:
        return {"status": "failing", "missing": [], "trouble": github.trouble}
    return {"status": "configured", "missing": []}


def _database(service: ServiceState) -> dict[str, str]:
    kind = service.db.url.get_backend_name()
    try:
        service.db.ping()
    except SQLAlchemyError as failure:
        return {"status": "failing", "kind": kind, "detail": type(failure).__name__}
    return {"status": "ok", "kind": kind}


def _workflow_engine() -> dict[str, str]:
    try:
        DBOS.list_workflows(limit=1, load_input=False, load_output=False)
    except (error.DBOSException, SQLAlchemyError) as failure:
        return {"status": "failing", "detail": type(failure).__name__}
    return {"status": "ok", "version": DBOS.application_version}
