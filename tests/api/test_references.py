"""What the guides of the earlier Autopack tell their readers to send: each request as printed, in their order.

Within a guide the requests build on each other, as they do for a reader, so each guide is followed once per service.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.api import contract
from tests.api.printed import problem, run_python, send_curl
from tests.support.service import Service

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Printed:
    """A command of a guide, and the answer that its reader gets."""

    name: str
    command: str
    status: int = 200
    reads: type[BaseModel] | None = None
    says: str = ""
    """Of a problem: a pattern of its detail."""
    holds: Mapping[str, Any] | None = None
    """Values that are in the answer, by key."""


START_IN_README = Printed(
    "start with a file",
    r"""
curl -X POST http://localhost:8000/runs/start \
  -H "Content-Type: application/json" \
  -d @test_run.json
""",
    201,
    contract.Run,
    holds={"id": "test-run", "run_id": "test-run", "completed_at": None},
)
README = (
    Printed("health", "curl http://localhost:8000/health", reads=contract.Health),
    START_IN_README,
)

DEPLOYMENT_GUIDE = (
    Printed("health", "curl http://localhost:8000/health", reads=contract.Health),
    Printed(
        "start",
        r"""
curl -X POST http://localhost:8000/runs/start \
  -H "Content-Type: application/json" \
  -d '{
    "run": {
      "run_id": "run-001",
      "safety_profile": "normal",
      "run_scope": "incremental",
      "token_cap": 5000000,
      "max_phases": 25
    },
    "tiers": [
      {
        "tier_id": "T1",
        "tier_index": 0,
        "name": "Core Features",
        "description": "Tier 1: Core feature implementation"
      }
    ],
    "phases": [
      {
        "phase_id": "P1.1",
        "phase_index": 0,
        "tier_id": "T1",
        "name": "Implement user authentication",
        "description": "Add JWT-based authentication",
        "task_category": "feature_scaffolding",
        "complexity": "medium",
        "builder_mode": "compose"
      }
    ]
  }'
""",
        201,
        contract.Run,
        holds={"id": "run-001", "run_id": "run-001", "safety_profile": "normal", "run_scope": "incremental"},
    ),
    Printed(
        "run",
        "curl http://localhost:8000/runs/run-001",
        reads=contract.Run,
        holds={"id": "run-001", "tokens_used": 0, "failure_reason": None, "promotion_eligible_to_main": False},
    ),
    Printed(
        "record_issue",
        r"""
curl -X POST "http://localhost:8000/runs/run-001/phases/P1.1/record_issue" \
  -H "Content-Type: application/json" \
  -d '{
    "issue_key": "test_failure__auth_missing",
    "severity": "minor",
    "source": "test",
    "category": "test_failure",
    "task_category": "feature_scaffolding",
    "complexity": "medium",
    "evidence_refs": ["tests/test_auth.py::test_jwt_validation"]
  }'
""",
        reads=contract.RecordedIssue,
    ),
    Printed(
        "builder_result with a truncated diff",
        r"""
curl -X POST "http://localhost:8000/runs/run-001/phases/P1.1/builder_result" \
  -H "Content-Type: application/json" \
  -d '{
    "phase_id": "P1.1",
    "run_id": "run-001",
    "patch_content": "diff --git a/src/auth.py ...",
    "files_changed": ["src/auth.py"],
    "lines_added": 45,
    "lines_removed": 12,
    "builder_attempts": 1,
    "tokens_used": 15000,
    "duration_minutes": 2.5,
    "status": "success",
    "notes": "Implemented JWT authentication with refresh tokens"
  }'
