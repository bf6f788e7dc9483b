"""The GraphQL operations that REST has no counterpart for: drafts and review threads."""

from typing import Any

from graphql import (
    GraphQLError,
    build_schema,
    graphql_sync,  # pyright: ignore[reportUnknownVariableType] - its middleware is untyped
)

from app.hub.auth import allow
from app.hub.github_problems import Refusal
from app.hub.journal import record
from app.hub.pull_queries import find, tell
from app.hub.refs import pull_event
from app.hub.routing import Call, Routes, find_repository
from app.hub.serializers import full_name
from app.hub.state import Json
from app.hub.store import Row
from app.hub.webhook_sender import emit

routes = Routes()
MAX_FIRST = 100

SCHEMA = build_schema("""
type PageInfo { hasNextPage: Boolean! endCursor: String }
scalar BigInt
type Comment { id: ID! databaseId: Int fullDatabaseId: BigInt url: String! body: String! path: String! line: Int }
type CommentConnection { nodes: [Comment] totalCount: Int! pageInfo: PageInfo! }
type Thread { id: ID! isResolved: Boolean! path: String! line: Int
  comments(first: Int, after: String): CommentConnection! }
type ThreadConnection { nodes: [Thread] totalCount: Int! pageInfo: PageInfo! }
type PullRequest { id: ID! number: Int! isDraft: Boolean! state: String!
  reviewThreads(first: Int, after: String): ThreadConnection! }
type Repository { id: ID! pullRequest(number: Int!): PullRequest }
type Query { repository(owner: String!, name: String!): Repository }
input PullInput { pullRequestId: ID! clientMutationId: String }
input ThreadInput { threadId: ID! clientMutationId: String }
type PullPayload { pullRequest: PullRequest clientMutationId: String }
type ThreadPayload { thread: Thread clientMutationId: String }
type Mutation {
  markPullRequestReadyForReview(input: PullInput!): PullPayload
  convertPullRequestToDraft(input: PullInput!): PullPayload
  resolveReviewThread(input: ThreadInput!): ThreadPayload
  unresolveReviewThread(input: ThreadInput!): ThreadPayload
}
""")


def _connection(items: list[Json], first: int | None, after: str | None) -> Json:
    if first is None or not 1 <= first <= MAX_FIRST:
        raise GraphQLError("You must provide a `first` value of 1 to 100 to properly paginate the connection.")
    start = int(after) if after else 0
    end = start + first
    page: Json = {"hasNextPage": end < len(items), "endCursor": str(min(end, len(items))) if items else None}
    return {"nodes": items[start:end], "totalCount": len(items), "pageInfo": page}


def _numbers(number: int) -> Json:
    """`databaseId` is an Int of 32 bits, and empty for what has outgrown it.

    https://docs.github.com/en/graphql/reference/objects#pullrequestreviewcomment
    """
    return {"databaseId": number if number < 2**31 else None, "fullDatabaseId": str(number)}


def _thread(call: Call, row: Row) -> Json:
    sql = "SELECT * FROM review_comments WHERE thread_id = ? ORDER BY id"
    of = "SELECT p.repo_id, i.number FROM pulls p JOIN issues i ON i.id = p.issue_id WHERE p.id = ?"
    pull = call.hub.store.row(of, row["pull_id"]) or {}
    repo = call.hub.store.get("repositories", pull["repo_id"])
    page = f"{call.hub.url}/{full_name(call.hub, repo)}/pull/{pull['number']}"
    comments: list[Json] = [
        {"id": f"PRRC_{each['id']}", "url": f"{page}#discussion_r{each['id']}"}
        | _numbers(each["id"])
        | {name: each[name] for name in ("body", "path", "line")}
        for each in call.hub.store.rows(sql, row["id"])
    ]

    def connect(_: object, first: int | None = None, after: str | None = None) -> Json:
        return _connection(comments, first, after)

    top: Json = {"id": f"PRRT_{row['id']}", "isResolved": row["resolved"], "comments": connect}
    return top | {name: comments[0][name] for name in ("path", "line")}


def _pull(call: Call, row: Row) -> Json:
    sql = """SELECT DISTINCT t.* FROM review_threads t JOIN review_comments c ON c.thread_id = t.id
      JOIN reviews r ON r.id = c.review_id WHERE t.pull_id = ? AND r.state != 'PENDING' ORDER BY t.id"""

    def threads(_: object, first: int | None = None, after: str | None = None) -> Json:
        return _connection([_thread(call, each) for each in call.hub.store.rows(sql, row["id"])], first, after)

    state = "MERGED" if row["merged_at"] else row["state"].upper()
    value = {"id": f"PR_{row['id']}", "number": row["number"], "isDraft": row["draft"], "state": state}
    return value | {"reviewThreads": threads}


