"""Requests are repeated within a deadline, and what may have been done is looked for before it is done again."""

import asyncio
import json
import pickle

import httpx
import pytest
import respx

from app.github import comments, commits, issues
from app.github.api_calls import RetryPolicy
from app.github.client import GitHubApp, Repo
from app.github.github_errors import BranchMoved, GitHubRefused, GitHubUnavailable

ISSUE = {"number": 1, "title": "Broken", "body": None, "state": "open", "labels": [{"name": "bug"}, "old"]}
BOT = {"login": "autopack[bot]", "id": 9, "type": "Bot"}


def comment(number: int, body: str, **other: object) -> dict[str, object]:
    return {"id": number, "body": body, "user": BOT, "created_at": "2026-01-01T00:00:00Z", **other}


async def test_server_and_connection_errors_are_retried(repo: Repo, github: respx.MockRouter) -> None:
    route = github.get("/repos/acme/widgets/issues/1").mock(
        side_effect=[httpx.Response(502), httpx.ConnectError("refused"), httpx.Response(200, json=ISSUE)]
    )
    issue = await issues.read_issue(repo, 1)
    assert (issue.title, issue.body, issue.labels, issue.author) == ("Broken", "", ("bug", "old"), "ghost")
    assert route.call_count == 3
    assert route.calls.last.request.headers["X-GitHub-Api-Version"] == "2026-03-10"
    assert route.calls.last.request.headers["User-Agent"].startswith("autopack/")


async def test_failed_token_request_is_retried(repo: Repo, github: respx.MockRouter) -> None:
    good: dict[str, object] = {"token": "ghs_later", "expires_at": "2099-01-01T00:00:00Z", "permissions": {}}
    github["tokens"].mock(side_effect=[httpx.Response(503), httpx.Response(201, json=good)])
    route = github.get("/repos/acme/widgets/issues/1").respond(json=ISSUE)
    await issues.read_issue(repo, 1)
    assert route.calls.last.request.headers["Authorization"] == "token ghs_later"


@pytest.mark.parametrize("status", [403, 429])
async def test_a_rate_limit_is_waited_out(repo: Repo, github: respx.MockRouter, status: int) -> None:
    limited = httpx.Response(status, headers={"Retry-After": "1"}, json={"message": "secondary rate limit"})
    github.get("/repos/acme/widgets/issues/1").mock(side_effect=[limited, httpx.Response(200, json=ISSUE)])
    assert (await issues.read_issue(repo, 1)).number == 1


async def test_long_rate_limit_is_reported(repo: Repo, github: respx.MockRouter) -> None:
    github.get("/repos/acme/widgets/issues/1").respond(429, headers={"Retry-After": "900"}, json={})
    with pytest.raises(GitHubUnavailable) as caught:
        await issues.read_issue(repo, 1)
    assert caught.value.retry_after == 900


async def test_github_down_ends_at_the_deadline(app: GitHubApp, github: respx.MockRouter) -> None:
    object.__setattr__(app.settings, "patience", RetryPolicy(total=1.0, first_wait=0.02, longest_wait=0.05))
    repo = await app.installation(5, "acme/widgets")
    route = github.get("/repos/acme/widgets/issues/1").respond(500)
    with pytest.raises(GitHubUnavailable, match="500 on GET /repos/acme/widgets/issues/1"):
        await issues.read_issue(repo, 1)
    assert 2 <= route.call_count <= 60


async def test_deadline_names_the_last_failure(app: GitHubApp, github: respx.MockRouter) -> None:
    object.__setattr__(app.settings, "patience", RetryPolicy(total=1.0, first_wait=0.02, longest_wait=0.05))
    repo = await app.installation(5, "acme/widgets")
    answers = iter([httpx.Response(500)])

    async def answer(_request: httpx.Request) -> httpx.Response:
        if (failed := next(answers, None)) is not None:
            return failed
        return await asyncio.Future()  # never answered

    github.get("/repos/acme/widgets/issues/1").mock(side_effect=answer)
    with pytest.raises(GitHubUnavailable, match="500 on GET /repos/acme/widgets/issues/1"):
        await issues.read_issue(repo, 1)


