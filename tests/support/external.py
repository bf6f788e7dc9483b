"""An external agent for stories: it knows the REST API and nothing else, and the patches that it posts."""

import difflib
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.story import Story

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

    def audit(self, phase_id: str, recommendation: str = "approve", status: int = 200, **result: Any) -> dict[str, Any]:
        body = {"phase_id": phase_id, "run_id": self.run_id, "review_notes": "Read.", "recommendation": recommendation}
        return self._sent("POST", f"{self._of(phase_id)}/auditor_result", {**body, **result}, status)

    def step(self, phase_id: str, state: str) -> None:
        self._sent("POST", f"{self._of(phase_id)}/update_status", {"state": state}, 200)

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
