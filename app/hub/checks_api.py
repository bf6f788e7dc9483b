"""Check runs, check suites and commit statuses."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.commits_api import resolve
from app.hub.github_problems import Refusal, invalid
from app.hub.journal import record
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import complete, repo_url, repository, sender, simple_commit, user
from app.hub.state import Json, items, now
from app.hub.store import Row
from app.hub.suites import check_run, settle_suite, suite, suite_of, tell_run
from app.hub.webhook_sender import emit

routes = Routes()
MAX_TEXT = 65_535
REPO = "/repos/{owner}/{repo}"


def _check_output(output: Json | None) -> None:
    for name in ("summary", "text"):
        if len((output or {}).get(name) or "") > MAX_TEXT:
            raise invalid("CheckRun", f"output.{name}", message=f"{name} exceeds a maximum length of 65535 characters")


def _outcome(body: Json) -> Json:
    """Status, conclusion and times of a create or update; a conclusion completes the run."""
    values: Json = {name: body[name] for name in ("external_id", "details_url", "name") if name in body}
    if body.get("conclusion"):
        done = body.get("completed_at") or now()
        return values | {"status": "completed", "conclusion": body["conclusion"], "completed_at": done}
    if body.get("status") == "completed":
        raise invalid("CheckRun", "conclusion", "missing_field")
    if "status" in body:
        values |= {"status": body["status"], "conclusion": None, "completed_at": None}
    return values


@routes.add("POST", f"{REPO}/check-runs", "checks:write")
def create_check_run(call: Call) -> tuple[int, Json]:
    """A check run of the calling App."""
    if call.actor.kind != "installation":
        raise Refusal(403, "You must authenticate via a GitHub App.")
    body = call.body(m.ReposOwnerRepoCheckRunsPostBodyOneof0, m.ReposOwnerRepoCheckRunsPostBodyOneof1)
    sha, hub = body["head_sha"], call.hub
    if call.git.kind(sha) != "commit":
        raise Refusal(422, f"No commit found for SHA: {sha}")
    _check_output(body.get("output"))
    suite_id = suite_of(hub, call.repo, hub.app.id, sha)
    values: Json = {"external_id": "", "details_url": f"{hub.url}/apps/{hub.app.slug}", "status": "queued"}
    values |= _outcome(body) | {"started_at": body.get("started_at") or now(), "output": body.get("output") or {}}
    run_id = hub.store.insert(
        "check_runs", repo_id=call.repo["id"], suite_id=suite_id, app_id=hub.app.id, head_sha=sha, **values
    )
    return 201, _told(call, run_id, "created")


@routes.add("PATCH", f"{REPO}/check-runs/{{check_run_id}}", "checks:write")
def update_check_run(call: Call) -> Json:
    """Change a check run; only the App that made it may."""
    row = _check_run(call)
    if call.actor.kind != "installation" or row["app_id"] != call.hub.app.id:
        raise Refusal(403, "Invalid app_id `" + str(row["app_id"]) + "` - check run can only be modified by its App.")
    model = m.ReposOwnerRepoCheckRunsCheckRunIdPatchBodyAnyof1
    body = call.body(m.ReposOwnerRepoCheckRunsCheckRunIdPatchBodyAnyof0, model)
    _check_output(body.get("output"))
    values = _outcome(body)
    if body.get("output"):
        kept: Json = row["output"] or {}
        annotations = [*items(kept.get("annotations")), *items(body["output"].get("annotations"))]
        values["output"] = kept | body["output"] | {"annotations": annotations}
    if values:
        call.hub.store.update("check_runs", row["id"], **values)
    return _told(call, row["id"], "updated")


def _told(call: Call, run_id: int, verb: str) -> Json:
    """Journal the write, raise GitHub's events, settle the suite; the run as it is now."""
    hub, row = call.hub, call.hub.store.get("check_runs", run_id)
    output: Json = row["output"] or {}
    text = "\n".join(filter(None, [row["conclusion"] or row["status"], output.get("title"), output.get("summary")]))
    record(hub, call.actor, call.repo, f"check_run.{verb}", text, sha=row["head_sha"], name=row["name"])
    if verb == "created":
        tell_run(hub, call.repo, call.actor, run_id, "created")
    if row["status"] == "completed":
        tell_run(hub, call.repo, call.actor, run_id, "completed")
    settle_suite(hub, call.repo, call.actor, row["suite_id"])
    return check_run(hub, call.repo, row)


def _check_run(call: Call) -> Row:
    sql = "SELECT * FROM check_runs WHERE repo_id = ? AND id = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.number("check_run_id"))
    if row is None:
        raise Refusal(404, "Not Found")
    return row


@routes.add("GET", f"{REPO}/check-runs/{{check_run_id}}", "checks:read")
def get_check_run(call: Call) -> Json:
    """One check run."""
    return check_run(call.hub, call.repo, _check_run(call))


@routes.add("POST", f"{REPO}/check-runs/{{check_run_id}}/rerequest", "checks:write", "write")
def rerequest_check_run(call: Call) -> tuple[int, Json]:
    """Have a check run again: its suite is queued, the run stays as it is until its App updates it.

    https://docs.github.com/en/rest/checks/runs#rerequest-a-check-run
    """
    row = _check_run(call)
    call.hub.store.update("check_suites", row["suite_id"], status="queued", conclusion=None, updated_at=now())
    tell_run(call.hub, call.repo, call.actor, row["id"], "rerequested")
    return 201, {}


