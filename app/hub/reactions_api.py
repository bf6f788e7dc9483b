"""Reactions to issues, pull requests and their comments."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.issues_api import EITHER_READ, EITHER_WRITE, REPO, find_comment, find_issue
from app.hub.journal import record
from app.hub.reviews_api import find_line_comment
from app.hub.routing import Call, Routes
from app.hub.serializers import reaction
from app.hub.state import Json, now

routes = Routes()


def _react(call: Call, subject_id: int, number: int, body: Json) -> tuple[int, Json]:
    values = {"subject_id": subject_id, "user_id": call.actor.user["id"], "content": body["content"]}
    sql = "SELECT * FROM reactions WHERE subject_id = ? AND user_id = ? AND content = ?"
    known = call.hub.store.row(sql, *values.values())
    if known is not None:
        return 200, reaction(call.hub, known)
    row_id = call.hub.store.insert("reactions", **values, created_at=now())
    record(call.hub, call.actor, call.repo, "reaction.created", body["content"], number=number, name=body["content"])
    return 201, reaction(call.hub, call.hub.store.get("reactions", row_id))


def _reactions(call: Call, subject_id: int) -> list[Json]:
    rows = call.hub.store.rows("SELECT * FROM reactions WHERE subject_id = ? ORDER BY id", subject_id)
    wanted = call.query.get("content")
    return [reaction(call.hub, row) for row in call.page([row for row in rows if wanted in (None, row["content"])])]


@routes.add("POST", f"{REPO}/issues/{{issue_number}}/reactions", "issues:write")
def react_to_issue(call: Call) -> tuple[int, Json]:
    """React to an issue: 201, or 200 when this reaction was there."""
    row = find_issue(call)
    return _react(call, row["id"], row["number"], call.body(m.ReposOwnerRepoIssuesIssueNumberReactionsPostBody))


@routes.add("GET", f"{REPO}/issues/{{issue_number}}/reactions", "issues:read")
def issue_reactions(call: Call) -> list[Json]:
    """The reactions to an issue."""
    return _reactions(call, find_issue(call)["id"])


@routes.add("POST", f"{REPO}/issues/comments/{{comment_id}}/reactions", EITHER_WRITE)
def react_to_comment(call: Call) -> tuple[int, Json]:
    """React to a comment: 201, or 200 when this reaction was there."""
    row = find_comment(call)
    number = call.hub.store.get("issues", row["issue_id"])["number"]
    return _react(call, row["id"], number, call.body(m.ReposOwnerRepoIssuesCommentsCommentIdReactionsPostBody))


@routes.add("GET", f"{REPO}/issues/comments/{{comment_id}}/reactions", EITHER_READ)
def comment_reactions(call: Call) -> list[Json]:
    """The reactions to a comment."""
    return _reactions(call, find_comment(call)["id"])


@routes.add("POST", f"{REPO}/pulls/comments/{{comment_id}}/reactions", "pull_requests:write")
def react_to_line_comment(call: Call) -> tuple[int, Json]:
    """React to a comment on a line: 201, or 200 when this reaction was there."""
    row = find_line_comment(call)
    return _react(call, row["id"], row["number"], call.body(m.ReposOwnerRepoPullsCommentsCommentIdReactionsPostBody))


@routes.add("GET", f"{REPO}/pulls/comments/{{comment_id}}/reactions", "pull_requests:read")
def line_comment_reactions(call: Call) -> list[Json]:
    """The reactions to a comment on a line."""
    return _reactions(call, find_line_comment(call)["id"])
