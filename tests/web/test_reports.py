"""Metrics and reports over HTTP: the fields that clients read, problems, pages, and what Prometheus scrapes."""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from app.config.loader import default_ruleset
from app.db import finding_rows, run_rows
from app.db.engine import Database
from app.db.tables import Backlog, DeliveryRow, ModelCallRow, Project
from app.domain.aging import BacklogStatus
from app.domain.budget import Exhausted, Kind, Role, Scope
from app.domain.states import PhaseState, RunState
from app.runs import transitions
from app.settings import Settings
from app.web import metric_routes, problems, prometheus, report_routes
from app.web.background import Background
from app.web.dependencies import ServiceState
from app.web.drainer import Drainer
from app.web.intake import Intake
from app.workflows.services import Services, configure
from tests.db.sample_rows import NOW, after, finding, new_run, planned_run

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"
LABELS = {"state", "role", "category", "outcome", "severity", "status"}
ENDPOINTS = (
    *("/metrics/runs", "/metrics/tiers/r1", "/reports/run_summary/r1"),
    *("/reports/issue_backlog_summary", "/reports/budget_analysis"),
)


@pytest.fixture
def api(db: Database, tmp_path: Path) -> FastAPI:
    """The routes over the database; an exception in them is a 500."""
    made = FastAPI()
    problems.install(made)
    made.include_router(metric_routes.router)
    made.include_router(report_routes.router)
    made.state.service = ServiceState(
        settings=Settings(), db=db, intake=Intake(db), drainer=Drainer(db), background=Background({})
    )
    return made


