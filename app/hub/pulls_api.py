"""Pull requests: opened, changed, listed, merged."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.commits_api import commit, merge_commit
from app.hub.diffs import file_diffs
from app.hub.github_problems import Refusal, invalid
from app.hub.issues_api import check_body, new_issue
from app.hub.journal import record
from app.hub.pull_queries import SELECT, close, diff_base, find, mergeability, pull, simple, tell
from app.hub.refs import move, pull_event
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import repo_url
from app.hub.state import Json, now
from app.hub.store import Row
from app.hub.suites import context_states, required_contexts

routes = Routes()
PULLS = "/repos/{owner}/{repo}/pulls"


def find_pull(call: Call) -> Row:
    """The pull request of the path; 404 when there is none."""
    row = find(call.hub, call.repo, call.number("pull_number"))
    if row is None:
        raise Refusal(404, "Not Found")
    return row


@routes.add("GET", PULLS, "pull_requests:read")
def list_pulls(call: Call) -> list[Json]:
    """Pull requests, newest first, filtered by state (open unless given), head (`owner:branch`) and base."""
    rows = call.hub.store.rows(f"{SELECT} WHERE p.repo_id = ? ORDER BY i.number DESC", call.repo["id"])
    state, head, base = call.query.get("state", "open"), call.query.get("head"), call.query.get("base")
    owner = call.hub.store.get("users", call.repo["owner_id"])["login"]
    rows = [row for row in rows if state in ("all", row["state"])]
    rows = [row for row in rows if head is None or ":" not in head or head == f"{owner}:{row['head_ref']}"]
    rows = [row for row in rows if base is None or base == row["base_ref"]]
    return [simple(call.hub, call.repo, row) for row in call.page(rows)]


@routes.add("POST", PULLS, "pull_requests:write")
def create_pull(call: Call) -> tuple[int, Json]:
    """Open a pull request of a branch of this repository."""
    body, hub, repo = call.body(m.ReposOwnerRepoPullsPostBody), call.hub, call.repo
    owner = hub.store.get("users", repo["owner_id"])["login"]
    prefix, colon, name = body["head"].rpartition(":")
    base_ref = body["base"]
    head, base = call.git.ref(f"refs/heads/{name}"), call.git.ref(f"refs/heads/{base_ref}")
    if head is None or (colon and prefix.lower() != owner.lower()):
        raise invalid("PullRequest", "head")
    if base is None:
        raise invalid("PullRequest", "base")
    sql = f"{SELECT} WHERE p.repo_id = ? AND i.state = 'open' AND p.head_ref = ? AND p.base_ref = ?"
    if hub.store.row(sql, repo["id"], name, base_ref) is not None:
        problem = f"A pull request already exists for {owner}:{name}."
        raise Refusal(422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": problem}])
    if call.git.is_ancestor(head, base):
        problem = f"No commits between {base_ref} and {name}"
        raise Refusal(422, "Validation Failed", [{"resource": "PullRequest", "code": "custom", "message": problem}])
    issue = new_issue(call, body.get("title") or "", body.get("body"), is_pull=True)
    values = {"head_ref": name, "head_sha": head, "base_ref": base_ref, "base_sha": base}
    hub.store.insert("pulls", issue_id=issue["id"], repo_id=repo["id"], draft=bool(body.get("draft")), **values)
    number = issue["number"]
    call.git.run("update-ref", f"refs/pull/{number}/head", head)
    record(hub, call.actor, repo, "pull.created", issue["title"], number=number, sha=head, name=name)
    tell(hub, repo, call.actor, number, "opened")
    pull_event(hub, repo, call.actor, number, "opened")
    return 201, _shown(call, number)


def _shown(call: Call, number: int) -> Json:
    row = find(call.hub, call.repo, number)
    if row is None:
        raise Refusal(404, "Not Found")
    return pull(call.hub, call.repo, row)


@routes.add("GET", f"{PULLS}/{{pull_number}}", "pull_requests:read")
def get_pull(call: Call) -> Json:
    """One pull request with counts and mergeability."""
    return pull(call.hub, call.repo, find_pull(call))


@routes.add("PATCH", f"{PULLS}/{{pull_number}}", "pull_requests:write")
def update_pull(call: Call) -> Json:
    """Change title, body, state or base."""
    row, body, hub = find_pull(call), call.body(m.ReposOwnerRepoPullsPullNumberPatchBody), call.hub
    check_body(body.get("body"), "PullRequest")
    changes: Json = {name: body[name] for name in ("title", "body") if name in body}
    if "base" in body and body["base"] != row["base_ref"]:
        tip = call.git.ref(f"refs/heads/{body['base']}")
        if tip is None:
            raise invalid("PullRequest", "base")
        hub.store.update("pulls", row["id"], base_ref=body["base"], base_sha=tip)
    reopened = body.get("state") == "open" and row["state"] == "closed"
    if reopened:
        if row["merged_at"] or call.git.ref(f"refs/heads/{row['head_ref']}") is None:
            raise invalid("PullRequest", "state", message="state cannot be changed.")
        changes |= {"state": "open", "closed_at": None}
    if changes:
        hub.store.update("issues", row["issue_id"], **changes, updated_at=now())
    record(hub, call.actor, call.repo, "pull.edited", repr(body), number=row["number"])
    before = {name: {"from": row[name]} for name in ("title", "body") if name in changes}
    before |= {"base": {"ref": {"from": row["base_ref"]}}} if "base" in body else {}
    if before:
        tell(hub, call.repo, call.actor, row["number"], "edited", changes=before)
        pull_event(hub, call.repo, call.actor, row["number"], "edited")
    if reopened:
        tell(hub, call.repo, call.actor, row["number"], "reopened")
        pull_event(hub, call.repo, call.actor, row["number"], "reopened")
    if body.get("state") == "closed" and row["state"] == "open":
        close(hub, call.repo, call.actor, row)
    return _shown(call, row["number"])


@routes.add("GET", f"{PULLS}/{{pull_number}}/files", "pull_requests:read")
def list_files(call: Call) -> list[Json]:
    """The changed files, at most 3,000."""
    row, base = find_pull(call), repo_url(call.hub, call.repo)
    files = file_diffs(call.git, diff_base(call.git, row), row["head_sha"])[:3000]
    return [dump(m.DiffEntry, file.view(base, row["head_sha"])) for file in call.page(files)]


def pull_commits(call: Call, row: Row) -> list[str]:
    """The shas of a pull request's commits, oldest first."""
    span = f"{diff_base(call.git, row)}..{row['head_sha']}"
    return call.git.run("rev-list", "--reverse", span).splitlines()


