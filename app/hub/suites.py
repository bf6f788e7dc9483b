"""Check suites and check runs as rows: created, updated, shown, and sent to the App as events."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import Actor
from app.hub.routing import dump
from app.hub.serializers import app, complete, pull_minimal, repo_url, repository, simple_commit
from app.hub.state import HubState, Json, now
from app.hub.store import Row
from app.hub.webhook_sender import emit, installation_of

# Worst first: a suite concludes as the worst of its runs.
CONCLUSIONS = ("failure", "timed_out", "cancelled", "action_required", "stale", "startup_failure", "success", "neutral")
GREEN = ("success", "neutral", "skipped")


def open_suite(hub: HubState, repo: Row, app_id: int, sha: str, branch: str | None, before: str | None = None) -> int:
    """Make a queued check suite and return its id."""
    values = {"app_id": app_id, "head_sha": sha, "head_branch": branch, "before": before, "status": "queued"}
    return hub.store.insert("check_suites", repo_id=repo["id"], created_at=now(), updated_at=now(), **values)


def suite_of(hub: HubState, repo: Row, app_id: int, sha: str, branch: str | None = None) -> int:
    """The suite of an app for a commit, made when it is missing."""
    sql = "SELECT id FROM check_suites WHERE repo_id = ? AND app_id = ? AND head_sha = ?"
    row = hub.store.row(sql, repo["id"], app_id, sha)
    return row["id"] if row else open_suite(hub, repo, app_id, sha, branch)


def open_push_suites(hub: HubState, repo: Row, actor: Actor, sha: str, branch: str, before: str) -> None:
    """On a push GitHub makes a suite for every App that may write checks, whether it will create a run or not."""
    sql = "SELECT id FROM check_suites WHERE repo_id = ? AND app_id = ? AND head_sha = ?"
    for app_id in repo["ghost_app_ids"]:
        suite_of(hub, repo, app_id, sha, branch)
    found = installation_of(hub, repo)
    permitted = found is not None and found["permissions"].get("checks") == "write"
    if permitted and hub.store.row(sql, repo["id"], hub.app.id, sha) is None:
        suite_id = open_suite(hub, repo, hub.app.id, sha, branch, before)
        tell_suite(hub, repo, actor, suite_id, "requested")


def latest_runs(hub: HubState, suite_id: int) -> list[Row]:
    """The newest run of each name in a suite."""
    sql = "SELECT * FROM check_runs WHERE id IN (SELECT max(id) FROM check_runs WHERE suite_id = ? GROUP BY name)"
    return hub.store.rows(f"{sql} ORDER BY id", suite_id)


def settle_suite(hub: HubState, repo: Row, actor: Actor, suite_id: int) -> None:
    """Derive a suite's state from its newest runs; a suite that becomes completed sends an event to the App."""
    runs = latest_runs(hub, suite_id)
    before = hub.store.get("check_suites", suite_id)["status"]
    if runs and all(run["status"] == "completed" for run in runs):
        present = [run["conclusion"] for run in runs]
        conclusion = next((name for name in CONCLUSIONS if name in present), "neutral")
        values = {"status": "completed", "conclusion": conclusion}
    else:
        started = any(run["status"] != "queued" for run in runs)
        values = {"status": "in_progress" if started else "queued", "conclusion": None}
    hub.store.update("check_suites", suite_id, **values, updated_at=now())
    if values["status"] == "completed" and before != "completed":
        tell_suite(hub, repo, actor, suite_id, "completed")


def tell_suite(hub: HubState, repo: Row, actor: Actor, suite_id: int, action: str) -> None:
    """The `check_suite` event."""
    view = suite(hub, repo, hub.store.get("check_suites", suite_id))
    emit(hub, repo, actor, "check_suite", {"action": action, "check_suite": view})


def tell_run(hub: HubState, repo: Row, actor: Actor, run_id: int, action: str) -> None:
    """The `check_run` event."""
    view = check_run(hub, repo, hub.store.get("check_runs", run_id))
    emit(hub, repo, actor, "check_run", {"action": action, "check_run": view})


def suite(hub: HubState, repo: Row, row: Row) -> Json:
    """A check suite as GitHub shows it."""
    url = f"{repo_url(hub, repo)}/check-suites/{row['id']}"
    value: Json = {"id": row["id"], "node_id": f"CS_{row['id']}", "head_branch": row["head_branch"]}
    value |= {"head_sha": row["head_sha"], "status": row["status"], "conclusion": row["conclusion"]}
    value |= {"before": row["before"], "after": row["head_sha"], "app": app(hub, row["app_id"])}
    value |= {"pull_requests": pull_minimal(hub, repo, row["head_sha"]), "check_runs_url": f"{url}/check-runs"}
    value |= {"repository": repository(hub, repo, m.MinimalRepository), "url": url}
    value |= {"head_commit": simple_commit(hub, repo, row["head_sha"])}
    value |= {"latest_check_runs_count": len(latest_runs(hub, row["id"]))}
    return dump(m.CheckSuite, value | {"created_at": row["created_at"], "updated_at": row["updated_at"]})


def check_run(hub: HubState, repo: Row, row: Row) -> Json:
    """A check run as GitHub shows it."""
    url = f"{repo_url(hub, repo)}/check-runs/{row['id']}"
    output: Json = row["output"] or {}
    shown = {name: output.get(name) for name in ("title", "summary", "text")}
    shown |= {"annotations_count": len(output.get("annotations") or []), "annotations_url": f"{url}/annotations"}
    value: Json = {"id": row["id"], "node_id": f"CR_{row['id']}", "name": row["name"], "head_sha": row["head_sha"]}
    value |= {"external_id": row["external_id"], "details_url": row["details_url"], "status": row["status"]}
    value |= {"conclusion": row["conclusion"], "output": shown, "check_suite": {"id": row["suite_id"]}}
    value |= {"started_at": row["started_at"], "completed_at": row["completed_at"], "app": app(hub, row["app_id"])}
    value |= {"pull_requests": pull_minimal(hub, repo, row["head_sha"])}
    return complete(m.CheckRun, url, value)


def context_states(hub: HubState, repo: Row, sha: str) -> dict[str, str]:
    """Every check run name and status context of a commit: "success", "pending" or "failure"."""
    states: dict[str, str] = {}
    for row in hub.store.rows("SELECT * FROM statuses WHERE repo_id = ? AND sha = ? ORDER BY id", repo["id"], sha):
        states[row["context"]] = row["state"] if row["state"] != "error" else "failure"
    sql = "SELECT * FROM check_runs WHERE repo_id = ? AND head_sha = ? ORDER BY id"
    for row in hub.store.rows(sql, repo["id"], sha):
        done = "success" if row["conclusion"] in GREEN else "failure"
        states[row["name"]] = done if row["status"] == "completed" else "pending"
    return states


def required_contexts(hub: HubState, repo: Row, branch: str) -> list[str]:
    """The checks that branch protection and rulesets together demand on a branch."""
    sql = "SELECT contexts FROM protections WHERE repo_id = ? AND branch = ? ORDER BY id"
    rows = hub.store.rows(sql, repo["id"], branch)
    return list(dict.fromkeys(name for row in rows for name in row["contexts"]))
