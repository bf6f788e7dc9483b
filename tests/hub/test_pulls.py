"""Pull requests and reviews: what GitHub refuses."""

from typing import Any

import pytest

from tests.hub.world import REPOSITORY, World

API = f"/repos/{REPOSITORY}"
PULLS = f"{API}/pulls"


def _message(world: World, body: dict[str, Any]) -> str:
    refused = world.bot().post(PULLS, json={"title": "T", "base": "main"} | body)
    assert refused.status_code == 422
    error = refused.json()["errors"][0]
    return str(error.get("message") or error["field"])


def test_opening_what_can_not_be_opened(world: World) -> None:
    number = world.pull()
    assert _message(world, {"head": "feature"}) == "A pull request already exists for octo:feature."
    world.hub.git(REPOSITORY, "branch", "same", "main")
    assert _message(world, {"head": "same"}) == "No commits between main and same"
    assert _message(world, {"head": "none"}) == "head"
    assert _message(world, {"head": "stranger:feature"}) == "head"
    assert _message(world, {"head": "feature", "base": "none"}) == "base"
    found = world.bot().get(PULLS, params={"head": "octo:feature", "state": "all"}).json()
    assert [pull["number"] for pull in found] == [number]
    assert world.bot().get(PULLS, params={"head": "octo:none"}).json() == []
    assert world.bot().get(f"{PULLS}/99").status_code == 404


def test_issue_and_pull_numbers_are_one_sequence(world: World) -> None:
    world.user("octo").post(f"{API}/issues", json={"title": "A thing"})
    number = world.pull()
    assert number == 2
    assert "pull_request" in world.bot().get(f"{API}/issues/{number}").json()


def test_mergeable_state_follows_checks_and_conflicts(world: World) -> None:
    number = world.pull()
    bot, url = world.bot(), f"{PULLS}/{number}"
    assert bot.get(url).json()["mergeable_state"] == "clean"
    world.hub.require_checks(REPOSITORY, "main", ["autopack/promotion"], ruleset=True)
    assert bot.get(url).json()["mergeable_state"] == "blocked"
    head = bot.get(url).json()["head"]["sha"]
    check = {"name": "autopack/promotion", "head_sha": head, "conclusion": "success"}
    bot.post(f"{API}/check-runs", json=check)
    assert bot.get(url).json()["mergeable_state"] == "clean"
    world.commit("main", {"a.txt": "other\n"})
    conflicting = bot.get(url).json()
    assert (conflicting["mergeable"], conflicting["mergeable_state"]) == (False, "dirty")
    assert world.user("octo").put(f"{url}/merge", json={}).status_code == 405


def test_merging_needs_ready_and_green(world: World) -> None:
    number = world.pull(draft=True)
    octo, url = world.user("octo"), f"{PULLS}/{number}"
    assert octo.put(f"{url}/merge", json={}).json()["message"] == "Pull Request is still a draft"
    node = world.bot().get(url).json()["node_id"]
    query = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }"
    world.bot().post("/graphql", json={"query": query, "variables": {"id": node}})
    world.hub.require_checks(REPOSITORY, "main", ["test"])
    refused = octo.put(f"{url}/merge", json={})
    assert (refused.status_code, refused.json()["message"]) == (405, 'Required status check "test" is expected.')
    head = world.hub.git(REPOSITORY, "rev-parse", "feature")
    octo.post(f"{API}/statuses/{head}", json={"state": "success", "context": "test"})
    assert octo.put(f"{url}/merge", json={"sha": "0" * 40}).status_code == 409
    assert world.user("outsider").put(f"{url}/merge", json={}).status_code == 403
    assert octo.put(f"{url}/merge", json={"merge_method": "merge"}).json()["merged"] is True
    assert octo.put(f"{url}/merge", json={}).status_code == 405
    assert world.hub.git(REPOSITORY, "log", "-1", "--format=%s", "main").startswith("Merge pull request #1")