""",
        422,
        says=r"(?i)patch|diff",
    ),
    Printed("metrics of all runs", "curl http://localhost:8000/metrics/runs", reads=contract.RunsMetrics),
    Printed(
        "metrics of runs by status",
        "curl http://localhost:8000/metrics/runs?status=DONE_SUCCESS",
        reads=contract.RunsMetrics,
    ),
    Printed(
        "metrics of tiers",
        "curl http://localhost:8000/metrics/tiers/run-001",
        reads=contract.TiersMetrics,
        holds={"run_id": "run-001", "tier_count": 1},
    ),
    Printed(
        "issue_backlog_summary",
        "curl http://localhost:8000/reports/issue_backlog_summary",
        reads=contract.BacklogSummary,
    ),
    Printed("budget_analysis", "curl http://localhost:8000/reports/budget_analysis", reads=contract.BudgetAnalysis),
    Printed(
        "run_summary",
        "curl http://localhost:8000/reports/run_summary/run-001",
        reads=contract.RunSummary,
        holds={"run_id": "run-001", "run_scope": "incremental"},
    ),
    Printed(
        "integration_status",
        "curl http://localhost:8000/runs/run-001/integration_status",
        reads=contract.IntegrationStatus,
        holds={"branch": "autonomous/run-001"},
    ),
)

INTEGRATION_GUIDE = (
    Printed("health", "curl http://localhost:8000/health", reads=contract.Health),
    Printed(
        "start",
        r"""
curl -X POST http://localhost:8000/runs/start \
  -H "Content-Type: application/json" \
  -d '{
    "run": {
      "run_id": "my-run",
      "safety_profile": "normal",
      "run_scope": "incremental"
    },
    "tiers": [{
      "tier_id": "T1",
      "tier_index": 0,
      "name": "Tier 1",
      "description": "First tier"
    }],
    "phases": [{
      "phase_id": "P1",
      "phase_index": 0,
      "tier_id": "T1",
      "name": "Phase 1",
      "description": "First phase",
      "task_category": "feature_scaffolding",
      "complexity": "low",
      "builder_mode": "compose"
    }]
  }'
""",
        201,
        contract.Run,
        holds={"id": "my-run", "run_id": "my-run"},
    ),
    Printed(
        "builder_result with a placeholder",
        r"""
curl -X POST http://localhost:8000/runs/my-run/phases/P1/builder_result \
  -H "Content-Type: application/json" \
  -d '{
    "phase_id": "P1",
    "run_id": "my-run",
    "patch_content": "diff --git...",
    "files_changed": ["src/api.py"],
    "lines_added": 10,
    "lines_removed": 2,
    "builder_attempts": 1,
    "tokens_used": 5000,
    "duration_minutes": 1.5,
    "status": "success",
    "notes": "Added /health endpoint"
  }'
""",
        422,
        says=r"(?i)patch holds no file",
    ),
    Printed(
        "auditor_request",
        "curl -X POST http://localhost:8000/runs/my-run/phases/P1/auditor_request",
        reads=contract.AuditRequestReceipt,
        holds={"review_focus": "general", "phase_state": "GATE"},
    ),
    Printed(
        "auditor_result",
        r"""
curl -X POST http://localhost:8000/runs/my-run/phases/P1/auditor_result \
  -H "Content-Type: application/json" \
  -d '{
    "phase_id": "P1",
    "run_id": "my-run",
    "review_notes": "Code looks good, no issues found",
    "issues_found": [],
    "suggested_patches": [],
    "auditor_attempts": 1,
    "tokens_used": 3000,
    "recommendation": "approve",
    "confidence": "high"
  }'