@routes.add("GET", f"{PULLS}/{{pull_number}}/commits", "pull_requests:read")
def list_commits(call: Call) -> list[Json]:
    """The commits, oldest first, at most 250."""
    shas = pull_commits(call, find_pull(call))[:250]
    return [commit(call.hub, call.repo, sha) for sha in call.page(shas)]


def _check_mergeable(call: Call, row: Row, sha: str | None) -> None:
    if row["state"] != "open" or row["merged_at"]:
        raise Refusal(405, "Pull Request is not mergeable")
    if row["draft"]:
        raise Refusal(405, "Pull Request is still a draft")
    if sha is not None and sha != row["head_sha"]:
        raise Refusal(409, "Head branch was modified. Review and try the merge again.")
    states = context_states(call.hub, call.repo, row["head_sha"])
    required = required_contexts(call.hub, call.repo, row["base_ref"])
    unmet = [name for name in required if states.get(name) != "success"]
    if unmet:
        word = {"failure": "is failing", "pending": "is in progress"}.get(states.get(unmet[0], ""), "is expected")
        raise Refusal(405, f'Required status check "{unmet[0]}" {word}.')
    if not mergeability(call.hub, call.repo, row)[0]:
        raise Refusal(405, "Pull Request is not mergeable")


@routes.add("PUT", f"{PULLS}/{{pull_number}}/merge", "contents:write", "write")
def merge_pull(call: Call) -> Json:
    """Merge or squash when GitHub would allow it: not a draft, no conflict, required checks green (else 405)."""
    row, body, hub = find_pull(call), call.body(m.ReposOwnerRepoPullsPullNumberMergePutBody), call.hub
    _check_mergeable(call, row, body.get("sha"))
    base_ref = f"refs/heads/{row['base_ref']}"
    base, method = call.git.run("rev-parse", base_ref), body.get("merge_method", "merge")
    tree = call.git.merge_tree(base, row["head_sha"])
    if tree is None or method not in ("merge", "squash"):
        raise Refusal(405, "Pull Request is not mergeable" if tree is None else "Rebase merges are not allowed")
    title = body.get("commit_title") or f"{row['title']} (#{row['number']})"
    if method == "merge":
        title = body.get("commit_title") or f"Merge pull request #{row['number']} from {row['head_ref']}"
    parents = [base, row["head_sha"]] if method == "merge" else [base]
    message = "\n\n".join(filter(None, [title, body.get("commit_message")]))
    sha = merge_commit(hub, call.git, call.actor, tree, parents, message)
    close(hub, call.repo, call.actor, row, merge_sha=sha)
    record(hub, call.actor, call.repo, "merge", message, number=row["number"], sha=sha, name=base_ref)
    move(hub, call.repo, call.actor, base_ref, base, sha, merging=True)
    value = {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}
    return dump(m.PullRequestMergeResult, value)