def test_pull_follows_its_branches(world: World) -> None:
    number = world.pull()
    sha = world.commit("feature", {"a.txt": "one\nlater\n"})
    assert world.bot().get(f"{PULLS}/{number}").json()["head"]["sha"] == sha
    world.hub.git(REPOSITORY, "rev-parse", f"refs/pull/{number}/head")
    world.bot().delete(f"{API}/git/refs/heads/feature")
    assert world.bot().get(f"{PULLS}/{number}").json()["state"] == "closed"


def test_head_pushed_to_base_merges_pull(world: World) -> None:
    number = world.pull()
    sha = world.hub.git(REPOSITORY, "rev-parse", "feature")
    assert world.user("octo").patch(f"{API}/git/refs/heads/main", json={"sha": sha}).status_code == 200
    assert world.bot().get(f"{PULLS}/{number}").json()["merged"] is True


def test_closing_and_reopening(world: World) -> None:
    number = world.pull()
    url = f"{PULLS}/{number}"
    assert world.bot().patch(url, json={"state": "closed"}).json()["state"] == "closed"
    assert world.bot().patch(url, json={"state": "open"}).json()["state"] == "open"
    assert world.bot().patch(url, json={"base": "none"}).status_code == 422
    assert world.bot().patch(url, json={"body": "x" * 65_537}).status_code == 422


def _review(world: World, number: int, *comments: dict[str, Any], **body: Any) -> list[Any] | str:
    """The errors of a refused review, or the state of the one that was made."""
    data = {"event": "COMMENT", "body": "Audit", "comments": [{"body": "Why?"} | each for each in comments]} | body
    answer = world.bot().post(f"{PULLS}/{number}/reviews", json=data)
    if answer.status_code == 200:
        return str(answer.json()["state"])
    assert answer.status_code == 422
    assert answer.json()["message"] == "Unprocessable Entity"
    return list(answer.json()["errors"])


@pytest.fixture
def long_pull(world: World) -> int:
    """A pull request with two hunks in `long.txt`: around line 3 and line 40; line 41 was line 40 before."""
    lines = [f"line {index}\n" for index in range(1, 61)]
    world.commit("main", {"long.txt": "".join(lines)})
    lines[2] = "third\n"
    lines[39:40] = ["fortieth\n", "inserted\n"]
    world.commit("feature", {"long.txt": "".join(lines), "x.bin": "\0\1"})
    answer = world.bot().post(PULLS, json={"title": "Long", "head": "feature", "base": "main"})
    return int(answer.json()["number"])


@pytest.mark.parametrize(
    "comment",
    [
        {"line": 3},
        {"line": 6},
        {"line": 44, "side": "RIGHT"},
        {"line": 3, "side": "LEFT"},
        {"line": 43, "side": "LEFT"},
        {"line": 5, "start_line": 1},
        {"line": 41, "start_line": 40, "start_side": "LEFT"},
    ],
)
def test_lines_of_a_hunk_can_be_reviewed(world: World, long_pull: int, comment: dict[str, Any]) -> None:
    assert _review(world, long_pull, {"path": "long.txt"} | comment) == "COMMENTED"


@pytest.mark.parametrize(
    ("comment", "error"),
    [
        ({"line": 7}, "line must be part of the diff"),
        ({"line": 20}, "line must be part of the diff"),
        ({"line": 45}, "line must be part of the diff"),
        ({"line": 44, "side": "LEFT"}, "line must be part of the diff"),
        ({"line": 0}, "line must be part of the diff"),
        ({}, "line must be part of the diff"),
        ({"line": 40, "start_line": 3}, "same hunk"),
        ({"line": 4, "start_line": 4}, "precede"),
        ({"path": "none.txt", "line": 1}, "Path could not be resolved"),
        ({"path": "x.bin", "line": 1}, "line must be part of the diff"),
    ],
)
def test_one_wrong_line_refuses_the_whole_review(
    world: World, long_pull: int, comment: dict[str, Any], error: str
) -> None:
    errors = _review(world, long_pull, {"path": "long.txt", "line": 3}, {"path": "long.txt"} | comment)
    assert error in errors[0]
    assert world.bot().get(f"{PULLS}/{long_pull}/reviews").json() == []
    assert world.bot().get(f"{PULLS}/{long_pull}/comments").json() == []