@pytest.fixture
async def client(api: FastAPI, db: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    configure(
        Services(
            db=db,
            github=None,
            server_url="http://h",
            data_dir=tmp_path,
            ruleset=default_ruleset(),
            vendors=frozenset(),
        )
    )
    transport = httpx.ASGITransport(app=api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as one:
        yield one
    configure(None)


async def read(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(client: httpx.AsyncClient, path: str, status: int) -> dict[str, Any]:
    """The problem with which the service answers."""
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["detail"]
    return problem


async def scraped(client: httpx.AsyncClient) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample that Prometheus would read: by name, then by labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == metric_routes.TEXT
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def worked(db: Database) -> None:
    """A run with plan, tokens, an issue, audits and an end on a cap; and one that has no plan yet."""
    planned_run(db)
    with db.writing() as session:
        session.add(
            ModelCallRow(
                id="c1",
                run_id="r1",
                phase_id="P1",
                role=Role.BUILDER,
                model="external",
                reserved=0,
                settled=True,
                input=150_000,
                cached=50_000,
                output=40_000,
                cost_usd=Decimal("1.5"),
                at=NOW,
            )
        )
        session.add(DeliveryRow(id="d1", event="push", payload="{}", received_at=NOW, handed_at=None))
    run_rows.update_phase(db, "r1", "P1", {"auditor_attempts": 2, "builder_attempts": 3, "ci_runs": 1})
    finding_rows.record(db, "r1", "P1", [finding()], "audit 1", NOW)
    hit = Exhausted(scope=Scope.PHASE, name="P1", kind=Kind.TOKENS, limit=200_000, used=190_000, needs=20_000)
    transitions.move_phase(db, "r1", "P1", PhaseState.EXECUTING, "attempt 1", NOW)
    transitions.end_run(db, "r1", RunState.DONE_FAILED_BUDGET_EXHAUSTED, hit.reason, after(hours=1), hit)
    run_rows.create(db, new_run("r2", issue=8, token_cap=0), after(minutes=1))


async def test_an_empty_database_is_no_error(client: httpx.AsyncClient) -> None:
    assert await read(client, "/metrics/runs") == {"total_runs": 0, "runs": []}
    assert (await read(client, "/reports/issue_backlog_summary"))["total_issues"] == 0
    assert (await read(client, "/reports/budget_analysis"))["failures"] == []
    assert (await scraped(client))["autopack_open_runs"] == {(): 0}


async def test_runs_have_the_fields_that_clients_read(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    answer = await read(client, "/metrics/runs")
    assert answer["total_runs"] == 2
    fresh, ended = answer["runs"]
    assert fresh.items() >= {"run_id": "r2", "token_cap": 0, "token_utilization": 0, "started_at": None}.items()
    assert (
        ended.items()
        >= {
            "run_id": "r1",
            "state": "DONE_FAILED_BUDGET_EXHAUSTED",
            "safety_profile": "normal",
            "tokens_used": 190_000,
            "token_cap": 5_000_000,
            "token_utilization": 0.038,
            "minor_issues_count": 1,
            "major_issues_count": 0,
            "max_minor_issues_total": 9,
            "phase_count": 3,
            "tier_count": 2,
        }.items()
    )
    assert datetime.fromisoformat(ended["completed_at"]) == after(hours=1)


async def test_a_page_of_runs_leads_to_the_next(client: httpx.AsyncClient, db: Database) -> None:
    for number in range(5):
        run_rows.create(db, new_run(f"r{number}", issue=number), after(minutes=number))
    transitions.end_run(db, "r4", RunState.DONE_CANCELLED, "cancelled", after(hours=1))
    seen: list[str] = []
    path = "/metrics/runs?status=PLAN_BOOTSTRAP&limit=3"
    while path:
        answer = await client.get(path)
        assert answer.json()["total_runs"] == 4
        seen += [one["run_id"] for one in answer.json()["runs"]]
        path = answer.links.get("next", {}).get("url", "")
    assert seen == ["r3", "r2", "r1", "r0"]


@pytest.mark.parametrize(
    "query", ["status=DONE", "status=", "limit=0", "limit=501", "limit=x", "offset=-1", "offset=99999999999999999999"]
)
async def test_invalid_query_is_a_clear_422(client: httpx.AsyncClient, query: str) -> None:
    problem = await refused(client, f"/metrics/runs?{query}", 422)
    assert query.partition("=")[0] in problem["detail"]


@pytest.mark.parametrize("path", ["/metrics/tiers/", "/reports/run_summary/"])
@pytest.mark.parametrize("run_id", ["nobody", "a%00b", "..%5Cx", "-x", "x" * 300, "%F0%9F%90%8D"])
async def test_unknown_run_is_a_404(client: httpx.AsyncClient, path: str, run_id: str) -> None:
    detail = (await refused(client, path + run_id, 404))["detail"]
    assert detail.startswith("There is no run")
    assert ("not an identifier" in detail) == (run_id != "nobody"), "only identifiers reach the database"


async def test_tiers_and_summary_keep_client_fields(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    tiers = await read(client, "/metrics/tiers/r1")
    assert (tiers["run_id"], tiers["tier_count"]) == ("r1", 2)
    assert (
        tiers["tiers"][0].items()
        >= {
            "tier_id": "T1",
            "tier_index": 0,
            "name": "Base",
            "state": "BLOCKED",
            "minor_issues_count": 1,
            "major_issues_count": 0,
            "phase_count": 2,
            "phase_states": {"FAILED": 1, "SKIPPED": 1},
            "tokens_used": 190_000,
        }.items()
    )
    summary = await read(client, "/reports/run_summary/r1")
    assert (
        summary["budgets"].items()
        >= {
            "tokens_used": 190_000,
            "token_cap": 5_000_000,
            "token_utilization": 0.038,
            "phase_count": 3,
            "max_phases": 25,
        }.items()
    )
    counted = {"minor_count": 1, "major_count": 0, "max_minor_total": 9, "distinct_issues": 1}
    assert summary["issues"] == counted
    assert summary["tiers"][0].items() >= {"minor_issues": 1, "major_issues": 0, "tokens_used": 190_000}.items()
    assert (
        summary["phases"][0].items()
        >= {
            "phase_id": "P1",
            "phase_index": 0,
            "name": "Step P1",
            "state": "FAILED",
            "task_category": "docs",
            "complexity": "medium",
            "builder_attempts": 3,
            "auditor_attempts": 2,
            "tokens_used": 190_000,
            "minor_issues": 1,
            "major_issues": 0,
        }.items()
    )
    assert "DONE_FAILED_BUDGET_EXHAUSTED, not DONE_SUCCESS" in summary["promotion_blockers"][0]


async def test_budgets_and_backlog_keep_client_fields(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    analysis = await read(client, "/reports/budget_analysis")
    assert (analysis["total_budget_failures"], analysis["average_token_utilization"]) == (1, 0.038)
    assert (
        analysis["failures"][0].items() >= {"run_id": "r1", "max_phases": 25, "phase_id": "P1", "tier_id": "T1"}.items()
    )
    assert analysis["failures"][0]["cap"]["limit"] == 200_000
    assert analysis["spending"][0]["tokens_used"] == 190_000
    with db.writing() as session:
        kept = session.get_one(Backlog, ("acme/widgets", "docs__readme__typo"))
        kept.status, kept.age_in_runs = BacklogStatus.NEEDS_CLEANUP, 3
    backlog = await read(client, "/reports/issue_backlog_summary?project_id=acme/widgets")
    assert (backlog["total_issues"], backlog["open_count"], backlog["needs_cleanup_count"]) == (1, 0, 1)
    key, entry = backlog["top_aging_issues"][0]
    assert (key, entry["age_in_runs"]) == ("docs__readme__typo", 3)
    assert (
        backlog["needs_cleanup"][0].items()
        >= {
            "issue_key": "docs__readme__typo",
            "base_severity": "minor",
            "status": "needs_cleanup",
            "seen_in_tiers": ["T1"],
            "first_seen_run_id": "r1",
            "last_seen_run_id": "r1",
        }.items()
    )
    assert {"age_in_runs", "age_in_tiers"} <= set(backlog["needs_cleanup"][0])
    assert (await read(client, "/reports/issue_backlog_summary?project_id=autopack"))["total_issues"] == 0
    await refused(client, "/reports/issue_backlog_summary?project_id=%00", 422)


# Prometheus


async def test_prometheus_finds_every_total(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    with db.writing() as session:
        session.add(Project(project_id="secret/repository"))
    found = await scraped(client)
    assert found["autopack_runs"][("state", "DONE_FAILED_BUDGET_EXHAUSTED"),] == 1
    assert found["autopack_runs"][("state", "GATE"),] == 0, "a state that no run is in is shown too"
    assert found["autopack_open_runs"] == {(): 1}
    assert found["autopack_runs_ended_total"][("outcome", "failed"),] == 1
    assert found["autopack_tokens_total"][("role", "builder"), ("status", "input")] == 100_000
    assert found["autopack_tokens_total"][("role", "builder"), ("status", "cached_input")] == 50_000
    assert found["autopack_tokens_total"][("role", "builder"), ("status", "output")] == 40_000
    assert found["autopack_cost_usd_total"][("role", "builder"),] == 1.5
    assert found["autopack_model_calls"][("role", "builder"), ("status", "settled")] == 1
    assert found["autopack_phases"][("category", "docs"), ("state", "SKIPPED")] == 2
    assert found["autopack_ci_runs_total"] == {(): 1}
    assert found["autopack_issues"][("severity", "minor"), ("status", "open")] == 1
    assert found["autopack_backlog_issues"][("severity", "minor"), ("status", "open")] == 1
    assert found["autopack_inbox_deliveries"][("status", "waiting"),] == 1
    assert found["autopack_oldest_waiting_delivery_seconds"][()] > 0


async def test_labels_name_no_run_or_repository(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    run_rows.update_phase(db, "r1", "P2", {"task_category": "someone's own"})
    found = await scraped(client)
    labels = {label for samples in found.values() for labels in samples for label in labels}
    assert {name for name, _ in labels} == LABELS
    values = {value for _, value in labels}
    assert ("category", "other") in labels
    assert not values & {"r1", "r2", "P1", "T1", "acme/widgets", "someone's own", "maintainer"}
    assert len([one for samples in found.values() for one in samples]) < 200


async def test_slow_scrape_is_given_up(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_routes, "SCRAPE_SECONDS", 0.2)
    with prometheus.SCRAPE_LOCK:
        problem = await refused(client, "/metrics", 503)
    assert "try again" in problem["detail"]
    assert (await client.get("/metrics")).status_code == 200


async def test_dashboard_shows_existing_metrics(client: httpx.AsyncClient, db: Database) -> None:
    worked(db)
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = {name for text in expressions for name in re.findall(r"\bautopack_\w+", text)}
    there = await scraped(client)
    assert named == set(there), "every metric is shown, and nothing else"
    page = DASHBOARD.with_name("operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(autopack_\w+)`", page, re.MULTILINE)) == named
    used = {label for text in expressions for label in re.findall(r"by \(([^)]*)\)", text)}
    assert {one.strip() for labels in used for one in labels.split(",")} <= LABELS


# The documentation


def test_every_answer_has_a_documented_example(api: FastAPI) -> None:
    described = api.openapi()
    for path in ENDPOINTS:
        template = path.replace("r1", "{run_id}")
        responses = described["paths"][template]["get"]["responses"]
        assert "application/problem+json" in responses["422"]["content"]
        assert ("404" in responses) == ("{run_id}" in template)
        name = responses["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert undocumented(described["components"]["schemas"], name) == []


def undocumented(schemas: dict[str, Any], name: str) -> list[str]:
    """Fields that are no parts of their own and have no example."""
    properties: dict[str, dict[str, Any]] = schemas[name]["properties"]
    return [
        field
        for field, schema in properties.items()
        if "examples" not in schema and "$ref" not in json.dumps(schema) and "date-time" not in json.dumps(schema)
    ]