@pytest.mark.parametrize(("status", "message"), [(403, "Resource not accessible by integration"), (404, "Not Found")])
async def test_a_refusal_is_not_tried_again(repo: Repo, github: respx.MockRouter, status: int, message: str) -> None:
    route = github.get("/repos/acme/widgets/compare/main...work").respond(status, json={"message": message})
    with pytest.raises(GitHubRefused, match=message) as caught:
        await commits.compare(repo, "main", "work")
    assert caught.value.status == status
    assert route.call_count == 1


async def test_what_exists_is_asked_for_again(repo: Repo, github: respx.MockRouter) -> None:
    """For some seconds GitHub does not know what its event has reported (kubernetes/test-infra#2262)."""
    unknown = httpx.Response(404, json={"message": "Not Found"})
    route = github.get("/repos/acme/widgets/issues/1").mock(
        side_effect=[unknown, unknown, httpx.Response(200, json=ISSUE)]
    )
    assert (await issues.read_issue(repo, 1)).number == 1
    assert route.call_count == 3
    route.mock(return_value=unknown)
    with pytest.raises(GitHubRefused, match="Not Found"):
        await issues.read_issue(repo, 1)


async def test_refusal_names_the_missing_permission(repo: Repo, github: respx.MockRouter) -> None:
    headers = {"X-Accepted-GitHub-Permissions": "contents=write; workflows=write"}
    message = {"message": "Resource not accessible by integration"}
    github.get("/repos/acme/widgets/issues/1").respond(403, json=message, headers=headers)
    with pytest.raises(GitHubRefused, match="the App needs the permission contents: write; workflows: write"):
        await issues.read_issue(repo, 1)


async def test_proxy_page_is_no_answer(repo: Repo, github: respx.MockRouter) -> None:
    github.get("/repos/acme/widgets/issues/1").respond(200, html="<html>login</html>")
    with pytest.raises(GitHubUnavailable, match="answer not understood"):
        await issues.read_issue(repo, 1)


async def test_a_revoked_token_is_renewed_once(repo: Repo, github: respx.MockRouter) -> None:
    tokens = github["tokens"]
    github.get("/repos/acme/widgets/issues/1").mock(
        side_effect=[httpx.Response(200, json=ISSUE), httpx.Response(401, json={}), httpx.Response(200, json=ISSUE)]
    )
    await issues.read_issue(repo, 1)
    await issues.read_issue(repo, 1)
    assert tokens.call_count == 2


async def test_comment_with_lost_answer_is_found(repo: Repo, github: respx.MockRouter) -> None:
    posted: list[dict[str, object]] = []

    def post(request: httpx.Request) -> httpx.Response:
        posted.append(comment(len(posted) + 10, json.loads(request.content)["body"]))
        raise httpx.ReadTimeout("lost", request=request)

    def listed(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=posted)

    github.get("/repos/acme/widgets/issues/1/comments").mock(side_effect=listed)
    github.post("/repos/acme/widgets/issues/1/comments").mock(side_effect=post)
    assert await comments.post_once(repo, 1, "status:r1", "hello") == 10
    assert len(posted) == 1
    assert posted[0]["body"] == "hello\n\n<!-- autopack:status:r1 -->"


async def test_missing_comment_is_posted_at_retry(repo: Repo, github: respx.MockRouter) -> None:
    github.get("/repos/acme/widgets/issues/1/comments").respond(json=[])
    route = github.post("/repos/acme/widgets/issues/1/comments").mock(
        side_effect=[httpx.Response(502), httpx.Response(201, json=comment(3, "x"))]
    )
    github.patch("/repos/acme/widgets/issues/comments/3").respond(json=comment(3, "x"))
    assert await comments.upsert(repo, 1, "status:r1", "hello") == 3
    assert route.call_count == 2


async def test_lost_creation_race_is_no_error(repo: Repo, github: respx.MockRouter) -> None:
    look = github.get("/repos/acme/widgets/labels/autopack").mock(
        side_effect=[httpx.Response(404, json={}), httpx.Response(200, json={"name": "autopack"})]
    )
    github.post("/repos/acme/widgets/labels").respond(422, json={"message": "already_exists"})
    await issues.ensure_label(repo)
    assert look.call_count == 2


