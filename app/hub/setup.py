"""How repositories, people, roles, protections and the installation come into being: what GitHub's web pages do."""

from pathlib import Path

from app.hub.auth import ROLES, Actor, make_user_token
from app.hub.commits_api import identity
from app.hub.git_repos import ZERO, bare, create_bare
from app.hub.refs import moved
from app.hub.serializers import full_name
from app.hub.state import HubState, Json, now
from app.hub.store import Row
from app.hub.suites import settle_suite, suite_of, tell_run
from app.hub.webhook_sender import store as store_delivery

# What Autopack's manifest asks for.
PERMISSIONS = {
    "actions": "write",
    "administration": "read",
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "read",
}
EVENTS = [
    "check_run",
    "check_suite",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
    "status",
    "workflow_run",
]


def user_id(hub: HubState, login: str) -> int:
    """The id of a user, who is made if new."""
    row = hub.store.row("SELECT id FROM users WHERE login = ?", login)
    kind = "Bot" if login.endswith("[bot]") else "User"
    return row["id"] if row else hub.store.insert("users", login=login, type=kind)


def add_user(hub: HubState, login: str) -> str:
    """A new token of a user, who is made if new."""
    return make_user_token(hub, user_id(hub, login))


def create_repository(hub: HubState, name: str, default_branch: str, *, private: bool) -> Row:
    """An empty repository `owner/name`."""
    owner, _, short = name.partition("/")
    repo_id = hub.store.insert(
        "repositories",
        owner_id=user_id(hub, owner),
        name=short,
        default_branch=default_branch,
        private=private,
        next_number=1,
        created_at=now(),
        pushed_at=now(),
        ghost_app_ids=[],
    )
    create_bare(hub, repo_id, default_branch)
    return hub.store.get("repositories", repo_id)


def import_branches(hub: HubState, repo: Row, source: Path) -> None:
    """Copy all branches and tags of a local repository; no events are raised."""
    specs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    bare(hub, repo).run("fetch", "--quiet", str(source.resolve()), *specs)


def set_role(hub: HubState, repo: Row, login: str, role: str) -> None:
    """Set a user's role; ValueError for an unknown one."""
    if role not in ROLES:
        raise ValueError(f"no such role: {role}")
    who = user_id(hub, login)
    hub.store.execute("DELETE FROM roles WHERE repo_id = ? AND user_id = ?", repo["id"], who)
    hub.store.insert("roles", repo_id=repo["id"], user_id=who, role=role)


def protect(
    hub: HubState, repo: Row, branch: str, contexts: list[str], source: str, pins: dict[str, int] | None = None
) -> None:
    """Protect a branch by `protection` or `ruleset`, with the checks it demands; `pins` are Apps by check."""
    sql = "DELETE FROM protections WHERE repo_id = ? AND branch = ? AND source = ?"
    hub.store.execute(sql, repo["id"], branch, source)
    hub.store.insert(
        "protections", repo_id=repo["id"], branch=branch, contexts=contexts, pins=pins or {}, source=source
    )


def other_app(hub: HubState, repo: Row, slug: str) -> int:
    """The id of another App, made when there is none of this name."""
    row = hub.store.row("SELECT id FROM apps WHERE slug = ?", slug)
    return row["id"] if row else hub.store.insert("apps", slug=slug, name=slug, owner_id=repo["owner_id"])


def report_check(hub: HubState, repo: Row, slug: str, sha: str, name: str, conclusion: str | None) -> None:
    """Another App reports a check run; without a conclusion it stays in progress."""
    app_id = other_app(hub, repo, slug)
    suite_id = suite_of(hub, repo, app_id, sha)
    values: Json = {"app_id": app_id, "name": name, "head_sha": sha, "started_at": now(), "output": {}}
    values |= {"status": "completed" if conclusion else "in_progress", "conclusion": conclusion}
    check_id = hub.store.insert("check_runs", repo_id=repo["id"], suite_id=suite_id, external_id="", **values)
    actor = Actor("user", hub.store.get("users", repo["owner_id"]))
    tell_run(hub, repo, actor, check_id, "completed" if conclusion else "created")
    settle_suite(hub, repo, actor, suite_id)


