"""GitHub Actions: runs started by events, and the endpoints that show and repeat them. `runner` executes them."""

import hashlib
import hmac
import time
from dataclasses import replace

from githubkit_schemas.v2026_03_10 import models as m
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from app.hub.auth import Actor
from app.hub.git_repos import bare
from app.hub.github_problems import Refusal
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import complete, full_name, pull_minimal, repo_url, repository, simple_commit, user
from app.hub.state import ACTIONS_APP_ID, HubState, Json, items, mapping, now
from app.hub.store import Row
from app.hub.suites import open_suite, settle_suite, tell_run, tell_suite
from app.hub.webhook_sender import emit
from app.hub.workflow_files import Trigger, Workflow, expand, find, is_skipped

routes = Routes()
RUNS = "/repos/{owner}/{repo}/actions/runs"
LOG_URL_SECONDS = 60


def trigger(hub: HubState, repo: Row, actor: Actor, what: Trigger, head: tuple[str, str], ref: str) -> None:
    """Queue a run of every workflow that the event starts; `head` is (branch, sha)."""
    branch, sha = head
    for workflow in find(bare(hub, repo), sha, what):
        head_of_run = {"event": what.event, "head_branch": branch, "head_sha": sha, "ref": ref}
        jobs = [job | {"skipped": is_skipped(job, what)} for job in workflow.jobs]
        _queue(hub, repo, actor, replace(workflow, jobs=jobs), head_of_run)


def _queue(hub: HubState, repo: Row, actor: Actor, workflow: Workflow, head: Json) -> None:
    known = hub.store.row("SELECT id FROM workflows WHERE repo_id = ? AND path = ?", repo["id"], workflow.path)
    workflow_id = known["id"] if known else hub.store.insert("workflows", repo_id=repo["id"], path=workflow.path)
    earlier = hub.store.rows("SELECT id FROM workflow_runs WHERE workflow_id = ?", workflow_id)
    suite_id = open_suite(hub, repo, ACTIONS_APP_ID, head["head_sha"], head["head_branch"])
    run_id = hub.store.insert(
        "workflow_runs",
        **head,
        repo_id=repo["id"],
        workflow_id=workflow_id,
        name=workflow.name,
        path=workflow.path,
        number=len(earlier) + 1,
        attempt=1,
        suite_id=suite_id,
        actor_id=actor.user["id"],
        status="waiting" if _is_reviewed(repo, workflow) else "queued",
        created_at=now(),
        updated_at=now(),
        run_started_at=now(),
    )
    tell(hub, repo, run_id, "requested")
    for job in workflow.jobs:
        add_job(hub, repo, run_id, job)
    _take_turns(hub, repo, hub.store.get("workflow_runs", run_id), workflow)
    if not workflow.jobs:
        hub.store.update("check_suites", suite_id, status="completed", conclusion="startup_failure")
        hub.store.update("workflow_runs", run_id, status="completed", conclusion="startup_failure")
        tell_suite(hub, repo, actor, suite_id, "completed")
        tell(hub, repo, run_id, "completed")


def _take_turns(hub: HubState, repo: Row, run: Row, workflow: Workflow) -> None:
    """A run of a concurrency group ends the one that waits, and with `cancel-in-progress` the one that is at work.

    https://docs.github.com/en/actions/how-tos/write-workflows/choose-when-workflows-run/control-workflow-concurrency
    """
    if not workflow.concurrency:
        return
    values: Json = {"github.workflow": run["name"], "github.ref": run["ref"], "github.sha": run["head_sha"]}
    values |= {"github.event_name": run["event"], "github.run_id": run["id"], "github.ref_name": run["head_branch"]}
    if run["event"] != "push":
        values |= {"github.head_ref": run["head_branch"], "github.event.pull_request.number": run["ref"].split("/")[2]}
    group = expand(workflow.concurrency.get("group"), values)
    at_work = str(workflow.concurrency.get("cancel-in-progress", "")).lower() == "true"
    sql = "SELECT * FROM workflow_runs WHERE repo_id = ? AND concurrency = ? AND status != 'completed'"
    for earlier in hub.store.rows(sql, repo["id"], group):
        if earlier["status"] == "in_progress":
            if at_work:
                hub.cancelled.add(earlier["id"])
        else:
            cancel(hub, repo, earlier)
    hub.store.update("workflow_runs", run["id"], concurrency=group)


def cancel(hub: HubState, repo: Row, run: Row) -> None:
    """Cancel a run that has not started."""
    done: Json = {"status": "completed", "conclusion": "cancelled"}
    for job in latest_jobs(hub, run["id"]):
        if job["status"] != "completed":
            hub.store.update("jobs", job["id"], **done, completed_at=now(), log="")
            hub.store.update("check_runs", job["check_run_id"], **done, completed_at=now())
            tell_run(hub, repo, actor_of(hub, run), job["check_run_id"], "completed")
    settle_suite(hub, repo, actor_of(hub, run), run["suite_id"])
    hub.store.update("workflow_runs", run["id"], **done, updated_at=now())
    tell(hub, repo, run["id"], "completed")


