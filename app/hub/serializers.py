"""Rows as GitHub shows them: one builder per object, each checked against githubkit's generated response models."""

from functools import cache
from types import NoneType
from typing import Any, get_args

from githubkit_schemas.v2026_03_10 import models as m
from pydantic import BaseModel

from app.hub.auth import ROLES, Actor, role
from app.hub.git_repos import bare
from app.hub.routing import dump
from app.hub.state import HubState, Json
from app.hub.store import Row


@cache
def _required(model: type[BaseModel]) -> list[tuple[str, bool]]:
    fields = [(info.alias or name, info) for name, info in model.model_fields.items() if info.is_required()]
    return [(name, NoneType in (info.annotation, *get_args(info.annotation))) for name, info in fields]


def complete(model: type[BaseModel], url: str, value: Json) -> Json:
    """Check `value` as `model`; links GitHub always sends are derived from `url`, and unknown nullable fields are null.

    Anything else that is required and missing is a pydantic ValidationError: a bug of the hub, never a default.
    """
    for name, nullable in _required(model):
        if name in value:
            continue
        if name == "url":
            value[name] = url
        elif name.endswith("_url"):
            value[name] = f"{url}/{name.removesuffix('_url')}"
        elif nullable:
            value[name] = None
    return dump(model, value)


def repo_url(hub: HubState, repo: Row) -> str:
    """The API URL of a repository."""
    return f"{hub.url}/repos/{full_name(hub, repo)}"


def full_name(hub: HubState, repo: Row) -> str:
    """`owner/name`."""
    return f"{hub.store.get('users', repo['owner_id'])['login']}/{repo['name']}"


def user(hub: HubState, user_id: int) -> Json:
    """A simple user or bot."""
    row = hub.store.get("users", user_id)
    value = {"login": row["login"], "id": row["id"], "node_id": f"U_{row['id']}", "type": row["type"]}
    value |= {"site_admin": False, "gravatar_id": "", "html_url": f"{hub.url}/{row['login']}"}
    return complete(m.SimpleUser, f"{hub.url}/users/{row['login']}", value)


def _repository_fields(hub: HubState, repo: Row) -> Json:
    name = full_name(hub, repo)
    open_issues = hub.store.rows("SELECT id FROM issues WHERE repo_id = ? AND state = 'open'", repo["id"])
    counts = ("forks_count", "stargazers_count", "watchers_count", "size", "forks", "watchers", "subscribers_count")
    flags = ("fork", "has_projects", "has_wiki", "has_pages", "has_discussions", "archived", "disabled")
    value: Json = {"id": repo["id"], "node_id": f"R_{repo['id']}", "name": repo["name"], "full_name": name}
    value |= {"owner": user(hub, repo["owner_id"]), "private": repo["private"], "html_url": f"{hub.url}/{name}"}
    value |= {"default_branch": repo["default_branch"], "open_issues_count": len(open_issues), "has_issues": True}
    value |= {"open_issues": len(open_issues), "network_count": 0, "clone_url": f"{hub.url}/{name}.git"}
    value |= {"created_at": repo["created_at"], "updated_at": repo["pushed_at"], "pushed_at": repo["pushed_at"]}
    return value | dict.fromkeys(counts, 0) | dict.fromkeys(flags, False)


def repository(hub: HubState, repo: Row, model: type[BaseModel] = m.Repository) -> Json:
    """A repository; `model` picks GitHub's full, usual or minimal form."""
    return complete(model, repo_url(hub, repo), _repository_fields(hub, repo))


def app(hub: HubState, app_id: int) -> Json:
    """A GitHub App as it appears in check runs and suites."""
    row = hub.store.get("apps", app_id)
    installation = hub.store.row("SELECT * FROM installations LIMIT 1") if app_id == hub.app.id else None
    value: Json = {"id": row["id"], "slug": row["slug"], "node_id": f"A_{row['id']}", "name": row["name"]}
    value |= {"owner": user(hub, row["owner_id"]), "external_url": hub.url, "created_at": "2024-01-01T00:00:00Z"}
    value |= {"updated_at": "2024-01-01T00:00:00Z", "html_url": f"{hub.url}/apps/{row['slug']}"}
    value |= {"permissions": installation["permissions"] if installation else {"checks": "write"}}
    if app_id == hub.app.id:
        value["client_id"] = hub.app.client_id
    return complete(m.Integration, f"{hub.url}/apps/{row['slug']}", value | {"events": _events(installation)})


def _events(installation: Row | None) -> list[str]:
    return list(installation["events"]) if installation else []


def installation(hub: HubState, row: Row) -> Json:
    """An installation of the App."""
    url = f"{hub.url}/app/installations/{row['id']}"
    value: Json = {"id": row["id"], "account": user(hub, row["account_id"]), "repository_selection": "selected"}
    value |= {"access_tokens_url": f"{url}/access_tokens", "repositories_url": f"{hub.url}/installation/repositories"}
    value |= {"app_id": hub.app.id, "client_id": hub.app.client_id, "app_slug": hub.app.slug}
    value |= {"target_id": row["account_id"], "target_type": "User", "permissions": row["permissions"]}
    value |= {"events": row["events"], "created_at": row["created_at"], "updated_at": row["created_at"]}
    return complete(m.Installation, url, value)


def association(hub: HubState, repo: Row, user_id: int) -> str:
    """How GitHub words a commenter's relation to the repository."""
    if repo["owner_id"] == user_id:
        return "OWNER"
    return "COLLABORATOR" if ROLES[role(hub, repo, user_id)] >= ROLES["triage"] else "NONE"


