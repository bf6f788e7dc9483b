"""Requests that count against GitHub's hourly limit: unchanged answers do not, and a share is kept for people."""

import time
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
import respx

from app.github import commits, conditional, issues
from app.github.client import Repo
from app.github.conditional import AnswerCache
from app.github.github_errors import GitHubUnavailable
from app.github.request_budget import RequestsSpent
from app.github.telling import Untold
from tests.github.conftest import API

ISSUE: dict[str, Any] = {"number": 1, "title": "Greet people", "state": "open", "labels": []}
PATH = f"{API}/repos/acme/widgets/issues/1"


def limit(left: int, seconds: float = 600, resource: str = "core") -> dict[str, str]:
    return {
        "X-RateLimit-Resource": resource,
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(int(time.time() + seconds)),
    }


async def test_unchanged_answer_is_asked_by_its_tag(repo: Repo, github: respx.MockRouter) -> None:
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("If-None-Match"))
        if sent[-1] == 'W/"1"' and len(sent) < 3:
            return httpx.Response(304, headers=limit(4000))
        title = "Greet people" if len(sent) < 3 else "Greet everyone"
        return httpx.Response(200, json=ISSUE | {"title": title}, headers={"ETag": f'W/"{len(sent)}"', **limit(4001)})

    github.get(PATH).mock(side_effect=answer)
    titles = [(await issues.read_issue(repo, 1)).title for _ in range(3)]
    assert titles == ["Greet people", "Greet people", "Greet everyone"]
    assert sent == [None, 'W/"1"', 'W/"1"']
    assert repo.app.budget.fewest() == 4001


async def test_redirect_does_not_carry_the_tag(repo: Repo, github: respx.MockRouter) -> None:
    github.get(PATH).respond(json=ISSUE, headers={"ETag": '"1"'})
    await issues.read_issue(repo, 1)
    github.get(PATH).respond(301, headers={"Location": f"{API}/repositories/8/issues/1"})
    route = github.get(f"{API}/repositories/8/issues/1").respond(json=ISSUE)
    assert (await issues.read_issue(repo, 1)).number == 1
    assert "If-None-Match" not in route.calls.last.request.headers


async def test_answers_without_tag_are_asked_anew(repo: Repo, github: respx.MockRouter) -> None:
    route = github.get(PATH).respond(json=ISSUE)
    for _ in range(2):
        await issues.read_issue(repo, 1)
    assert not any("If-None-Match" in call.request.headers for call in cast("list[respx.models.Call]", route.calls))


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
async def test_logs_are_not_kept(repo: Repo, github: respx.MockRouter, kind: str) -> None:
    github.get(PATH).respond(content=b"{}", headers={"ETag": '"1"', "Content-Type": kind})
    with pytest.raises(GitHubUnavailable):
        await issues.read_issue(repo, 1)
    github.get(PATH).respond(json=ISSUE)
    assert (await issues.read_issue(repo, 1)).number == 1


def test_kept_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional, "MAX_ENTRIES", 2)
    cache = AnswerCache()
    for name in "abc":
        cache.keep(name, conditional.Kept(name, [], b""))
        cache.find("a")
    assert [name for name in "abc" if cache.find(name)] == ["a", "c"]


async def test_runs_leave_a_share_to_people(repo: Repo, github: respx.MockRouter) -> None:
    github.get(PATH).respond(json=ISSUE, headers=limit(500))
    await issues.read_issue(repo, 1)
    with pytest.raises(RequestsSpent, match=r"500 of 5000 requests left until .* UTC, kept for commands") as spent:
        await issues.read_issue(repo, 1)
    assert 500 < (spent.value.retry_after or 0) <= 601
    assert isinstance(await issues.react_to_issue(repo, 1), Untold)
    assert (await issues.read_issue(replace(repo, for_person=True), 1)).number == 1


@pytest.mark.parametrize(
    "headers",
    [
        limit(501),
        limit(0, seconds=-5),
        limit(0, resource="graphql"),
        {"X-RateLimit-Remaining": "none"},
        {},
    ],
    ids=["more is left", "the hour is over", "another limit", "not a number", "no limit"],
)
async def test_nothing_is_held_back_without_need(repo: Repo, github: respx.MockRouter, headers: dict[str, str]) -> None:
    github.get(PATH).respond(json=ISSUE, headers=headers)
    for _ in range(2):
        assert (await issues.read_issue(repo, 1)).number == 1


async def test_limit_of_one_installation_is_its_own(repo: Repo, github: respx.MockRouter) -> None:
    github.get(PATH).respond(json=ISSUE, headers=limit(0))
    await issues.read_issue(repo, 1)
    github.post(f"{API}/app/installations/6/access_tokens").respond(
        201, json={"token": "ghs_other", "expires_at": "2099-01-01T00:00:00Z", "permissions": {}}
    )
    other = await repo.app.installation(6, "other/widgets")
    github.get(f"{API}/repos/other/widgets").respond(
        json={"id": 8, "full_name": "other/widgets", "default_branch": "main"}
    )
    assert (await commits.read_repository(other)).default_branch == "main"