def _is_reviewed(repo: Row, workflow: Workflow) -> bool:
    """Whether a job names an environment with reviewers: the run waits for one.

    https://docs.github.com/en/actions/how-tos/deploy/configure-and-manage-deployments/review-deployments
    """
    named = (job.get("environment") for job in workflow.jobs if not job["skipped"])
    names = {str(mapping(name).get("name")) if isinstance(name, dict) else str(name) for name in named}
    return bool(names & set(items(repo["reviewed_environments"])))


def add_job(hub: HubState, repo: Row, run_id: int, definition: Json) -> None:
    """A queued job of the run's current attempt, with its check run."""
    run = hub.store.get("workflow_runs", run_id)
    job_id = hub.store.next_id()
    url = f"{hub.url}/{full_name(hub, repo)}/actions/runs/{run_id}/job/{job_id}"
    check_id = hub.store.insert(
        "check_runs",
        repo_id=repo["id"],
        suite_id=run["suite_id"],
        app_id=ACTIONS_APP_ID,
        name=definition["name"],
        head_sha=run["head_sha"],
        status="queued",
        external_id=str(job_id),
        details_url=url,
        output={},
        started_at=now(),
    )
    values: Json = {"attempt": run["attempt"], "key": definition["key"], "name": definition["name"], "status": "queued"}
    values |= {"definition": definition, "check_run_id": check_id, "created_at": now(), "steps": []}
    hub.store.insert("jobs", **values, id=job_id, run_id=run_id)
    tell_run(hub, repo, actor_of(hub, run), check_id, "created")


def actor_of(hub: HubState, run: Row) -> Actor:
    """The user or bot in whose name a run happens."""
    return Actor("user", hub.store.get("users", run["actor_id"]))


def tell(hub: HubState, repo: Row, run_id: int, action: str) -> None:
    """The `workflow_run` event."""
    run = hub.store.get("workflow_runs", run_id)
    payload: Json = {"action": action, "workflow_run": workflow_run(hub, repo, run)}
    payload["workflow"] = {"id": run["workflow_id"], "name": run["name"], "path": run["path"]}
    emit(hub, repo, actor_of(hub, run), "workflow_run", payload)


def latest_jobs(hub: HubState, run_id: int) -> list[Row]:
    """The newest job of each name in a run, in the workflow's order."""
    sql = "SELECT * FROM jobs WHERE id IN (SELECT max(id) FROM jobs WHERE run_id = ? GROUP BY name) ORDER BY id"
    return hub.store.rows(sql, run_id)


def workflow_run(hub: HubState, repo: Row, row: Row) -> Json:
    """A workflow run as GitHub shows it."""
    base = repo_url(hub, repo)
    url = f"{base}/actions/runs/{row['id']}"
    minimal, who = repository(hub, repo, m.MinimalRepository), user(hub, row["actor_id"])
    commit = simple_commit(hub, repo, row["head_sha"])
    names = ("id", "name", "head_branch", "head_sha", "path", "event", "status", "conclusion", "workflow_id")
    value: Json = {name: row[name] for name in (*names, "created_at", "updated_at", "run_started_at")}
    value |= {"node_id": f"WFR_{row['id']}", "run_number": row["number"], "run_attempt": row["attempt"]}
    value |= {"check_suite_id": row["suite_id"], "check_suite_url": f"{base}/check-suites/{row['suite_id']}"}
    value |= {"html_url": f"{hub.url}/{full_name(hub, repo)}/actions/runs/{row['id']}", "actor": who}
    value |= {"triggering_actor": who, "pull_requests": pull_minimal(hub, repo, row["head_sha"])}
    value |= {"repository": minimal, "head_repository": minimal, "head_commit": commit}
    value |= {"display_title": commit["message"].partition("\n")[0]}
    value |= {"workflow_url": f"{base}/actions/workflows/{row['workflow_id']}"}
    return complete(m.WorkflowRun, url, value)


def _job(call: Call, run: Row, row: Row) -> Json:
    base = repo_url(call.hub, call.repo)
    names = ("id", "run_id", "name", "status", "conclusion", "created_at", "completed_at", "steps")
    value: Json = {name: row[name] for name in names} | {"node_id": f"J_{row['id']}", "head_sha": run["head_sha"]}
    value |= {"run_url": f"{base}/actions/runs/{run['id']}", "run_attempt": row["attempt"]}
    value |= {"check_run_url": f"{base}/check-runs/{row['check_run_id']}", "head_branch": run["head_branch"]}
    value |= {"started_at": row["started_at"] or row["created_at"], "workflow_name": run["name"]}
    value |= {"html_url": f"{call.hub.url}/{full_name(call.hub, call.repo)}/actions/runs/{run['id']}/job/{row['id']}"}
    return complete(m.Job, f"{base}/actions/jobs/{row['id']}", value | {"labels": ["ubuntu-latest"]})