""",
        reads=contract.AuditReceipt,
        holds={"recommendation": "approve", "patches_applied": 0, "commit_shas": [], "phase_state": "COMPLETE"},
    ),
    Printed(
        "run_summary",
        "curl http://localhost:8000/reports/run_summary/my-run | jq",
        reads=contract.RunSummary,
        holds={"run_id": "my-run", "state": "DONE_SUCCESS"},
    ),
    Printed("metrics of all runs", "curl http://localhost:8000/metrics/runs | jq", reads=contract.RunsMetrics),
    Printed(
        "metrics of tiers",
        "curl http://localhost:8000/metrics/tiers/my-run | jq",
        reads=contract.TiersMetrics,
        holds={"run_id": "my-run", "tier_count": 1},
    ),
    Printed(
        "run_summary of a run that no one made",
        "curl http://localhost:8000/reports/run_summary/demo-run-002",
        404,
        says="demo-run-002",
    ),
    Printed(
        "start with a placeholder",
        "curl -X POST http://localhost:8000/runs/start -d '...'",
        422,
        says="(?i)json object",
    ),
)
GUIDES = {
    "README": README,
    "DEPLOYMENT_GUIDE": DEPLOYMENT_GUIDE,
    "INTEGRATION_GUIDE": INTEGRATION_GUIDE,
}

BUILDER_IN_PYTHON = """
import requests

# After Cursor completes a phase
result = {
    "phase_id": "P1.1",
    "run_id": "run-001",
    "patch_content": diff_output,
    "files_changed": ["src/auth.py"],
    "builder_attempts": 1,
    "tokens_used": 15000,
    "status": "success"
}

response = requests.post(
    "http://localhost:8000/runs/run-001/phases/P1.1/builder_result",
    json=result
)
"""
AUDITOR_IN_PYTHON = """
# Request Auditor review
request = {
    "phase_id": "P1.1",
    "run_id": "run-001",
    "tier_id": "T1",
    "review_focus": "security",
    "auditor_profile": "schema_review"
}

requests.post(
    "http://localhost:8000/runs/run-001/phases/P1.1/auditor_request",
    json=request
)

# Submit Auditor result
result = {
    "phase_id": "P1.1",
    "run_id": "run-001",
    "review_notes": "Security review complete",
    "recommendation": "approve",
    "confidence": "high"
}

requests.post(
    "http://localhost:8000/runs/run-001/phases/P1.1/auditor_result",
    json=result
)
"""


class Readers:
    """Someone who follows a guide from its first command to its last, once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._answers: dict[str, list[httpx.Response]] = {}

    def answers(self, guide: str) -> list[httpx.Response]:
        if guide not in self._answers:
            sent = [send_curl(printed.command, self._address, EXAMPLES) for printed in GUIDES[guide]]
            self._answers[guide] = sent
        return self._answers[guide]


@pytest.fixture(scope="session")
def readers(service: Service) -> Readers:
    return Readers(service.url)


@pytest.mark.parametrize(
    ("guide", "number"),
    [
        pytest.param(guide, number, id=f"{guide}: {printed.name}")
        for guide, commands in GUIDES.items()
        for number, printed in enumerate(commands)
    ],
)
def test_printed_command_gets_its_answer(readers: Readers, guide: str, number: int) -> None:
    printed, answer = GUIDES[guide][number], readers.answers(guide)[number]
    if printed.reads is None:
        assert re.search(printed.says, problem(answer, printed.status))
        return
    assert answer.status_code == printed.status, answer.text
    printed.reads.model_validate_json(answer.content)
    said: dict[str, Any] = answer.json()
    for key, value in (printed.holds or {}).items():
        assert said[key] == value


def test_deployment_guides_effects_can_be_read(readers: Readers) -> None:
    by_name = dict(zip((one.name for one in DEPLOYMENT_GUIDE), readers.answers("DEPLOYMENT_GUIDE"), strict=True))
    recorded = contract.RecordedIssue.model_validate_json(by_name["record_issue"].content)
    assert recorded.phase_file.issues[0].evidence_refs == ["tests/test_auth.py::test_jwt_validation"]
    assert recorded.phase_file.issue_state == "has_minor_issues"
    assert recorded.run_index_entry.seen_in_phases == ["P1.1"]
    assert recorded.project_backlog_entry.last_seen_run_id == "run-001"
    assert recorded.project_backlog_entry.status == "open"
    listed = contract.RunsMetrics.model_validate_json(by_name["metrics of all runs"].content)
    [run] = [one for one in listed.runs if one.run_id == "run-001"]
    assert (run.token_cap, run.max_minor_issues_total, run.phase_count, run.tier_count) == (5_000_000, 3, 1, 1)
    backlog = contract.BacklogSummary.model_validate_json(by_name["issue_backlog_summary"].content)
    assert 1 <= backlog.open_count <= backlog.total_issues
    assert 1 <= len(backlog.top_aging_issues) <= 10
    successes = contract.RunsMetrics.model_validate_json(by_name["metrics of runs by status"].content)
    assert {one.state for one in successes.runs} <= {"DONE_SUCCESS"}


