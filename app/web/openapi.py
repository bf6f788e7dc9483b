"""The OpenAPI document's examples of answers, put in once FastAPI has made it: it would leave their nulls out."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.web import openapi_examples, openapi_report_examples
from app.web.metric_routes import RunsPage, TiersOfRun
from app.web.run_routes import StatusReceipt

_ANSWERS: dict[tuple[str, str], BaseModel | dict[str, Any]] = {
    ("get", "/"): openapi_examples.ROOT,
    ("get", "/health"): openapi_examples.HEALTH,
    ("post", "/runs/start"): openapi_examples.STARTED,
    ("get", "/runs/{run_id}"): openapi_examples.RUN_CARD,
    ("post", "/runs/{run_id}/phases/{phase_id}/update_status"): StatusReceipt(
        message=f"Phase {openapi_examples.PHASE} is EXECUTING", phase=openapi_examples.PHASE_CARD
    ),
    ("post", "/runs/{run_id}/phases/{phase_id}/record_issue"): openapi_examples.RECORDED_ISSUE,
    ("get", "/metrics/runs"): RunsPage(total_runs=1, runs=[openapi_report_examples.RUN_METRICS]),
    ("get", "/metrics/tiers/{run_id}"): TiersOfRun(
        run_id=openapi_examples.RUN, tier_count=1, tiers=[openapi_report_examples.TIER_METRICS]
    ),
    ("get", "/reports/issue_backlog_summary"): openapi_report_examples.BACKLOG_SUMMARY,
    ("get", "/reports/budget_analysis"): openapi_report_examples.BUDGET_ANALYSIS,
    ("get", "/reports/run_summary/{run_id}"): openapi_report_examples.RUN_SUMMARY,
}
"""By method and path; of other endpoints the schema itself has examples."""


def install(api: FastAPI) -> None:
    """Make the service's OpenAPI document show what its endpoints answer."""
    plain = api.openapi

    def documented() -> dict[str, Any]:
        document = plain()
        for (method, path), example in _ANSWERS.items():
            answers = document["paths"][path][method]["responses"]
            [success] = [answer for status, answer in answers.items() if status.startswith("2")]
            shown = example.model_dump(mode="json") if isinstance(example, BaseModel) else example
            success["content"]["application/json"]["example"] = shown
        return document

    api.openapi = documented
