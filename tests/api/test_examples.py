"""The API's documentation: every endpoint is explained and shown by examples that fit their own schemas."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.domain.commands import REGISTRY
from tests.support.service import Service

ENDPOINTS = (
    "GET /",
    "GET /health",
    "POST /runs/start",
    "GET /runs/{run_id}",
    "GET /runs/{run_id}/log",
    *(f"POST /runs/{{run_id}}/{name}" for name, spec in REGISTRY.items() if spec.of_run),
    "POST /runs/{run_id}/phases/{phase_id}/update_status",
    "POST /runs/{run_id}/phases/{phase_id}/record_issue",
    "GET /runs/{run_id}/issues/index",
    "GET /project/issues/backlog",
    "POST /runs/{run_id}/phases/{phase_id}/builder_result",
    "POST /runs/{run_id}/phases/{phase_id}/auditor_request",
    "POST /runs/{run_id}/phases/{phase_id}/auditor_result",
    "GET /runs/{run_id}/integration_status",
    "GET /metrics",
    "GET /metrics/runs",
    "GET /metrics/tiers/{run_id}",
    "GET /reports/issue_backlog_summary",
    "GET /reports/budget_analysis",
    "GET /reports/run_summary/{run_id}",
)
OPEN = {"GET /", "GET /health"}


@pytest.fixture(scope="session")
def document(service: Service) -> dict[str, Any]:
    return httpx.get(f"{service.url}/openapi.json").raise_for_status().json()


def operation_of(document: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    method, _, path = endpoint.partition(" ")
    return document["paths"][path][method.lower()]


def examples_of(document: Mapping[str, Any], media: Mapping[str, Any]) -> list[Any]:
    """The examples of a media type: its own, or those of the schemas that it names."""
    shown = [media["example"]] if "example" in media else []
    shown += [one["value"] for one in media.get("examples", {}).values()]
    for schema in _named(media["schema"]):
        shown += document["components"]["schemas"][schema].get("examples", ())
    return shown


def _named(schema: Mapping[str, Any]) -> Iterator[str]:
    for option in (schema, *schema.get("anyOf", ())):
        if "$ref" in option:
            yield option["$ref"].rpartition("/")[2]


def require_valid(document: Mapping[str, Any], media: Mapping[str, Any], what: str) -> None:
    """There is an example, and each fits its schema."""
    schema = {**media["schema"], "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    shown = examples_of(document, media)
    assert shown, f"{what} has no example"
    for example in shown:
        assert [f"{what}: {error.message}" for error in validator.iter_errors(example)] == []


def test_the_endpoints_are_those_of_the_contract(document: Mapping[str, Any]) -> None:
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert described - {"POST /webhooks/github"} == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoint_has_description_and_valid_examples(document: Mapping[str, Any], endpoint: str) -> None:
    operation = operation_of(document, endpoint)
    assert operation["summary"]
    assert len(operation["description"]) > 10
    if "requestBody" in operation:
        require_valid(document, operation["requestBody"]["content"]["application/json"], f"{endpoint}, body")
    [success] = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    assert success["content"], endpoint
    for kind, media in success["content"].items():
        require_valid(document, media, f"{endpoint}, {kind}")


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one not in OPEN])
def test_the_errors_of_an_endpoint_are_problem_details(document: Mapping[str, Any], endpoint: str) -> None:
    operation = operation_of(document, endpoint)
    errors = {int(status): answer for status, answer in operation["responses"].items() if status[0] in "45"}
    expected = {401, 403, 422} | ({404} if "{run_id}" in endpoint else set[int]())
    assert expected <= errors.keys()
    for status, answer in errors.items():
        assert list(answer["content"]) == ["application/problem+json"], (endpoint, status)
        media = answer["content"]["application/problem+json"]
        require_valid(document, media, f"{endpoint}, {status}")
        assert media["example"]["status"] == status


def test_start_example_can_be_sent(service: Service, document: Mapping[str, Any]) -> None:
    """And so can the result, with the ids that it names; the answers have the fields of their examples."""
    steps = (
        "POST /runs/start",
        "GET /runs/{run_id}",
        "POST /runs/{run_id}/phases/{phase_id}/update_status",
        "POST /runs/{run_id}/phases/{phase_id}/record_issue",
        "POST /runs/{run_id}/phases/{phase_id}/builder_result",
        "POST /runs/{run_id}/phases/{phase_id}/auditor_request",
        "POST /runs/{run_id}/phases/{phase_id}/auditor_result",
    )
    own = "example-run"
    for endpoint in steps:
        operation = operation_of(document, endpoint)
        method, _, path = endpoint.partition(" ")
        body: Any = None
        if "requestBody" in operation:
            [body] = examples_of(document, operation["requestBody"]["content"]["application/json"])
            body = _renamed(body, own)
        address = path.replace("{run_id}", own).replace("{phase_id}", "P1.1")
        answer = httpx.request(method, service.url + address, json=body, timeout=60)
        [status] = [status for status in operation["responses"] if status.startswith("2")]
        assert str(answer.status_code) == status, answer.text
        for example in examples_of(document, operation["responses"][status]["content"]["application/json"]):
            assert example.keys() <= answer.json().keys(), endpoint


def _renamed(body: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """The body for a run of another id: other tests use the example's."""
    renamed = {**body}
    if "run" in renamed:
        renamed["run"] = {**renamed["run"], "run_id": run_id}
    return renamed | ({"run_id": run_id} if "run_id" in renamed else {})


def test_no_reference_of_the_document_leads_nowhere(document: Mapping[str, Any]) -> None:
    named = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert named
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert named - known == set()
