"""The OpenAPI document's examples of answers, put in once FastAPI has made it: it would leave their nulls out."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.web import examples, report_examples
from app.web.metrics import RunsPage, TiersOfRun
from app.web.runs import StatusReceipt

_ANSWERS: dict[tuple[str, str], BaseModel | dict[str, Any]] = {
    ("get", "/"): examples.ROOT,
    ("get", "/health"): examples.HEALTH,
    ("post", "/runs/start"): examples.STARTED,
    ("get", "/runs/{run_id}"): examples.RUN_CARD,
    ("post", "/runs/{run_id}/phases/{phase_id}/update_status"): StatusReceipt(
        message=f"Phase {examples.PHASE} is EXECUTING", phase=examples.PHASE_CARD
    ),
    ("post", "/runs/{run_id}/phases/{phase_id}/record_issue"): examples.RECORDED_ISSUE,
    ("get", "/metrics/runs"): RunsPage(total_runs=1, runs=[report_examples.RUN_METRICS]),
    ("get", "/metrics/tiers/{run_id}"): TiersOfRun(
        run_id=examples.RUN, tier_count=1, tiers=[report_examples.TIER_METRICS]
    ),
    ("get", "/reports/issue_backlog_summary"): report_examples.BACKLOG_SUMMARY,
    ("get", "/reports/budget_analysis"): report_examples.BUDGET_ANALYSIS,
    ("get", "/reports/run_summary/{run_id}"): report_examples.RUN_SUMMARY,
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