def label(hub: HubState, repo: Row, row: Row) -> Json:
    """A label of a repository."""
    value = {"id": row["id"], "node_id": f"LA_{row['id']}", "name": row["name"], "color": row["color"]}
    value |= {"description": row["description"], "default": False}
    return complete(m.Label, f"{repo_url(hub, repo)}/labels/{row['name']}", value)


def labels_of(hub: HubState, repo: Row, issue_id: int) -> list[Json]:
    """The labels of an issue or pull request."""
    sql = "SELECT l.* FROM labels l JOIN issue_labels il ON il.label_id = l.id WHERE il.issue_id = ? ORDER BY il.id"
    return [label(hub, repo, row) for row in hub.store.rows(sql, issue_id)]


def comment_count(hub: HubState, issue_id: int) -> int:
    """How many comments an issue or pull request has."""
    row = hub.store.row("SELECT count(*) AS n FROM comments WHERE issue_id = ?", issue_id)
    return int(row["n"]) if row else 0


def issue(hub: HubState, repo: Row, row: Row) -> Json:
    """An issue, or a pull request as the issues API shows it."""
    base, web = repo_url(hub, repo), f"{hub.url}/{full_name(hub, repo)}"
    url, kind = f"{base}/issues/{row['number']}", "pull" if row["is_pull"] else "issues"
    value: Json = {"id": row["id"], "node_id": f"I_{row['id']}", "number": row["number"], "title": row["title"]}
    value |= {"repository_url": base, "html_url": f"{web}/{kind}/{row['number']}", "body": row["body"]}
    value |= {
        "state": row["state"],
        "state_reason": row["state_reason"],
        "locked": bool(row["locked"]),
        "assignees": [],
    }
    value |= {"user": user(hub, row["user_id"]), "labels": labels_of(hub, repo, row["id"])}
    value |= {"comments": comment_count(hub, row["id"]), "closed_at": row["closed_at"]}
    value |= {"created_at": row["created_at"], "updated_at": row["updated_at"]}
    value |= {"author_association": association(hub, repo, row["user_id"])}
    if row["is_pull"]:
        pull_url, page = f"{base}/pulls/{row['number']}", f"{web}/pull/{row['number']}"
        value["pull_request"] = {"url": pull_url, "html_url": page}
        value["pull_request"] |= {"diff_url": f"{page}.diff", "patch_url": f"{page}.patch"}
    return complete(m.Issue, url, value)


def comment(hub: HubState, repo: Row, row: Row) -> Json:
    """A comment on an issue or pull request."""
    base = repo_url(hub, repo)
    parent = hub.store.get("issues", row["issue_id"])
    kind = "pull" if parent["is_pull"] else "issues"
    page = f"{hub.url}/{full_name(hub, repo)}/{kind}/{parent['number']}"
    value: Json = {"id": row["id"], "node_id": f"IC_{row['id']}", "body": row["body"]}
    value |= {"user": user(hub, row["user_id"])}
    value |= {"issue_url": f"{base}/issues/{parent['number']}", "html_url": f"{page}#issuecomment-{row['id']}"}
    value |= {"created_at": row["created_at"], "updated_at": row["updated_at"]}
    value |= {"author_association": association(hub, repo, row["user_id"])}
    return complete(m.IssueComment, f"{base}/issues/comments/{row['id']}", value)


def reaction(hub: HubState, row: Row) -> Json:
    """A reaction to an issue or comment."""
    value = {"id": row["id"], "node_id": f"REA_{row['id']}", "user": user(hub, row["user_id"])}
    return dump(m.Reaction, value | {"content": row["content"], "created_at": row["created_at"]})


def simple_commit(hub: HubState, repo: Row, sha: str) -> Json:
    """The short form of a commit that check suites, workflow runs and pushes carry."""
    form = "%T%x00%cI%x00%an%x00%ae%x00%cn%x00%ce%x00%B"
    tree, when, *people, message = bare(hub, repo).lasting("log", "-1", f"--format={form}", sha).split("\0", 6)
    value: Json = {"id": sha, "tree_id": tree, "message": message.rstrip("\n"), "timestamp": when}
    value["author"] = {"name": people[0], "email": people[1]}
    value["committer"] = {"name": people[2], "email": people[3]}
    return dump(m.SimpleCommit, value)


def pull_minimal(hub: HubState, repo: Row, sha: str) -> list[Json]:
    """The open pull requests whose head is this commit, in the minimal form check runs carry."""
    base = repo_url(hub, repo)
    side_repo = {"id": repo["id"], "url": base, "name": repo["name"]}
    sql = "SELECT p.*, i.number FROM pulls p JOIN issues i ON i.id = p.issue_id WHERE p.repo_id = ? AND p.head_sha = ?"
    found: list[Json] = []
    for row in hub.store.rows(f"{sql} AND i.state = 'open'", repo["id"], sha):
        value: Any = {"id": row["id"], "number": row["number"], "url": f"{base}/pulls/{row['number']}"}
        value["head"] = {"ref": row["head_ref"], "sha": row["head_sha"], "repo": side_repo}
        value["base"] = {"ref": row["base_ref"], "sha": row["base_sha"], "repo": side_repo}
        found.append(dump(m.PullRequestMinimal, value))
    return found


def sender(hub: HubState, actor: Actor) -> Json:
    """The user or bot behind an event."""
    return user(hub, actor.user["id"])
