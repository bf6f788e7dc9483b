"""Issues, their labels, comments and reactions."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.auth import ROLES, role
from app.hub.github_problems import Refusal, invalid
from app.hub.journal import record
from app.hub.pull_queries import tell
from app.hub.refs import pull_event
from app.hub.routing import Call, Routes
from app.hub.serializers import comment, issue, label, labels_of
from app.hub.state import Json, now
from app.hub.store import Row
from app.hub.webhook_sender import emit

routes = Routes()
REPO = "/repos/{owner}/{repo}"
EITHER_READ = "issues:read|pull_requests:read"
EITHER_WRITE = "issues:write|pull_requests:write"
MAX_BODY = 65_536


def check_body(body: str | None, resource: str) -> None:
    """422 for a text longer than GitHub stores."""
    if body is not None and len(body) > MAX_BODY:
        raise invalid(resource, "body", message=f"body is too long (maximum is {MAX_BODY} characters)")


def find_issue(call: Call, name: str = "issue_number") -> Row:
    """The issue or pull request of the path; 404 when there is none."""
    sql = "SELECT * FROM issues WHERE repo_id = ? AND number = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.number(name))
    if row is None:
        raise Refusal(404, "Not Found")
    if row["gone"]:
        raise Refusal(410, "This issue was deleted")
    return row


def new_issue(call: Call, title: str, body: str | None, *, is_pull: bool) -> Row:
    """Insert an issue row under the repository's next number."""
    if not title.strip():
        raise invalid("Issue", "title", "missing_field")
    check_body(body, "Issue")
    number = call.hub.store.get("repositories", call.repo["id"])["next_number"]
    call.hub.store.update("repositories", call.repo["id"], next_number=number + 1)
    times = {"created_at": now(), "updated_at": now()}
    values = {"number": number, "title": title, "body": body, "state": "open", "is_pull": is_pull, **times}
    who = call.actor.user["id"]
    return call.hub.store.get("issues", call.hub.store.insert("issues", repo_id=call.repo["id"], user_id=who, **values))


def _tell(call: Call, row: Row, action: str, **more: object) -> None:
    """The `issues` event, or the `pull_request` event for what happens to a pull request through the issues API."""
    if row["is_pull"]:
        tell(call.hub, call.repo, call.actor, row["number"], action, **more)
        pull_event(call.hub, call.repo, call.actor, row["number"], action)
        return
    view = issue(call.hub, call.repo, call.hub.store.get("issues", row["id"]))
    emit(call.hub, call.repo, call.actor, "issues", {"action": action, "issue": view} | more)


@routes.add("POST", f"{REPO}/issues", "issues:write")
def create_issue(call: Call) -> tuple[int, Json]:
    """Open an issue."""
    body = call.body(m.ReposOwnerRepoIssuesPostBody)
    row = new_issue(call, str(body["title"]), body.get("body"), is_pull=False)
    record(call.hub, call.actor, call.repo, "issue.created", row["title"], number=row["number"])
    _tell(call, row, "opened")
    if body.get("labels") and _may_triage(call):
        _add_labels(call, row, [str(name) for name in body["labels"]])
    return 201, issue(call.hub, call.repo, call.hub.store.get("issues", row["id"]))


@routes.add("GET", f"{REPO}/issues/{{issue_number}}", EITHER_READ)
def get_issue(call: Call) -> Json:
    """An issue or pull request."""
    return issue(call.hub, call.repo, find_issue(call))


@routes.add("PATCH", f"{REPO}/issues/{{issue_number}}", EITHER_WRITE)
def update_issue(call: Call) -> Json:
    """Change title, body or state."""
    row, body = find_issue(call), call.body(m.ReposOwnerRepoIssuesIssueNumberPatchBody)
    if call.actor.kind == "user" and call.actor.user["id"] != row["user_id"] and not _may_triage(call):
        raise Refusal(403, "Must have triage access")
    check_body(body.get("body"), "Issue")
    changes: Json = {name: body[name] for name in ("title", "body") if name in body}
    if "state" in body and body["state"] != row["state"]:
        closed = body["state"] == "closed"
        reason = (body.get("state_reason") or "completed") if closed else "reopened"
        changes |= {"state": body["state"], "closed_at": now() if closed else None, "state_reason": reason}
    if changes:
        call.hub.store.update("issues", row["id"], **changes, updated_at=now())
        record(call.hub, call.actor, call.repo, "issue.edited", repr(changes), number=row["number"])
    if "title" in changes or "body" in changes:
        before = {name: {"from": row[name]} for name in ("title", "body") if name in changes}
        _tell(call, row, "edited", changes=before)
    if "state" in changes:
        _tell(call, row, "closed" if changes["state"] == "closed" else "reopened")
    return issue(call.hub, call.repo, call.hub.store.get("issues", row["id"]))


def _may_triage(call: Call) -> bool:
    return call.actor.kind == "installation" or (
        ROLES[role(call.hub, call.repo, call.actor.user["id"])] >= ROLES["triage"]
    )