def test_deployment_guides_python_builds_and_audits(
    service: Service, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.answers("DEPLOYMENT_GUIDE")
    diff = (
        "--- /dev/null\n+++ b/src/auth.py\n@@ -0,0 +1,2 @@\n+def check(token: str) -> bool:\n+    return bool(token)\n"
    )
    names: dict[str, Any] = {"diff_output": "diff --git a/src/auth.py b/src/auth.py\nnew file mode 100644\n" + diff}
    [built] = run_python(BUILDER_IN_PYTHON, service.url, names, monkeypatch)
    assert built is names["response"]
    assert built.status_code == 200, built.text
    assert contract.BuilderReceipt.model_validate_json(built.content).phase_state == "COMPLETE"
    requested, audited = run_python(AUDITOR_IN_PYTHON, service.url, names, monkeypatch)
    asked = contract.AuditRequestReceipt.model_validate_json(requested.content)
    assert (requested.status_code, asked.review_focus, asked.auditor_profile) == (200, "security", "schema_review")
    assert audited.status_code == 200
    assert contract.AuditReceipt.model_validate_json(audited.content).recommendation == "approve"
    run = httpx.get(f"{service.url}/runs/run-001").json()
    assert (run["state"], run["tokens_used"]) == ("DONE_SUCCESS", 15_000)
    [phase] = run["tiers"][0]["phases"]
    assert (phase["builder_attempts"], phase["auditor_attempts"]) == (1, 1)
    ended = httpx.get(f"{service.url}/metrics/runs?status=DONE_SUCCESS&limit=500").json()
    assert "run-001" in [one["run_id"] for one in ended["runs"]]


def test_listed_endpoints_answer_with_fields(service: Service) -> None:
    """The index, the backlog and a phase's steps have no printed request."""
    plan = {
        "run": {"run_id": "listed-only"},
        "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "Core"}],
        "phases": [{"phase_id": "P1", "phase_index": 0, "tier_id": "T1", "name": "First"}],
    }
    phase = f"{service.url}/runs/listed-only/phases/P1"
    httpx.post(f"{service.url}/runs/start", json=plan).raise_for_status()
    stepped = httpx.post(f"{phase}/update_status", json={"state": "EXECUTING", "tokens_used": 1200})
    updated = contract.UpdatedPhase.model_validate_json(stepped.raise_for_status().content)
    assert (updated.phase.phase_id, updated.phase.state) == ("P1", "EXECUTING")
    issue = {"issue_key": "docs__listed__only", "severity": "minor", "source": "probe", "category": "docs"}
    httpx.post(f"{phase}/record_issue", json=issue).raise_for_status()
    index = contract.Index.model_validate_json(httpx.get(f"{service.url}/runs/listed-only/issues/index").content)
    assert list(index.issues_by_key) == ["docs__listed__only"]
    backlog = contract.Backlog.model_validate_json(httpx.get(f"{service.url}/project/issues/backlog").content)
    assert backlog.issues_by_key["docs__listed__only"].status == "open"


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json"])
def test_what_the_guides_tell_to_open_is_there(service: Service, path: str) -> None:
    answer = httpx.get(service.url + path)
    assert answer.status_code == 200
    if path == "/":
        assert {"service", "version", "description"} <= answer.json().keys()
    elif path == "/openapi.json":
        assert answer.json()["openapi"].startswith("3.1")
    else:
        assert answer.headers["content-type"].startswith("text/html")