class Root:
    """The resolvers of the top-level fields, for one call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def _allowed(self, repo: Row, needs: str, user_role: str = "read") -> None:
        try:
            allow(self._call.hub, self._call.actor, repo, needs, user_role)
        except Refusal as refusal:
            kind = "FORBIDDEN" if refusal.status == 403 else "NOT_FOUND"
            raise GraphQLError(refusal.body["message"], extensions={"type": kind}) from refusal

    def repository(self, _: object, owner: str, name: str) -> Json:
        """A repository the caller may read."""
        call = self._call
        try:
            repo = find_repository(call.hub, owner, name)
        except Refusal as refusal:
            raise GraphQLError(f"Could not resolve to a Repository with the name '{owner}/{name}'.") from refusal
        self._allowed(repo, "pull_requests:read")

        def pull_request(_: object, number: int) -> Json:
            row = find(call.hub, repo, number)
            if row is None:
                raise GraphQLError(f"Could not resolve to a PullRequest with the number of {number}.")
            return _pull(call, row)

        return {"id": f"R_{repo['id']}", "pullRequest": pull_request}

    def _pull_of(self, node_id: str) -> tuple[Row, Row]:
        """The repository and pull request of a node id the caller may change."""
        store, (prefix, _, digits) = self._call.hub.store, node_id.partition("_")
        sql = "SELECT p.repo_id, i.number, i.user_id FROM pulls p JOIN issues i ON i.id = p.issue_id WHERE p.id = ?"
        row = store.row(sql, digits)
        if prefix != "PR" or row is None:
            raise GraphQLError(f"Could not resolve to a node with the global id of '{node_id}'.")
        repo = store.get("repositories", row["repo_id"])
        author = row["user_id"] == self._call.actor.user["id"]
        self._allowed(repo, "pull_requests:write", "read" if author else "write")
        found = find(self._call.hub, repo, row["number"])
        if found is None:
            raise GraphQLError(f"Could not resolve to a node with the global id of '{node_id}'.")
        return repo, found

    def _set_draft(self, node_id: str, draft: bool) -> Json:
        call, (repo, row) = self._call, self._pull_of(node_id)
        if row["state"] != "open":
            raise GraphQLError("Pull request is closed", extensions={"type": "UNPROCESSABLE"})
        if row["draft"] != draft:
            call.hub.store.update("pulls", row["id"], draft=draft)
            record(call.hub, call.actor, repo, "pull.draft" if draft else "pull.ready", number=row["number"])
            action = "converted_to_draft" if draft else "ready_for_review"
            tell(call.hub, repo, call.actor, row["number"], action)
            pull_event(call.hub, repo, call.actor, row["number"], action)
        return {"pullRequest": _pull(call, row | {"draft": draft})}

    def markPullRequestReadyForReview(self, _: object, input: Json) -> Json:  # noqa: A002, N802 - GitHub's
        """Take a pull request out of draft."""
        return self._set_draft(input["pullRequestId"], False)

    def convertPullRequestToDraft(self, _: object, input: Json) -> Json:  # noqa: A002, N802 - GitHub's
        """Turn a pull request into a draft."""
        return self._set_draft(input["pullRequestId"], True)

    def _set_resolved(self, node_id: str, resolved: bool) -> Json:
        call, (prefix, _, digits) = self._call, node_id.partition("_")
        thread = call.hub.store.row("SELECT * FROM review_threads WHERE id = ?", digits)
        if prefix != "PRRT" or thread is None:
            raise GraphQLError(f"Could not resolve to a node with the global id of '{node_id}'.")
        repo, row = self._pull_of(f"PR_{thread['pull_id']}")
        if thread["resolved"] != resolved:
            call.hub.store.update("review_threads", thread["id"], resolved=resolved)
            verb = "resolved" if resolved else "unresolved"
            record(call.hub, call.actor, repo, f"thread.{verb}", number=row["number"], name=node_id)
            payload: Json = {"action": verb, "thread": {"node_id": node_id}, "pull_request": {"number": row["number"]}}
            emit(call.hub, repo, call.actor, "pull_request_review_thread", payload)
        return {"thread": _thread(call, thread | {"resolved": resolved})}

    def resolveReviewThread(self, _: object, input: Json) -> Json:  # noqa: A002, N802 - GitHub's
        """Resolve a review thread."""
        return self._set_resolved(input["threadId"], True)

    def unresolveReviewThread(self, _: object, input: Json) -> Json:  # noqa: A002, N802 - GitHub's
        """Open a resolved review thread again."""
        return self._set_resolved(input["threadId"], False)


@routes.add("POST", "/graphql")
def graphql(call: Call) -> Json:
    """Execute a document. As on GitHub the status is 200 also for errors, and each error names its `type`."""
    if call.actor.kind == "app":
        raise Refusal(401, "Bad credentials")
    body: Any = call.body(dict[str, Any])
    result = graphql_sync(SCHEMA, str(body.get("query", "")), Root(call), variable_values=body.get("variables") or {})
    answer: Json = {"data": result.data}
    if result.errors:
        answer["errors"] = [{"type": "UNPROCESSABLE"} | (e.extensions or {}) | dict(e.formatted) for e in result.errors]
    return answer