def _may_write(call: Call) -> bool:
    return ROLES[role(call.hub, call.repo, call.actor.user["id"])] >= ROLES["write"]


# Labels


@routes.add("GET", f"{REPO}/labels", EITHER_READ)
def list_labels(call: Call) -> list[Json]:
    """The repository's labels."""
    rows = call.hub.store.rows("SELECT * FROM labels WHERE repo_id = ? ORDER BY name", call.repo["id"])
    return [label(call.hub, call.repo, row) for row in call.page(rows)]


def _find_label(call: Call, name: str) -> Row | None:
    return call.hub.store.row("SELECT * FROM labels WHERE repo_id = ? AND name = ?", call.repo["id"], name)


@routes.add("POST", f"{REPO}/labels", EITHER_WRITE, "write")
def create_label(call: Call) -> tuple[int, Json]:
    """A new label."""
    body = call.body(m.ReposOwnerRepoLabelsPostBody)
    if _find_label(call, body["name"]) is not None:
        raise invalid("Label", "name", "already_exists")
    color = str(body.get("color", "ededed"))
    if len(color) != 6 or any(char not in "0123456789abcdefABCDEF" for char in color):
        raise invalid("Label", "color")
    description = body.get("description")
    if len(description or "") > 100:
        raise invalid("Label", "description", message="description is too long (maximum is 100 characters)")
    row = _new_label(call, body["name"], color, description)
    return 201, label(call.hub, call.repo, row)


def _new_label(call: Call, name: str, color: str, description: str | None) -> Row:
    values = {"name": name, "color": color, "description": description}
    row = call.hub.store.get("labels", call.hub.store.insert("labels", repo_id=call.repo["id"], **values))
    record(call.hub, call.actor, call.repo, "label.created", name, name=name)
    emit(call.hub, call.repo, call.actor, "label", {"action": "created", "label": label(call.hub, call.repo, row)})
    return row


@routes.add("GET", f"{REPO}/labels/{{name:path}}", EITHER_READ)
def get_label(call: Call) -> Json:
    """One label by name."""
    row = _find_label(call, call.path["name"])
    if row is None:
        raise Refusal(404, "Not Found")
    return label(call.hub, call.repo, row)


def _add_labels(call: Call, row: Row, names: list[str]) -> None:
    held = {shown["name"].lower() for shown in labels_of(call.hub, call.repo, row["id"])}
    for name in names:
        if name.lower() in held:
            continue
        found = _find_label(call, name) or _new_label(call, name, "ededed", None)
        call.hub.store.insert("issue_labels", issue_id=row["id"], label_id=found["id"])
        record(call.hub, call.actor, call.repo, "label.added", found["name"], number=row["number"], name=found["name"])
        _note_event(call, row, "labeled", found)
        _tell(call, row, "labeled", label=label(call.hub, call.repo, found))


@routes.add("POST", f"{REPO}/issues/{{issue_number}}/labels", EITHER_WRITE, "triage")
def add_labels(call: Call) -> list[Json]:
    """Put labels on an issue; unknown ones are made."""
    row = find_issue(call)
    body = call.body(m.ReposOwnerRepoIssuesIssueNumberLabelsPostBodyOneof0, list[str])
    names: list[str] = body.get("labels") or body.get("") or []
    _add_labels(call, row, names)
    return labels_of(call.hub, call.repo, row["id"])


@routes.add("DELETE", f"{REPO}/issues/{{issue_number}}/labels/{{name:path}}", EITHER_WRITE, "triage")
def remove_label(call: Call) -> list[Json]:
    """Take a label off an issue; 404 when it is not on it."""
    row, found = find_issue(call), _find_label(call, call.path["name"])
    sql = "SELECT id FROM issue_labels WHERE issue_id = ? AND label_id = ?"
    held = call.hub.store.row(sql, row["id"], found["id"]) if found else None
    if found is None or held is None:
        raise Refusal(404, "Label does not exist")
    call.hub.store.execute("DELETE FROM issue_labels WHERE id = ?", held["id"])
    record(call.hub, call.actor, call.repo, "label.removed", found["name"], number=row["number"], name=found["name"])
    _note_event(call, row, "unlabeled", found)
    _tell(call, row, "unlabeled", label=label(call.hub, call.repo, found))
    return labels_of(call.hub, call.repo, row["id"])


def _note_event(call: Call, row: Row, event: str, found: Row) -> None:
    call.hub.store.update("issues", row["id"], updated_at=now())
    shown = {"name": found["name"], "color": found["color"]}
    values = {"actor_id": call.actor.user["id"], "event": event, "label": shown, "created_at": now()}
    call.hub.store.insert("issue_events", issue_id=row["id"], **values)


# Comments


def _tell_comment(call: Call, parent: Row, view: Json, action: str, **more: object) -> None:
    payload: Json = {"action": action, "comment": view, "issue": issue(call.hub, call.repo, parent)}
    emit(call.hub, call.repo, call.actor, "issue_comment", payload | more)


