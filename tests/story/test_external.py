"""Runs started over the REST API on a repository: any other agent builds, and its work takes the governed path."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.support.story import Story
from tests.support.world import World

PHASE = {"phase_index": 0, "tier_id": "T1", "name": "Greet people", "task_category": "docs", "complexity": "low"}


class Client:
    """An external agent: it knows the REST API and nothing else."""

    def __init__(self, story: Story) -> None:
        story.begin()
        self.story = story
        self.run_id = f"ext-{story.number}-{story.full_name.partition('/')[2]}"
        story.turn_to(self.run_id)
        self._http = httpx.Client(base_url=story.world.service.url, timeout=60)

    def start(self, *phases: Mapping[str, Any], **run: Any) -> dict[str, Any]:
        body = {
            "run": {"run_id": self.run_id, "repository": self.story.full_name, **run},
            "tiers": [{"tier_id": "T1", "tier_index": 0, "name": "The work"}],
            "phases": [
                {**PHASE, "phase_id": f"P{number}", "phase_index": number, **phase}
                for number, phase in enumerate(phases, 1)
            ],
        }
        return self._sent("POST", "/runs/start", body, 201)

    def build(self, phase_id: str, patch: str, status: int = 200, **result: Any) -> dict[str, Any]:
        body = {"phase_id": phase_id, "run_id": self.run_id, "status": "success", "patch_content": patch, **result}
        return self._sent("POST", f"{self._of(phase_id)}/builder_result", body, status)

    def audit(self, phase_id: str, recommendation: str = "approve", **result: Any) -> dict[str, Any]:
        body = {"phase_id": phase_id, "run_id": self.run_id, "review_notes": "Read.", "recommendation": recommendation}
        return self._sent("POST", f"{self._of(phase_id)}/auditor_result", {**body, **result}, 200)

    def ask_for_audit(self, phase_id: str) -> dict[str, Any]:
        return self._sent("POST", f"{self._of(phase_id)}/auditor_request", None, 200)

    def run(self) -> dict[str, Any]:
        return self._sent("GET", f"/runs/{self.run_id}", None, 200)

    def phase(self, phase_id: str) -> dict[str, Any]:
        return next(one for tier in self.run()["tiers"] for one in tier["phases"] if one["phase_id"] == phase_id)

    def integration(self) -> dict[str, Any]:
        return self._sent("GET", f"/runs/{self.run_id}/integration_status", None, 200)

    def wait_for(self, phase_id: str, **wanted: Any) -> None:
        def there() -> bool:
            now = self.phase(phase_id)
            return all(now[name] == value for name, value in wanted.items())

        self.story.world.wait_until(there, f"{phase_id} is {wanted}")

    def wait_end(self, state: str) -> None:
        self.story.world.wait_until(lambda: self.run()["completed_at"] is not None, "the run has ended")
        assert self.run()["state"] == state, self.run()["failure_reason"]

    def close(self) -> None:
        self._http.close()

    def _of(self, phase_id: str) -> str:
        return f"/runs/{self.run_id}/phases/{phase_id}"

    def _sent(self, method: str, path: str, body: Any, status: int) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def client(story: Story) -> Iterator[Client]:
    made = Client(story)
    yield made
    made.close()


def expect_offered(story: Story, *phases: str) -> None:
    """Everything that the App wrote for an externally built run that ended well."""
    story.wait_idle()
    story.expect_offered(phases)
    for sha in story.commits()[:-1]:
        story.expect_check("autopack", "neutral", sha)


def new_file(path: str, text: str) -> str:
    lines = text.splitlines(keepends=True)
    added = "".join(f"+{line}" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{added}"
    )


def deleted_file(path: str, line: str) -> str:
    return (
        f"diff --git a/{path} b/{path}\ndeleted file mode 100644\n--- a/{path}\n+++ /dev/null\n@@ -1 +0,0 @@\n-{line}\n"
    )


def change(path: str, old: str, new: str) -> str:
    hunks = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(hunks)


def test_posted_work_becomes_commits_that_ci_judges_and_a_pull_request(client: Client, story: Story) -> None:
    client.start({}, {})
    built = client.build("P1", new_file("greeting.txt", "hello\n"), notes="Greets people", tokens_used=700)
    assert (built["phase_state"], len(built["commit_sha"])) == ("GATE", 40)
    client.wait_for("P1", awaiting="audit")
    client.audit("P1")
    client.wait_for("P1", state="COMPLETE", snapshot=True)
    client.build("P2", change("greeting.txt", "hello\n", "hello all\n"))
    client.audit("P2")
    client.wait_end("DONE_SUCCESS")
    status = client.integration()
    assert (status["exists"], status["commit_count"], status["behind_main"]) == (True, 2, 0)
    assert status["tags"] == [f"autopack/{client.run_id}/P1", f"autopack/{client.run_id}/P2"]
    assert not status["conflicts"]
    assert story.file("greeting.txt") == "hello all"
    assert client.run()["promotion_eligible_to_main"]
    expect_offered(story, "P1", "P2")


def test_patch_that_does_not_apply_is_refused_with_its_hunk_and_costs_no_attempt(client: Client, story: Story) -> None:
    client.start({})
    refused = client.build("P1", change("README.md", "# Another\n", "# Garden of all\n"), status=422)
    assert "README.md: hunk 1 (@@ -1,1 +1,1 @@) does not match" in refused["detail"]
    assert client.run()["minor_issues_count"] == 1
    assert client.phase("P1")["builder_attempts"] == 0
    assert client.build("P1", change("README.md", "# Garden\n", "# Garden of all\n"))["commit_sha"]
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")


def test_red_ci_sends_the_work_back(client: Client, story: Story) -> None:
    client.start({})
    client.build("P1", new_file("broken", "x\n"))
    client.wait_for("P1", state="RETRY")
    assert client.run()["major_issues_count"] == 1
    client.build("P1", deleted_file("broken", "x") + new_file("greeting.txt", "hi\n"), builder_attempts=2)
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    assert client.run()["major_issues_count"] == 0
    expect_offered(story, "P1")


def test_high_risk_work_is_audited_before_it_is_pushed(client: Client, story: Story) -> None:
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    built = client.build("P1", new_file("lock.txt", "closed\n"))
    assert (built["phase_state"], built["commit_sha"]) == ("GATE", None)
    client.wait_for("P1", awaiting="audit")
    assert not client.integration()["exists"]
    fix = change("lock.txt", "closed\n", "closed and sealed\n")
    client.audit("P1", suggested_patches=[{"description": "Seal it", "patch_content": fix}])
    client.wait_end("DONE_SUCCESS")
    assert story.file("lock.txt") == "closed and sealed"
    assert client.integration()["commit_count"] == 2
    expect_offered(story, "P1")


def test_own_auditor_reviews_posted_work_when_asked(client: Client, story: Story) -> None:
    story.plays(phases={"P1": []})
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    assert "own Auditor is at work" in client.ask_for_audit("P1")["message"]
    client.wait_end("DONE_SUCCESS")
    assert client.phase("P1")["auditor_attempts"] == 1
    assert [one.role for one in story.requests()] == ["auditor"]
    expect_offered(story, "P1")


def test_protected_paths_of_the_repository_are_refused(client: Client, story: Story) -> None:
    client.start({})
    built = client.build("P1", new_file(".github/workflows/evil.yml", "on: push\n"))
    assert built["phase_state"] == "RETRY"
    assert "protected" in built["message"]
    built = client.build("P1", new_file(".github/workflows/evil.yml", "on: push\n"), builder_attempts=2)
    assert built["phase_state"] == "FAILED"
    client.wait_end("DONE_FAILED_POLICY_VIOLATION")
    story.expect_nothing_pushed()


def test_late_audit_takes_promotion_away(client: Client, story: Story) -> None:
    client.start({}, issue_number=story.number)
    client.build("P1", new_file("greeting.txt", "hello\n"))
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    assert story.state() == "DONE_SUCCESS", "the run reports on its issue"
    late = client.audit("P1", "revise", auditor_attempts=2)
    assert late["phase_state"] == "COMPLETE"
    assert not client.run()["promotion_eligible_to_main"]
    story.wait_idle()
    check = story.expect_check("autopack/promotion", "failure")
    assert "a late audit of P1 says: revise" in check["output"]["summary"]


def test_run_that_waits_for_its_builder_survives_a_crash(lone_world: World, stories: Callable[[World], Story]) -> None:
    story = stories(lone_world)
    client = Client(story)
    client.start({"task_category": "security_auth_change", "complexity": "high"})
    client.build("P1", new_file("lock.txt", "closed\n"))
    client.wait_for("P1", awaiting="audit")
    lone_world.service.kill()
    lone_world.service.start()
    client.close()
    client = Client(story)
    assert client.build("P1", new_file("lock.txt", "closed\n"))["phase_state"] == "GATE", "answered as the first time"
    client.audit("P1")
    client.wait_end("DONE_SUCCESS")
    expect_offered(story, "P1")
    assert len(story.commits()) == 1
    client.close()