async def test_lists_are_read_to_their_end(repo: Repo, github: respx.MockRouter) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params["page"])
        items = [comment(number * 1000 + i, "text") for i in range(100 if number < 3 else 7)]
        return httpx.Response(200, json=items)

    github.get("/repos/acme/widgets/issues/1/comments").mock(side_effect=page)
    assert len(await issues.comments(repo, 1)) == 207


@pytest.mark.parametrize(
    "error",
    [
        GitHubUnavailable("down", 3.5),
        GitHubRefused(422, "no"),
        BranchMoved("autonomous/r", "a" * 40, None),
    ],
)
def test_errors_survive_pickling(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)


async def test_git_token_reads_one_repository(repo: Repo, github: respx.MockRouter) -> None:
    tokens = github["tokens"]
    first = await repo.app.git_token(repo)
    assert (await repo.app.git_token(repo)) is first
    assert tokens.call_count == 1
    assert json.loads(tokens.calls.last.request.content) == {
        "repositories": ["widgets"],
        "permissions": {"contents": "read"},
    }
    assert "ghs_example" not in repr(first)


async def test_the_installation_of_a_repository_is_asked_for(app: GitHubApp, github: respx.MockRouter) -> None:
    github.get("/repos/acme/widgets/installation").respond(json={"id": 5})
    repo = await app.installation_of("acme/widgets")
    assert (repo.installation_id, repo.bot_login, repo.url("pull/1")) == (
        5,
        "autopack[bot]",
        "https://github.test/acme/widgets/pull/1",
    )
    assert await app.installation(5, "acme/widgets") is repo


UNSUPPORTED = '"2026-03-10" is not a supported version. The following versions are currently supported: "2022-11-28"'
"""The words of jwoudenberg/update-nix-fetchgit#79."""


async def test_older_server_is_asked_in_its_own_version(repo: Repo, github: respx.MockRouter) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["X-GitHub-Api-Version"] == "2022-11-28":
            return httpx.Response(200, json=ISSUE)
        return httpx.Response(400, json={"message": UNSUPPORTED})

    route = github.get("/repos/acme/widgets/issues/1").mock(side_effect=answer)
    assert (await issues.read_issue(repo, 1)).number == 1
    assert (await issues.read_issue(repo, 1)).number == 1
    assert route.call_count == 3, "it is learned once"


async def test_server_of_unknown_versions_is_named(repo: Repo, github: respx.MockRouter) -> None:
    message = UNSUPPORTED.replace("2022-11-28", "2031-01-01")
    github.get("/repos/acme/widgets/issues/1").respond(400, json={"message": message})
    with pytest.raises(GitHubRefused, match=r"2031-01-01.*Autopack speaks 2026-03-10 and 2022-11-28"):
        await issues.read_issue(repo, 1)


async def test_too_quick_submission_is_waited_out(
    repo: Repo, github: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.github.api_calls.SECONDARY_LIMIT_SECONDS", 0.05)
    quick = httpx.Response(422, json={"message": "Validation Failed", "errors": ["was submitted too quickly"]})
    github.get("/repos/acme/widgets/issues/1").mock(side_effect=[quick, httpx.Response(200, json=ISSUE)])
    assert (await issues.read_issue(repo, 1)).number == 1


async def test_transient_graphql_error_is_tried_again(repo: Repo, github: respx.MockRouter) -> None:
    """GitHub answers 200 with an error that passes (octokit/plugin-retry.js#395)."""
    broken = {
        "data": None,
        "errors": [{"message": "Something went wrong while executing your query. Please try again."}],
    }
    route = github.post("/graphql").mock(
        side_effect=[httpx.Response(200, json=broken), httpx.Response(200, json={"data": {"ok": 1}})]
    )
    assert await repo.graphql("query { ok }", {}) == {"ok": 1}
    assert route.call_count == 2


async def test_what_github_says_of_the_app_is_kept(app: GitHubApp, github: respx.MockRouter) -> None:
    github.get("/app").respond(400, json={"message": UNSUPPORTED.replace("2022-11-28", "2031-01-01")})
    assert "update GitHub Enterprise Server, or Autopack" in await app.check()
    assert app.trouble
    github.get("/app").respond(json={"slug": "autopack", "id": 77})
    assert await app.check() == app.trouble == ""