@routes.add("GET", f"{REPO}/issues/{{issue_number}}/comments", EITHER_READ)
def list_comments(call: Call) -> list[Json]:
    """Comments, oldest first; `since` keeps those updated at or after a time."""
    rows = call.hub.store.rows("SELECT * FROM comments WHERE issue_id = ? ORDER BY id", find_issue(call)["id"])
    since = call.query.get("since", "")
    rows = [row for row in rows if row["updated_at"] >= since]
    return [comment(call.hub, call.repo, row) for row in call.page(rows)]


@routes.add("PUT", f"{REPO}/issues/{{issue_number}}/lock", EITHER_WRITE, "write")
def lock_issue(call: Call) -> tuple[int, None]:
    """Lock the conversation of an issue or pull request."""
    return _set_lock(call, locked=True)


@routes.add("DELETE", f"{REPO}/issues/{{issue_number}}/lock", EITHER_WRITE, "write")
def unlock_issue(call: Call) -> tuple[int, None]:
    """Open the conversation again."""
    return _set_lock(call, locked=False)


def _set_lock(call: Call, *, locked: bool) -> tuple[int, None]:
    row = find_issue(call)
    call.hub.store.update("issues", row["id"], locked=locked)
    _tell(call, row, "locked" if locked else "unlocked")
    return 204, None


@routes.add("POST", f"{REPO}/issues/{{issue_number}}/comments", EITHER_WRITE)
def create_comment(call: Call) -> tuple[int, Json]:
    """Comment on an issue or pull request."""
    parent, body = find_issue(call), call.body(m.ReposOwnerRepoIssuesIssueNumberCommentsPostBody)
    text = body["body"]
    # Apps are refused too: https://github.com/renovatebot/renovate/issues/6215
    if parent["locked"] and (call.actor.kind == "installation" or not _may_write(call)):
        raise Refusal(403, "Unable to create comment because issue is locked.")
    check_body(text, "IssueComment")
    if not text.strip():
        raise invalid("IssueComment", "body", "unprocessable", "Body can't be blank")
    values = {"issue_id": parent["id"], "user_id": call.actor.user["id"], "body": text}
    row_id = call.hub.store.insert("comments", repo_id=call.repo["id"], created_at=now(), updated_at=now(), **values)
    view = comment(call.hub, call.repo, call.hub.store.get("comments", row_id))
    record(call.hub, call.actor, call.repo, "comment.created", text, number=parent["number"])
    _tell_comment(call, parent, view, "created")
    return 201, view


def find_comment(call: Call) -> Row:
    sql = "SELECT * FROM comments WHERE repo_id = ? AND id = ?"
    row = call.hub.store.row(sql, call.repo["id"], call.number("comment_id"))
    if row is None:
        raise Refusal(404, "Not Found")
    return row


def _own_comment(call: Call) -> Row:
    """The comment of the path if the caller may change it: its author, or a user who may write."""
    row = find_comment(call)
    own = row["user_id"] == call.actor.user["id"]
    if not own and not (call.actor.kind == "user" and _may_write(call)):
        if call.actor.kind == "installation":
            raise Refusal(403, "Resource not accessible by integration")
        raise Refusal(403, "Must have admin rights to Repository.")
    return row


@routes.add("GET", f"{REPO}/issues/comments/{{comment_id}}", EITHER_READ)
def get_comment(call: Call) -> Json:
    """One comment."""
    return comment(call.hub, call.repo, find_comment(call))


@routes.add("PATCH", f"{REPO}/issues/comments/{{comment_id}}", EITHER_WRITE)
def update_comment(call: Call) -> Json:
    """Change a comment's text."""
    row, body = _own_comment(call), call.body(m.ReposOwnerRepoIssuesCommentsCommentIdPatchBody)
    check_body(body["body"], "IssueComment")
    call.hub.store.update("comments", row["id"], body=body["body"], updated_at=now())
    parent = call.hub.store.get("issues", row["issue_id"])
    view = comment(call.hub, call.repo, call.hub.store.get("comments", row["id"]))
    record(call.hub, call.actor, call.repo, "comment.edited", body["body"], number=parent["number"])
    _tell_comment(call, parent, view, "edited", changes={"body": {"from": row["body"]}})
    return view


@routes.add("DELETE", f"{REPO}/issues/comments/{{comment_id}}", EITHER_WRITE)
def delete_comment(call: Call) -> tuple[int, None]:
    """Delete a comment."""
    row = _own_comment(call)
    parent = call.hub.store.get("issues", row["issue_id"])
    view = comment(call.hub, call.repo, row)
    call.hub.store.execute("DELETE FROM comments WHERE id = ?", row["id"])
    record(call.hub, call.actor, call.repo, "comment.deleted", row["body"], number=parent["number"])
    _tell_comment(call, parent, view, "deleted")
    return 204, None
