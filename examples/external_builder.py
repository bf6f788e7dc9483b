"""Drive a run of Autopack from outside: any agent builds its phases, and may audit them.

    python external_builder.py test_run.json [http://localhost:8000]

Put your agents into `build` and `audit`; the rest can stay. `AUTOPACK_API_TOKEN` is sent where it is set.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

RUN_SECONDS, ANSWER_SECONDS, POLL_SECONDS = 4 * 3600.0, 60.0, 1.0
REFUSALS = 3  # patches in a row that cannot be read or do not apply, before this program gives up
Json = dict[str, Any]


def build(phase: Json, feedback: str) -> Json:
    """Your builder's work: a unified diff against the run's branch. `feedback` says why the last one came back."""
    path, text = f"notes/{phase['phase_id']}.md", f"{phase['name']}. {feedback}".replace("\n", " ")
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return {"status": "success", "patch_content": f"{head}@@ -0,0 +1 @@\n+{text}\n", "tokens_used": 1000}


def audit(phase: Json) -> Json | None:
    """Your auditor's judgment; None leaves it to Autopack's own Auditor, where a model is configured."""
    return {"recommendation": "approve", "review_notes": f"{phase['name']} was read", "confidence": "medium"}


def work_on(api: httpx.Client, run_id: str, phase: Json) -> None:
    """Do what the phase asks for now: a result, an audit, or nothing while CI or somebody else is at it."""
    url, body = f"/runs/{run_id}/phases/{phase['phase_id']}", {"run_id": run_id, "phase_id": phase["phase_id"]}
    if phase["state"] in {"QUEUED", "EXECUTING", "RETRY"}:
        attempt, feedback = {"builder_attempts": phase["builder_attempts"] + 1}, phase["note"]
        for _ in range(REFUSALS):
            answer = api.post(f"{url}/builder_result", json=body | attempt | build(phase, feedback))
            if answer.status_code != 422:
                print(answer.raise_for_status().json()["message"])
                return
            feedback = answer.json()["detail"]  # it cost no attempt
            print(f"{phase['phase_id']}: refused: {feedback}")
        sys.exit("the builder makes no patch that fits")
    if phase["state"] == "GATE" and phase["awaiting"] == "audit":
        verdict, number = audit(phase), {"auditor_attempts": phase["auditor_attempts"] + 1}
        step, said = ("auditor_result", body | number | verdict) if verdict else ("auditor_request", body)
        print(api.post(f"{url}/{step}", json=said).raise_for_status().json()["message"])


def drive(api: httpx.Client, run_id: str) -> None:
    """Work on the first phase that has not ended whenever the run has changed, until it is over."""
    tag, deadline = "", time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        answer = api.get(f"/runs/{run_id}", headers={"If-None-Match": tag})
        if answer.status_code == 304:
            time.sleep(POLL_SECONDS)
            continue
        run, tag = answer.raise_for_status().json(), answer.headers["ETag"]
        if run["completed_at"]:
            return
        phases = [phase for tier in run["tiers"] for phase in tier["phases"]]
        for phase in [one for one in phases if one["state"] not in {"COMPLETE", "FAILED", "SKIPPED"}][:1]:
            work_on(api, run_id, phase)


bearer = {"Authorization": f"Bearer {os.environ.get('AUTOPACK_API_TOKEN', 'none')}"}
address = sys.argv[2] if len(sys.argv) > 2 else "http://localhost:8000"
with httpx.Client(base_url=address, headers=bearer, timeout=ANSWER_SECONDS) as client:
    started = client.post("/runs/start", json=json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    if started.status_code != 201:
        sys.exit(f"not started: {started.json()['detail']}")
    drive(client, started.json()["run_id"])
    summary = client.get(f"/reports/run_summary/{started.json()['run_id']}").raise_for_status().json()
print(json.dumps(summary, indent=2))
sys.exit(0 if summary["state"] == "DONE_SUCCESS" else 1)