def ghost_suite(hub: HubState, repo: Row, slug: str) -> int:
    """Let another App, which never creates a run, get a check suite on every push; its id."""
    app_id = other_app(hub, repo, slug)
    hub.store.update("repositories", repo["id"], ghost_app_ids=[*repo["ghost_app_ids"], app_id])
    return app_id


def install_app(hub: HubState, repo: Row, permissions: dict[str, str] | None, events: list[str] | None) -> int:
    """Install the App for the repository's owner, or add the repository to that installation; its id."""
    summary = {"id": repo["id"], "node_id": f"R_{repo['id']}", "name": repo["name"], "private": repo["private"]}
    summary["full_name"] = full_name(hub, repo)
    found = hub.store.row("SELECT * FROM installations WHERE account_id = ?", repo["owner_id"])
    owner = {"login": hub.store.get("users", repo["owner_id"])["login"], "id": repo["owner_id"], "type": "User"}
    if found is None:
        values: Json = {"permissions": permissions or PERMISSIONS, "events": events if events is not None else EVENTS}
        values |= {"repository_ids": [repo["id"]], "created_at": now()}
        row = hub.store.get("installations", hub.store.insert("installations", account_id=repo["owner_id"], **values))
        payload: Json = {"action": "created", "repositories": [summary], "sender": owner}
        payload["installation"] = {"account": owner, "app_id": hub.app.id, "permissions": row["permissions"]}
        store_delivery(hub, row, "installation", payload)
        return row["id"]
    changes: Json = {"repository_ids": sorted({*found["repository_ids"], repo["id"]})}
    changes |= {"permissions": permissions} if permissions is not None else {}
    changes |= {"events": events} if events is not None else {}
    hub.store.update("installations", found["id"], **changes)
    payload = {"action": "added", "repositories_added": [summary], "repositories_removed": [], "sender": owner}
    payload["installation"] = {"account": owner, "app_id": hub.app.id}
    store_delivery(hub, found, "installation_repositories", payload)
    return found["id"]


def backdate(hub: HubState, repo: Row, moment: str) -> None:
    """Have what was said and labeled last come from this moment; what is older stays."""
    sql = (
        "UPDATE comments SET created_at = ?, updated_at = ? WHERE id = (SELECT max(id) FROM comments WHERE repo_id = ?)"
    )
    hub.store.execute(sql, moment, moment, repo["id"])
    sql = "UPDATE issue_events SET created_at = ? WHERE issue_id IN (SELECT id FROM issues WHERE repo_id = ?)"
    hub.store.execute(sql, moment, repo["id"])


def commit_files(hub: HubState, repo: Row, branch: str, files: dict[str, str | None], message: str, login: str) -> str:
    """Commit files (None deletes) on top of a branch as a user and push it, past all protection; the commit's sha."""
    git, ref = bare(hub, repo), f"refs/heads/{branch}"
    old = git.ref(ref)
    parent = old or git.ref(f"refs/heads/{repo['default_branch']}")
    index = {"GIT_INDEX_FILE": str(git.path / f"index-{hub.store.next_id()}")}
    git.run("read-tree", parent or "--empty", env=index)
    lines: list[str] = []
    for path, content in files.items():
        blob = ZERO if content is None else git.run("hash-object", "-w", "--stdin", stdin=content.encode())
        lines.append(f"{'0' if content is None else '100644'} {blob}\t{path}\0")
    git.run("update-index", "--replace", "-z", "--index-info", stdin="".join(lines).encode(), env=index)
    tree = git.run("write-tree", env=index)
    Path(index["GIT_INDEX_FILE"]).unlink()
    who = user_id(hub, login)
    sha = git.commit_tree(tree, [parent] if parent else [], message, identity(hub, who))
    git.run("update-ref", ref, sha, old or ZERO)
    moved(hub, repo, Actor("user", hub.store.get("users", who)), ref, old or ZERO, sha)
    return sha
