"""Own check runs are kept in place; other people's CI is read whole and judged without ours."""

import json
from typing import Any

import httpx
import pytest
import respx

from app.domain.ci import CheckFact, CiFacts
from app.github import checks, ci_facts, ci_jobs
from app.github.client import Repo
from app.github.text import CheckText

SHA = "a" * 40
ROOT = "/repos/acme/widgets"
RUNNING = CheckText("in_progress", None, "Building", "summary", "text")


class Checks:
    """Check runs of one commit."""

    def __init__(self, github: respx.MockRouter) -> None:
        self.rows: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.lose_answer = False
        github.get(f"{ROOT}/commits/{SHA}/check-runs").mock(side_effect=self.list)
        github.post(f"{ROOT}/check-runs").mock(side_effect=self.create)
        github.patch(path__regex=rf"{ROOT}/check-runs/(?P<number>\d+)").mock(side_effect=self.update)

    def list(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"total_count": len(self.rows), "check_runs": self.rows})

    def create(self, request: httpx.Request) -> httpx.Response:
        self.writes.append("POST")
        self.rows.append({"id": len(self.rows) + 1, "app": {"id": 77}, **json.loads(request.content)})
        if self.lose_answer:
            self.lose_answer = False
            raise httpx.RemoteProtocolError("reset", request=request)
        return httpx.Response(201, json=self.rows[-1])

    def update(self, request: httpx.Request, number: str) -> httpx.Response:
        self.writes.append("PATCH")
        self.rows[int(number) - 1] |= json.loads(request.content)
        return httpx.Response(200, json=self.rows[int(number) - 1])


async def test_check_is_edited_only_on_change(repo: Repo, github: respx.MockRouter) -> None:
    rows = Checks(github)
    rows.lose_answer = True
    number = await checks.upsert_check(repo, "autopack", SHA, "r1", RUNNING)
    assert await checks.upsert_check(repo, "autopack", SHA, "r1", RUNNING) == number
    assert rows.writes == ["POST"]
    done = CheckText("completed", "success", "Done", "summary", "x" * 70_000)
    assert await checks.upsert_check(repo, "autopack", SHA, "r1", done) == number
    await checks.upsert_check(repo, "autopack", SHA, "r1", done)
    assert rows.writes == ["POST", "PATCH"]
    assert len(rows.rows[0]["output"]["text"]) <= 65_535
    await checks.upsert_check(repo, "autopack", SHA, "r2", RUNNING)
    assert rows.writes == ["POST", "PATCH", "POST"]


def test_a_conclusion_goes_with_completed_only() -> None:
    with pytest.raises(ValueError, match="conclusion"):
        CheckText("in_progress", "success", "t", "s")
    with pytest.raises(ValueError, match="conclusion"):
        CheckText("completed", None, "t", "s")


def ci_answers(github: respx.MockRouter, *, check_runs: list[Any], runs: list[Any], statuses: list[Any]) -> None:
    github.get(f"{ROOT}/commits/{SHA}/check-runs").respond(json={"check_runs": check_runs})
    github.get(f"{ROOT}/actions/runs").respond(json={"workflow_runs": runs})
    github.get(f"{ROOT}/commits/{SHA}/status").respond(json={"statuses": statuses})


def check(number: int, name: str, *, app: int = 15368, suite: int = 1, **other: Any) -> dict[str, Any]:
    done = {"status": "completed", "conclusion": "success"}
    return {
        "id": number,
        "name": name,
        "head_sha": SHA,
        "app": {"id": app},
        "check_suite": {"id": suite},
        **done,
        **other,
    }


def workflow_run(number: int, **other: Any) -> dict[str, Any]:
    return {"id": number, "name": "CI", "workflow_id": 1, "event": "push", "check_suite_id": number, **other}


