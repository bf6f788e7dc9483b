"""Pull request reviews and their inline comments."""

from githubkit_schemas.v2026_03_10 import models as m

from app.hub.diffs import DiffHunk, file_diffs, hunks
from app.hub.github_problems import Refusal, invalid
from app.hub.issues_api import check_body
from app.hub.journal import record
from app.hub.pull_queries import diff_base, simple
from app.hub.pulls_api import find_pull, pull_commits
from app.hub.refs import pull_event
from app.hub.routing import Call, Routes, dump
from app.hub.serializers import association, complete, full_name, repo_url, user
from app.hub.state import Json, items, now
from app.hub.store import Row
from app.hub.webhook_sender import emit

routes = Routes()
PULL = "/repos/{owner}/{repo}/pulls/{pull_number}"
STATES = {"COMMENT": "COMMENTED", "APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}


def _page(call: Call, number: int) -> str:
    return f"{call.hub.url}/{full_name(call.hub, call.repo)}/pull/{number}"


def _review(call: Call, pull: Row, row: Row) -> Json:
    page, url = _page(call, pull["number"]), f"{repo_url(call.hub, call.repo)}/pulls/{pull['number']}"
    names = ("id", "body", "state", "commit_id")
    value: Json = {name: row[name] for name in names} | {"node_id": f"PRR_{row['id']}", "pull_request_url": url}
    value |= {"user": user(call.hub, row["user_id"]), "html_url": f"{page}#pullrequestreview-{row['id']}"}
    value |= {"author_association": association(call.hub, call.repo, row["user_id"])}
    value |= {"_links": {"html": {"href": value["html_url"]}, "pull_request": {"href": url}}}
    return dump(m.PullRequestReview, value | ({"submitted_at": row["submitted_at"]} if row["submitted_at"] else {}))


def _comment(call: Call, pull: Row, row: Row, *, of_review: bool = False) -> Json:
    base, page = repo_url(call.hub, call.repo), _page(call, pull["number"])
    url = f"{base}/pulls/comments/{row['id']}"
    names = ("id", "body", "path", "commit_id", "diff_hunk", "created_at", "updated_at", "line", "side")
    value: Json = {name: row[name] for name in (*names, "start_line", "start_side")}
    value |= {"original_commit_id": row["commit_id"], "pull_request_review_id": row["review_id"]}
    value |= {"original_line": row["line"], "original_start_line": row["start_line"]}
    value |= {"node_id": f"PRRC_{row['id']}", "user": user(call.hub, row["user_id"]), "position": 1}
    value |= {"original_position": 1, "html_url": f"{page}#discussion_r{row['id']}"}
    value |= {"pull_request_url": f"{base}/pulls/{pull['number']}"}
    value |= {"author_association": association(call.hub, call.repo, row["user_id"])}
    links = {"self": url, "html": value["html_url"], "pull_request": value["pull_request_url"]}
    value |= {"_links": {name: {"href": target} for name, target in links.items()}}
    value |= {"in_reply_to_id": row["in_reply_to_id"]} if row["in_reply_to_id"] else {}
    value = {name: item for name, item in value.items() if item is not None or name not in ("start_line", "start_side")}
    return complete(m.ReviewComment if of_review else m.PullRequestReviewComment, url, value)


def _place(comment: Json, found: dict[str, list[DiffHunk]]) -> str:
    """The hunk a comment is placed on; the whole review is refused when there is none."""
    refusal = Refusal(422, "Unprocessable Entity", ["Pull request review thread line must be part of the diff"])
    path, line, side = comment["path"], comment.get("line"), comment.get("side") or "RIGHT"
    start, start_side = comment.get("start_line"), comment.get("start_side") or side
    if path not in found:
        raise Refusal(422, "Unprocessable Entity", ["Path could not be resolved"])
    if line is None or side not in ("LEFT", "RIGHT") or start_side not in ("LEFT", "RIGHT"):
        raise refusal
    if start is not None and start >= line and start_side == side:
        raise Refusal(422, "Unprocessable Entity", ["Pull request review thread start line must precede the end line."])
    for hunk in found[path]:
        lines = {"LEFT": hunk.left, "RIGHT": hunk.right}
        if line in lines[side]:
            if start is not None and start not in lines[start_side]:
                problem = "Pull request review thread start line must be part of the same hunk as the line."
                raise Refusal(422, "Unprocessable Entity", [problem])
            return hunk.text
    raise refusal


def _check_event(call: Call, pull: Row, body: Json) -> str:
    event = body.get("event") or "PENDING"
    if event in ("APPROVE", "REQUEST_CHANGES") and call.actor.user["id"] == pull["user_id"]:
        word = "approve" if event == "APPROVE" else "request changes on"
        raise Refusal(422, "Unprocessable Entity", [f"Can not {word} your own pull request"])
    if event in ("COMMENT", "REQUEST_CHANGES") and not (body.get("body") or body.get("comments")):
        raise Refusal(422, "Unprocessable Entity", ["Body cannot be blank"])
    pending = "SELECT id FROM reviews WHERE pull_id = ? AND user_id = ? AND state = 'PENDING'"
    if event == "PENDING" and call.hub.store.row(pending, pull["id"], call.actor.user["id"]):
        raise Refusal(422, "Unprocessable Entity", ["User can only have one pending review per pull request"])
    return STATES.get(event, "PENDING")


@routes.add("POST", f"{PULL}/reviews", "pull_requests:write")
def create_review(call: Call) -> Json:
    """A review with its inline comments: all of it, or nothing."""
    pull, body, hub = find_pull(call), call.body(m.ReposOwnerRepoPullsPullNumberReviewsPostBody), call.hub
    state = _check_event(call, pull, body)
    check_body(body.get("body"), "PullRequestReview")
    sha = body.get("commit_id") or pull["head_sha"]
    if sha not in pull_commits(call, pull):
        raise Refusal(422, "Unprocessable Entity", ["Commit is not part of the pull request"])
    base = call.git.merge_base(diff_base(call.git, pull), sha) or diff_base(call.git, pull)
    found = {file.path: hunks(file.patch) for file in file_diffs(call.git, base, sha)}
    placed = [(comment, _place(comment, found)) for comment in items(body.get("comments"))]
    for comment, _ in placed:
        check_body(comment["body"], "PullRequestReviewComment")
    submitted = now() if state != "PENDING" else None
    values = {"user_id": call.actor.user["id"], "body": body.get("body") or "", "commit_id": sha, "state": state}
    review_id = hub.store.insert("reviews", pull_id=pull["id"], submitted_at=submitted, **values)
    view = _review(call, pull, hub.store.get("reviews", review_id))
    record(hub, call.actor, call.repo, "review.created", values["body"], number=pull["number"], sha=sha, name=state)
    added = [_add_comment(call, pull, review_id, sha, comment, hunk) for comment, hunk in placed]
    if state != "PENDING":
        shown = simple(hub, call.repo, pull)
        event: Json = {"action": "submitted", "pull_request": shown, "review": view | {"state": state.lower()}}
        emit(hub, call.repo, call.actor, "pull_request_review", event)
        pull_event(hub, call.repo, call.actor, pull["number"], "submitted", "pull_request_review")
        for row in added:
            _tell_comment(call, pull, row)
    return view


def _add_comment(call: Call, pull: Row, review_id: int, sha: str, comment: Json, hunk: str) -> Row:
    side = comment.get("side") or "RIGHT"
    start_side = (comment.get("start_side") or side) if comment.get("start_line") else None
    values: Json = {name: comment.get(name) for name in ("body", "path", "line", "start_line")}
    values |= {"side": side, "start_side": start_side, "commit_id": sha, "diff_hunk": hunk}
    return _insert(call, pull, values | {"review_id": review_id, "user_id": call.actor.user["id"]})


def _insert(call: Call, pull: Row, values: Json) -> Row:
    store = call.hub.store
    if "thread_id" not in values:
        values["thread_id"] = store.insert("review_threads", pull_id=pull["id"], resolved=False)
    row = store.get(
        "review_comments",
        store.insert("review_comments", pull_id=pull["id"], created_at=now(), updated_at=now(), **values),
    )
    where = {"number": pull["number"], "sha": row["commit_id"], "name": f"{row['path']}:{row['line']}"}
    record(call.hub, call.actor, call.repo, "review_comment.created", row["body"], **where)
    return row


def _tell_comment(call: Call, pull: Row, row: Row) -> None:
    event: Json = {"action": "created", "comment": _comment(call, pull, row)}
    event["pull_request"] = simple(call.hub, call.repo, pull)
    emit(call.hub, call.repo, call.actor, "pull_request_review_comment", event)


def _visible(call: Call, row: Row) -> bool:
    """A pending review is seen by its author only."""
    return row["state"] != "PENDING" or row["user_id"] == call.actor.user["id"]


def _find_review(call: Call, pull: Row) -> Row:
    sql = "SELECT * FROM reviews WHERE pull_id = ? AND id = ?"
    row = call.hub.store.row(sql, pull["id"], call.number("review_id"))
    if row is None or not _visible(call, row):
        raise Refusal(404, "Not Found")
    return row


@routes.add("GET", f"{PULL}/reviews", "pull_requests:read")
def list_reviews(call: Call) -> list[Json]:
    """The reviews, oldest first."""
    pull = find_pull(call)
    rows = call.hub.store.rows("SELECT * FROM reviews WHERE pull_id = ? ORDER BY id", pull["id"])
    return [_review(call, pull, row) for row in call.page([row for row in rows if _visible(call, row)])]


@routes.add("GET", f"{PULL}/reviews/{{review_id}}", "pull_requests:read")
def get_review(call: Call) -> Json:
    """One review."""
    pull = find_pull(call)
    return _review(call, pull, _find_review(call, pull))


@routes.add("PUT", f"{PULL}/reviews/{{review_id}}/dismissals", "pull_requests:write", "write")
def dismiss_review(call: Call) -> Json:
    """Take back an approval or a request for changes, with a message.

    https://docs.github.com/en/rest/pulls/reviews#dismiss-a-review-for-a-pull-request
    """
    pull, hub = find_pull(call), call.hub
    row, body = _find_review(call, pull), call.body(m.ReposOwnerRepoPullsPullNumberReviewsReviewIdDismissalsPutBody)
    if row["state"] not in ("APPROVED", "CHANGES_REQUESTED"):
        raise Refusal(422, "Can not dismiss a commented pull request review")
    hub.store.update("reviews", row["id"], state="DISMISSED")
    view = _review(call, pull, hub.store.get("reviews", row["id"]))
    record(hub, call.actor, call.repo, "review.dismissed", body["message"], number=pull["number"])
    event: Json = {"action": "dismissed", "pull_request": simple(hub, call.repo, pull)}
    emit(hub, call.repo, call.actor, "pull_request_review", event | {"review": view | {"state": "dismissed"}})
    pull_event(hub, call.repo, call.actor, pull["number"], "dismissed", "pull_request_review")
    return view


@routes.add("GET", f"{PULL}/reviews/{{review_id}}/comments", "pull_requests:read")
def list_review_comments(call: Call) -> list[Json]:
    """The inline comments of one review."""
    pull = find_pull(call)
    review = _find_review(call, pull)
    rows = call.hub.store.rows("SELECT * FROM review_comments WHERE review_id = ? ORDER BY id", review["id"])
    return [_comment(call, pull, row, of_review=True) for row in call.page(rows)]


@routes.add("GET", f"{PULL}/comments", "pull_requests:read")
def list_comments(call: Call) -> list[Json]:
    """The inline comments of all submitted reviews."""
    pull = find_pull(call)
    sql = """SELECT c.*, r.state FROM review_comments c JOIN reviews r ON r.id = c.review_id
      WHERE c.pull_id = ? ORDER BY c.id"""
    rows = [row for row in call.hub.store.rows(sql, pull["id"]) if row["state"] != "PENDING"]
    return [_comment(call, pull, row) for row in call.page(rows)]


@routes.add("POST", f"{PULL}/comments/{{comment_id}}/replies", "pull_requests:write")
def reply(call: Call) -> tuple[int, Json]:
    """Answer in the thread of an inline comment; a reply to a reply is refused."""
    pull, body = find_pull(call), call.body(m.ReposOwnerRepoPullsPullNumberCommentsCommentIdRepliesPostBody)
    sql = "SELECT * FROM review_comments WHERE pull_id = ? AND id = ?"
    parent = call.hub.store.row(sql, pull["id"], call.number("comment_id"))
    if parent is None:
        raise Refusal(404, "Not Found")
    if parent["in_reply_to_id"]:
        raise invalid("PullRequestReviewComment", "in_reply_to_id")
    check_body(body["body"], "PullRequestReviewComment")
    names = ("path", "line", "side", "start_line", "start_side", "commit_id", "diff_hunk", "thread_id")
    who = call.actor.user["id"]
    review = {"user_id": who, "body": "", "state": "COMMENTED", "commit_id": parent["commit_id"], "submitted_at": now()}
    review_id = call.hub.store.insert("reviews", pull_id=pull["id"], **review)
    values: Json = {name: parent[name] for name in names} | {"body": body["body"], "in_reply_to_id": parent["id"]}
    row = _insert(call, pull, values | {"review_id": review_id, "user_id": who})
    # An answer comes as a review too: kubernetes/test-infra#2477, github/github-mcp-server#540.
    view = _review(call, pull, call.hub.store.get("reviews", review_id)) | {"state": "commented"}
    event: Json = {"action": "submitted", "pull_request": simple(call.hub, call.repo, pull), "review": view}
    emit(call.hub, call.repo, call.actor, "pull_request_review", event)
    _tell_comment(call, pull, row)
    return 201, _comment(call, pull, row)


def find_line_comment(call: Call) -> Row:
    """The comment on a line that the path names, with its pull request's `number`."""
    sql = """SELECT c.*, i.number FROM review_comments c JOIN pulls p ON p.id = c.pull_id
      JOIN issues i ON i.id = p.issue_id WHERE c.id = ? AND i.repo_id = ?"""
    row = call.hub.store.row(sql, call.number("comment_id"), call.repo["id"])
    if row is None:
        raise Refusal(404, "Not Found")
    return row


@routes.add("PATCH", "/repos/{owner}/{repo}/pulls/comments/{comment_id}", "pull_requests:write")
def update_comment(call: Call) -> Json:
    """Edit a comment on a line: its author may, and people who may write."""
    row, body = find_line_comment(call), call.body(m.ReposOwnerRepoPullsCommentsCommentIdPatchBody)
    if call.actor.kind == "installation" and row["user_id"] != call.actor.user["id"]:
        raise Refusal(403, "Resource not accessible by integration")
    check_body(body["body"], "PullRequestReviewComment")
    call.hub.store.update("review_comments", row["id"], body=body["body"], updated_at=now())
    where = {"number": row["number"], "sha": row["commit_id"], "name": f"{row['path']}:{row['line']}"}
    record(call.hub, call.actor, call.repo, "review_comment.edited", body["body"], **where)
    pull = call.hub.store.get("pulls", row["pull_id"]) | {"number": row["number"]}
    return _comment(call, pull, call.hub.store.get("review_comments", row["id"]))
