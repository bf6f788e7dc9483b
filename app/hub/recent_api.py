"""What happened lately in all issues of a repository. Mounted before `issues_api`, whose paths would match these."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.issues_api import EITHER_READ, REPO
from app.hub.routing import Call, Routes
from app.hub.serializers import comment, complete, issue, repo_url, user
from app.hub.state import Json

routes = Routes()


@routes.add("GET", f"{REPO}/issues/events", EITHER_READ)
def list_events(call: Call) -> list[Json]:
    """What happened to the labels of issues and pull requests, newest first."""
    base = repo_url(call.hub, call.repo)
    sql = "SELECT e.* FROM issue_events e JOIN issues i ON i.id = e.issue_id WHERE i.repo_id = ? ORDER BY e.id DESC"
    shown: list[Json] = []
    for one in call.page(call.hub.store.rows(sql, call.repo["id"])):
        value: Json = {name: one[name] for name in ("id", "event", "label", "created_at")}
        value |= {"node_id": f"LE_{one['id']}", "actor": user(call.hub, one["actor_id"]), "commit_id": None}
        value |= {
            "issue": issue(call.hub, call.repo, call.hub.store.get("issues", one["issue_id"])),
            "commit_url": None,
        }
        shown.append(complete(m.IssueEvent, f"{base}/issues/events/{one['id']}", value))
    return shown


@routes.add("GET", f"{REPO}/issues/comments", EITHER_READ)
def list_all_comments(call: Call) -> list[Json]:
    """The comments of all issues and pull requests; `sort=created` with `direction=desc` shows the newest first."""
    order = "DESC" if call.query.get("direction") == "desc" and "sort" in call.query else "ASC"
    rows = call.hub.store.rows(f"SELECT * FROM comments WHERE repo_id = ? ORDER BY id {order}", call.repo["id"])  # noqa: S608
    return [comment(call.hub, call.repo, row) for row in call.page(rows)]