def test_an_app_can_not_judge_its_own_pull(world: World, long_pull: int) -> None:
    assert _review(world, long_pull, event="APPROVE") == ["Can not approve your own pull request"]
    assert _review(world, long_pull, event="REQUEST_CHANGES") == ["Can not request changes on your own pull request"]
    theirs = world.user("writer").post(f"{PULLS}/{long_pull}/reviews", json={"event": "APPROVE"})
    assert theirs.json()["state"] == "APPROVED"
    assert _review(world, long_pull, event="COMMENT", body="") == ["Body cannot be blank"]


def test_a_review_names_a_commit_of_the_pull(world: World, long_pull: int) -> None:
    main = world.hub.git(REPOSITORY, "rev-parse", "main")
    assert _review(world, long_pull, commit_id=main) == ["Commit is not part of the pull request"]


def test_pending_review_is_private(world: World, long_pull: int) -> None:
    made = world.bot().post(f"{PULLS}/{long_pull}/reviews", json={"body": "Later"}).json()
    assert made["state"] == "PENDING"
    assert len(world.bot().get(f"{PULLS}/{long_pull}/reviews").json()) == 1
    assert world.user("writer").get(f"{PULLS}/{long_pull}/reviews").json() == []


THREADS = """
query($number: Int!, $after: String) {
  repository(owner: "octo", name: "demo") {
    pullRequest(number: $number) {
      id
      reviewThreads(first: 1, after: $after) {
        nodes { id isResolved comments(first: 5) { nodes { databaseId fullDatabaseId url body path line } } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""


def test_threads_are_paged_and_resolved(world: World, long_pull: int) -> None:
    _review(world, long_pull, {"path": "long.txt", "line": 3}, {"path": "long.txt", "line": 40})

    def page(after: str | None) -> Any:
        body = {"query": THREADS, "variables": {"number": long_pull, "after": after}}
        answer = world.bot().post("/graphql", json=body).json()
        return answer["data"]["repository"]["pullRequest"]["reviewThreads"]

    first = page(None)
    assert first["pageInfo"]["hasNextPage"] is True
    second = page(first["pageInfo"]["endCursor"])
    assert second["pageInfo"]["hasNextPage"] is False
    assert second["nodes"][0]["comments"]["nodes"][0]["line"] == 40
    mutation = "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }"
    body = {"query": mutation, "variables": {"id": first["nodes"][0]["id"]}}
    reader = world.bot(permissions={"pull_requests": "read"}).post("/graphql", json=body).json()
    assert (reader["errors"][0]["type"], reader["data"]["resolveReviewThread"]) == ("FORBIDDEN", None)
    done = world.bot().post("/graphql", json=body).json()
    assert done["data"]["resolveReviewThread"]["thread"]["isResolved"] is True
    assert page(None)["nodes"][0]["isResolved"] is True
    assert [entry.kind for entry in world.hub.journal()][-1] == "thread.resolved"


def test_graphql_knows_only_what_autopack_uses(world: World) -> None:
    answer = world.bot().post("/graphql", json={"query": "{ viewer { login } }"})
    assert answer.status_code == 200
    assert "Cannot query field 'viewer'" in answer.json()["errors"][0]["message"]
    unpaged = """query { repository(owner: "octo", name: "demo") { pullRequest(number: 1) {
      reviewThreads { nodes { id } } } } }"""
    world.pull()
    assert "`first`" in world.bot().post("/graphql", json={"query": unpaged}).json()["errors"][0]["message"]


def test_replies_go_into_the_thread(world: World, long_pull: int) -> None:
    _review(world, long_pull, {"path": "long.txt", "line": 3})
    first = world.bot().get(f"{PULLS}/{long_pull}/comments").json()[0]
    url = f"{PULLS}/{long_pull}/comments"
    reply = world.user("writer").post(f"{url}/{first['id']}/replies", json={"body": "Because"})
    assert (reply.status_code, reply.json()["in_reply_to_id"]) == (201, first["id"])
    assert world.bot().post(f"{url}/{reply.json()['id']}/replies", json={"body": "x"}).status_code == 422
    assert world.bot().post(f"{url}/1/replies", json={"body": "x"}).status_code == 404
