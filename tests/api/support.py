"""Clients of the live service: plain requests, nothing of the service's own code."""

import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.service import Service

SECONDS = 60.0
HIGH_RISK = (
    *("cross_cutting_refactor", "index_registry_change", "schema_contract_change", "bulk_multi_file_operation"),
    *("security_auth_change", "external_feature_reuse", "external_code_intake", "debt_cleanup"),
)
"""The categories of which SPEC says: auto-apply no."""
PATCH = "diff --git a/g.txt b/g.txt\nnew file mode 100644\n--- /dev/null\n+++ b/g.txt\n@@ -0,0 +1 @@\n+hello\n"
WORKFLOW_PATCH = PATCH.replace("g.txt", ".github/workflows/ci.yml")


def new_id(prefix: str = "run") -> str:
    """An id that no other test has."""
    return f"{prefix}-{secrets.token_hex(6)}"


@contextmanager
def serving(folder: Path, **environment: str) -> Generator[Service]:
    """A service of the test's own; `environment` is all that is set for it."""
    started = Service(folder, environment)
    started.start()
    try:
        yield started
    finally:
        started.stop()


def plan(tiers: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Tiers T1… of phases P1… with these task categories."""
    listed = [(f"T{n}", category) for n, categories in enumerate(tiers, 1) for category in categories]
    return {
        "tiers": [{"tier_id": f"T{n}", "tier_index": n - 1, "name": f"Tier {n}"} for n in range(1, len(tiers) + 1)],
        "phases": [
            {"phase_id": f"P{n}", "phase_index": n - 1, "tier_id": tier, "name": f"Step {n}", "task_category": category}
            for n, (tier, category) in enumerate(listed, 1)
        ],
    }


class Api:
    """The service as a client sees it."""

    def __init__(self, url: str) -> None:
        # The service closes connections that lie idle for five seconds; one that is being closed is not to be used.
        limits = httpx.Limits(keepalive_expiry=2)
        # Plain HTTP: reading certificates would take longer than a test.
        self.http = httpx.Client(base_url=url, timeout=SECONDS, limits=limits, verify=False)

    def begin(self, *tiers: Sequence[str], **run: Any) -> "Run":
        """Start a run; one tier with one phase of documentation unless given."""
        asked = Run(self, run.pop("run_id", None) or new_id())
        answer = asked.start(plan(tiers or [["docs"]]), **run)
        assert answer.status_code == 201, answer.text
        return asked

    def read(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Run:
    """A run as its client sees it."""

    def __init__(self, api: Api, run_id: str) -> None:
        self.api = api
        self.run_id = run_id

    def start(self, body: Mapping[str, Any], **run: Any) -> httpx.Response:
        return self.api.http.post("/runs/start", json={"run": {"run_id": self.run_id, **run}, **body})

    def read(self) -> dict[str, Any]:
        return self.api.read(f"/runs/{self.run_id}")

    def phase(self, phase_id: str = "P1") -> dict[str, Any]:
        """The phase in the answer of `GET /runs/{run_id}`."""
        phases = [phase for tier in self.read()["tiers"] for phase in tier["phases"]]
        return next(phase for phase in phases if phase["phase_id"] == phase_id)

    def states(self) -> tuple[str, list[str], list[str]]:
        """The states of the run, its tiers, its phases."""
        run = self.read()
        phases = [phase["state"] for tier in run["tiers"] for phase in tier["phases"]]
        return run["state"], [tier["state"] for tier in run["tiers"]], phases

    def post(self, phase_id: str, what: str, body: Any = None) -> httpx.Response:
        address = f"/runs/{self.run_id}/phases/{phase_id}/{what}"
        return self.api.http.post(address) if body is None else self.api.http.post(address, json=body)

    def status(self, state: str, phase_id: str = "P1", **more: Any) -> httpx.Response:
        return self.post(phase_id, "update_status", {"state": state, **more})

    def result(self, phase_id: str = "P1", **more: Any) -> httpx.Response:
        """Post a result that passes its gate, but for what is said otherwise."""
        body = {"phase_id": phase_id, "run_id": self.run_id, "status": "success", "patch_content": PATCH, **more}
        return self.post(phase_id, "builder_result", body)

    def audit(self, recommendation: str = "approve", phase_id: str = "P1", **more: Any) -> httpx.Response:
        said = {"review_notes": "Read line by line", "recommendation": recommendation}
        return self.post(phase_id, "auditor_result", {"phase_id": phase_id, "run_id": self.run_id, **said, **more})

    def issue(self, key: str, phase_id: str = "P1", **more: Any) -> httpx.Response:
        body = {"issue_key": key, "severity": "minor", "source": "test", "category": "test_failure", **more}
        return self.post(phase_id, "record_issue", body)

    def reach(self, state: str, phase_id: str = "P1") -> None:
        """Bring a queued phase to a state by `update_status`, the shortest legal way."""
        for step in WAYS[state]:
            answer = self.status(step, phase_id)
            assert answer.status_code == 200, answer.text


PHASE_STATES = ("QUEUED", "EXECUTING", "GATE", "RETRY", "COMPLETE", "FAILED", "SKIPPED")
PHASE_STEPS = {
    *(("QUEUED", "EXECUTING"), ("QUEUED", "SKIPPED")),
    *(("EXECUTING", "GATE"), ("EXECUTING", "RETRY"), ("EXECUTING", "FAILED"), ("EXECUTING", "SKIPPED")),
    *(("GATE", "COMPLETE"), ("GATE", "RETRY"), ("GATE", "FAILED"), ("GATE", "SKIPPED")),
    *(("RETRY", "EXECUTING"), ("RETRY", "FAILED"), ("RETRY", "SKIPPED")),
}
"""SPEC's machine of a phase."""
WAYS = {
    "QUEUED": (),
    "EXECUTING": ("EXECUTING",),
    "GATE": ("EXECUTING", "GATE"),
    "RETRY": ("EXECUTING", "RETRY"),
    "COMPLETE": ("EXECUTING", "GATE", "COMPLETE"),
    "FAILED": ("EXECUTING", "FAILED"),
    "SKIPPED": ("SKIPPED",),
}
"""How a phase comes to each of its states."""


def said(answer: httpx.Response, status: int) -> str:
    """What a problem answer says; checks its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    return problem["detail"]


def done(answer: httpx.Response, phase_state: str | None = None) -> dict[str, Any]:
    """The body of a success; a receipt's phase is in `phase_state`."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if phase_state is not None:
        assert body["phase_state"] == phase_state, body
    return body