async def test_ci_is_read_whole_and_without_autopacks_own(repo: Repo, github: respx.MockRouter) -> None:
    ci_answers(
        github,
        check_runs=[check(1, "build", suite=11), check(2, "autopack", app=77), check(3, "old", suite=10)],
        runs=[
            workflow_run(10, status="completed", conclusion="cancelled"),
            workflow_run(11, status="waiting", conclusion=None),
        ],
        statuses=[
            {"id": 5, "context": "legacy", "state": "pending", "target_url": None},
            {"id": 6, "context": "broken", "state": "error"},
        ],
    )
    rule = {
        "type": "required_status_checks",
        "parameters": {"required_status_checks": [{"context": "build"}, {"context": "mine", "integration_id": 77}]},
    }
    github.get(f"{ROOT}/rules/branches/main").respond(json=[rule, {"type": "deletion"}])
    protection = {"required_status_checks": {"contexts": ["lint", "autopack/promotion"]}}
    github.get(f"{ROOT}/branches/main").respond(json={"name": "main", "protection": protection})
    facts = await ci_facts.read_ci(repo, SHA, await ci_facts.required_checks(repo, "main"))
    assert [(c.source, c.name, c.status, c.conclusion, c.workflow_run_id) for c in facts.checks] == [
        ("workflow_run", "CI", "waiting", None, 11),
        ("check_run", "build", "completed", "success", 11),
        ("status", "legacy", "in_progress", None, None),
        ("status", "broken", "completed", "failure", None),
    ]
    assert [one.name for one in facts.required] == ["build", "lint"]


@pytest.mark.parametrize("status", [403, 404])
async def test_unreadable_rules_count_as_none(repo: Repo, github: respx.MockRouter, status: int) -> None:
    github.get(f"{ROOT}/rules/branches/release/1%23").respond(status, json={"message": "Upgrade"})
    github.get(f"{ROOT}/branches/release/1%23").respond(status, json={"message": "Upgrade"})
    assert await ci_facts.required_checks(repo, "release/1#") == ()


async def test_job_logs_follow_githubs_redirect(repo: Repo, github: respx.MockRouter) -> None:
    jobs = [
        {"id": 1, "name": "test", "status": "completed", "conclusion": "failure"},
        {"id": 2, "name": "lint", "status": "completed", "conclusion": "success"},
        {"id": 3, "name": "docs", "status": "completed", "conclusion": "timed_out"},
    ]
    github.get(f"{ROOT}/actions/runs/11/jobs").respond(json={"jobs": jobs})
    github.get(f"{ROOT}/actions/jobs/1/logs").respond(302, headers={"Location": "https://logs.test/1?sig=x"})
    github.get(f"{ROOT}/actions/jobs/3/logs").respond(410, json={"message": "Gone"})
    stored = github.get("https://logs.test/1").respond(content=b"start" + b"." * 500_000 + b"AssertionError\n")
    github.get(f"{ROOT}/check-runs/9").respond(
        json={**check(9, "scan"), "output": {"title": "2 problems", "summary": "s", "text": None}}
    )

    def fact(number: int, name: str, **other: Any) -> CheckFact:
        given = {"source": "check_run", "status": "completed", "conclusion": "failure", "id": number, "name": name}
        return CheckFact.model_validate({**given, **other})

    facts = CiFacts(
        head_sha=SHA, checks=(fact(1, "test", workflow_run_id=11), fact(11, "CI", workflow_run_id=11), fact(9, "scan"))
    )
    logs = await ci_jobs.failed_job_logs(repo, facts)
    assert "Authorization" not in stored.calls.last.request.headers
    assert [log.name for log in logs] == ["test", "docs", "scan"]
    assert logs[0].text.endswith("AssertionError\n")
    assert len(logs[0].text) == 200_000
    assert "410" in logs[1].text
    assert logs[2].text == "2 problems\n\ns"


async def test_failed_jobs_are_run_again_once_per_attempt(repo: Repo, github: respx.MockRouter) -> None:
    state = {"status": "completed", "run_attempt": 1}
    asked: list[int] = []

    def again(request: httpx.Request) -> httpx.Response:
        asked.append(state["run_attempt"])  # pyright: ignore[reportArgumentType]  an int here
        state.update(status="queued", run_attempt=2)
        raise httpx.ReadTimeout("lost", request=request)

    def now(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**workflow_run(11), **state})

    github.get(f"{ROOT}/actions/runs/11").mock(side_effect=now)
    github.post(f"{ROOT}/actions/runs/11/rerun-failed-jobs").mock(side_effect=again)
    assert await ci_jobs.rerun_failed(repo, 11, attempt=1) == 2
    state["status"] = "completed"
    assert await ci_jobs.rerun_failed(repo, 11, attempt=1) == 2
    assert asked == [1]