@routes.add("GET", f"{REPO}/commits/{{ref:path}}/check-runs", "checks:read")
def list_check_runs(call: Call) -> Json:
    """Check runs of a commit; `filter=latest` (the default) keeps the newest of each name in each suite."""
    sha = resolve(call.git, call.path["ref"])
    sql = "SELECT * FROM check_runs WHERE repo_id = ? AND head_sha = ? ORDER BY id DESC"
    rows = call.hub.store.rows(sql, call.repo["id"], sha)
    if call.query.get("filter", "latest") == "latest":
        newest: dict[tuple[int, str], Row] = {}
        for row in rows:
            newest.setdefault((row["suite_id"], row["name"]), row)
        rows = list(newest.values())
    for parameter, column in (("check_name", "name"), ("app_id", "app_id"), ("status", "status")):
        if parameter in call.query:
            rows = [row for row in rows if str(row[column]) == call.query[parameter]]
    shown = [check_run(call.hub, call.repo, row) for row in call.page(rows)]
    return dump(m.ReposOwnerRepoCommitsRefCheckRunsGetResponse200, {"total_count": len(rows), "check_runs": shown})


@routes.add("GET", f"{REPO}/commits/{{ref:path}}/check-suites", "checks:read")
def list_check_suites(call: Call) -> Json:
    """Check suites of a commit, also those that never got a run."""
    sha = resolve(call.git, call.path["ref"])
    sql = "SELECT * FROM check_suites WHERE repo_id = ? AND head_sha = ? ORDER BY id"
    rows = call.hub.store.rows(sql, call.repo["id"], sha)
    if "app_id" in call.query:
        rows = [row for row in rows if str(row["app_id"]) == call.query["app_id"]]
    shown = [suite(call.hub, call.repo, row) for row in call.page(rows)]
    return dump(m.ReposOwnerRepoCommitsRefCheckSuitesGetResponse200, {"total_count": len(rows), "check_suites": shown})


def _status(call: Call, row: Row, *, simple: bool = False) -> Json:
    names = ("id", "state", "description", "target_url", "context", "created_at")
    value: Json = {name: row[name] for name in names} | {"node_id": f"SC_{row['id']}"}
    value |= {"updated_at": row["created_at"], "avatar_url": None}
    url = f"{repo_url(call.hub, call.repo)}/statuses/{row['sha']}"
    if simple:
        return complete(m.SimpleCommitStatus, url, value)
    return complete(m.Status, url, value | {"creator": user(call.hub, row["user_id"])})


@routes.add("POST", f"{REPO}/statuses/{{sha}}", "statuses:write", "write")
def create_status(call: Call) -> tuple[int, Json]:
    """A commit status."""
    body, sha, hub = call.body(m.ReposOwnerRepoStatusesShaPostBody), call.path["sha"], call.hub
    if call.git.kind(sha) != "commit":
        raise Refusal(422, f"No commit found for SHA: {sha}")
    values = {"context": "default"} | {
        name: body[name] for name in ("state", "context", "description", "target_url") if name in body
    }
    who = call.actor.user["id"]
    status_id = hub.store.insert("statuses", repo_id=call.repo["id"], sha=sha, user_id=who, created_at=now(), **values)
    row = hub.store.get("statuses", status_id)
    branches = [name for name, tip in call.git.refs("refs/heads/").items() if tip == sha]
    payload: Json = {name: row[name] for name in ("id", "sha", "state", "context", "description", "target_url")}
    payload |= {"name": call.path["owner"] + "/" + call.path["repo"], "created_at": row["created_at"]}
    payload["branches"] = [{"name": name.removeprefix("refs/heads/"), "commit": {"sha": sha}} for name in branches]
    payload["commit"] = {"sha": sha, "commit": simple_commit(hub, call.repo, sha), "author": sender(hub, call.actor)}
    emit(hub, call.repo, call.actor, "status", payload)
    return 201, _status(call, row)


@routes.add("GET", f"{REPO}/commits/{{ref:path}}/status", "statuses:read")
def combined_status(call: Call) -> Json:
    """The newest status of each context and their combined state; pending when there is none."""
    sha, repo = resolve(call.git, call.path["ref"]), call.repo
    newest = "SELECT max(id) FROM statuses WHERE repo_id = ? AND sha = ? GROUP BY context"
    rows = call.hub.store.rows(f"SELECT * FROM statuses WHERE id IN ({newest}) ORDER BY id", repo["id"], sha)  # noqa: S608
    states = [row["state"] for row in rows]
    bad = any(state in ("failure", "error") for state in states)
    state = "failure" if bad else "success" if states and set(states) == {"success"} else "pending"
    base = repo_url(call.hub, repo)
    value: Json = {"state": state, "sha": sha, "total_count": len(rows)}
    value |= {"statuses": [_status(call, row, simple=True) for row in call.page(rows)]}
    value |= {"repository": repository(call.hub, repo, m.MinimalRepository), "commit_url": f"{base}/commits/{sha}"}
    return dump(m.CombinedCommitStatus, value | {"url": f"{base}/commits/{sha}/status"})


@routes.add("GET", f"{REPO}/commits/{{ref:path}}/statuses", "statuses:read")
def list_statuses(call: Call) -> list[Json]:
    """All statuses of a commit, newest first."""
    sha = resolve(call.git, call.path["ref"])
    sql = "SELECT * FROM statuses WHERE repo_id = ? AND sha = ? ORDER BY id DESC"
    return [_status(call, row) for row in call.page(call.hub.store.rows(sql, call.repo["id"], sha))]