def _run(call: Call) -> Row:
    sql = "SELECT * FROM workflow_runs WHERE repo_id = ? AND id = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.number("run_id"))
    if row is None:
        raise Refusal(404, "Not Found")
    return row


@routes.add("GET", RUNS, "actions:read")
def list_runs(call: Call) -> Json:
    """Runs, newest first, filtered by head_sha, branch, event and status (or conclusion)."""
    rows = call.hub.store.rows("SELECT * FROM workflow_runs WHERE repo_id = ? ORDER BY id DESC", call.repo["id"])
    for parameter, columns in (
        ("head_sha", ("head_sha",)),
        ("branch", ("head_branch",)),
        ("event", ("event",)),
        ("status", ("status", "conclusion")),
    ):
        if parameter in call.query:
            rows = [row for row in rows if call.query[parameter] in [row[column] for column in columns]]
    shown = [workflow_run(call.hub, call.repo, row) for row in call.page(rows)]
    return dump(m.ReposOwnerRepoActionsRunsGetResponse200, {"total_count": len(rows), "workflow_runs": shown})


@routes.add("GET", f"{RUNS}/{{run_id}}", "actions:read")
def get_run(call: Call) -> Json:
    """One run."""
    return workflow_run(call.hub, call.repo, _run(call))


@routes.add("GET", f"{RUNS}/{{run_id}}/jobs", "actions:read")
def list_jobs(call: Call) -> Json:
    """The jobs of a run's latest attempt, or with `filter=all` of every attempt."""
    run = _run(call)
    if call.query.get("filter") == "all":
        rows = call.hub.store.rows("SELECT * FROM jobs WHERE run_id = ? ORDER BY id", run["id"])
    else:
        rows = latest_jobs(call.hub, run["id"])
    shown = [_job(call, run, row) for row in call.page(rows)]
    return dump(m.ReposOwnerRepoActionsRunsRunIdJobsGetResponse200, {"total_count": len(rows), "jobs": shown})


@routes.add("POST", f"{RUNS}/{{run_id}}/rerun-failed-jobs", "actions:write", "write")
def rerun_failed_jobs(call: Call) -> tuple[int, Json]:
    """Queue the failed jobs again as the run's next attempt."""
    run, hub = _run(call), call.hub
    if run["status"] != "completed":
        raise Refusal(403, "This workflow is already running")
    failed = [job for job in latest_jobs(hub, run["id"]) if job["conclusion"] not in ("success", "neutral")]
    if not failed or run["conclusion"] == "success":
        raise Refusal(403, "This workflow run cannot be retried")
    changes: Json = {"status": "queued", "conclusion": None, "updated_at": now(), "run_started_at": now()}
    hub.store.update("workflow_runs", run["id"], attempt=run["attempt"] + 1, **changes)
    tell(hub, call.repo, run["id"], "requested")
    for job in failed:
        add_job(hub, call.repo, run["id"], job["definition"])
    settle_suite(hub, call.repo, call.actor, run["suite_id"])
    return 201, {}


def _signature(hub: HubState, job_id: int, expires: int) -> str:
    return hmac.new(hub.app.private_key_pem.encode(), f"{job_id}.{expires}".encode(), hashlib.sha256).hexdigest()


@routes.add("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", "actions:read")
def job_logs(call: Call) -> Response:
    """A redirect to the log's text, which needs no token and works for a minute."""
    sql = "SELECT j.* FROM jobs j JOIN workflow_runs r ON r.id = j.run_id WHERE r.repo_id = ? AND j.id = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.number("job_id"))
    if row is None or row["log"] is None:
        raise Refusal(404, "Not Found")
    expires = int(time.time()) + LOG_URL_SECONDS
    url = f"{call.hub.url}/_logs/{row['id']}?expires={expires}&signature={_signature(call.hub, row['id'], expires)}"
    return RedirectResponse(url, 302)


def log_text(hub: HubState, job_id: int, expires: int, signature: str) -> Response:
    """The text behind `job_logs`; 403 for a wrong or old address."""
    if expires < time.time() or not hmac.compare_digest(signature, _signature(hub, job_id, expires)):
        return PlainTextResponse("This address has expired.", 403)
    with hub.store.transaction():
        return PlainTextResponse(str(hub.store.get("jobs", job_id)["log"]))
