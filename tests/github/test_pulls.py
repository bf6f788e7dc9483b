"""One pull request per branch, found by its head, kept up to date and taken out of draft."""

import json
from typing import Any

import httpx
import respx

from app.github import pulls
from app.github.client import Repo
from app.github.commits import WorkBranch

ROOT = "/repos/acme/widgets"
HEAD = WorkBranch("autonomous/r1")


class Pulls:
    """The repository's pull requests."""

    def __init__(self, github: respx.MockRouter) -> None:
        self.rows: list[dict[str, Any]] = []
        self.writes: list[str] = []
        self.lose_answer = False
        self.drafts_allowed = True
        github.get(f"{ROOT}/pulls").mock(side_effect=self.list)
        github.post(f"{ROOT}/pulls").mock(side_effect=self.create)
        github.get(path__regex=rf"{ROOT}/pulls/(?P<number>\d+)").mock(side_effect=self.read)
        github.patch(path__regex=rf"{ROOT}/pulls/(?P<number>\d+)").mock(side_effect=self.update)
        github.post("/graphql").mock(side_effect=self.graphql)

    def list(self, request: httpx.Request) -> httpx.Response:
        assert request.url.params["head"] == "acme:autonomous/r1"
        return httpx.Response(200, json=self.rows)

    def add(self, head: str, *, draft: bool = True, **other: Any) -> dict[str, Any]:
        row: dict[str, Any] = {
            "number": len(self.rows) + 1,
            "node_id": f"PR_{len(self.rows) + 1}",
            "state": "open",
            "draft": draft,
            "title": "T",
            "body": "B",
            "head": {"ref": head, "sha": "a" * 40},
            "base": {"ref": "main", "sha": "b" * 40},
            **other,
        }
        self.rows.append(row)
        return row

    def create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if body["draft"] and not self.drafts_allowed:
            message = "Draft pull requests are not supported in this repository."
            return httpx.Response(422, json={"message": message})
        self.writes.append("create")
        row = self.add(body["head"], draft=body["draft"], title=body["title"], body=body["body"])
        if self.lose_answer:
            self.lose_answer = False
            raise httpx.ReadTimeout("lost", request=request)
        return httpx.Response(201, json=row)

    def read(self, request: httpx.Request, number: str) -> httpx.Response:
        return httpx.Response(200, json=self.rows[int(number) - 1])

    def update(self, request: httpx.Request, number: str) -> httpx.Response:
        self.writes.append("update")
        self.rows[int(number) - 1] |= json.loads(request.content)
        return self.read(request, number)

    def graphql(self, request: httpx.Request) -> httpx.Response:
        self.writes.append("ready")
        wanted = json.loads(request.content)["variables"]["id"]
        for row in self.rows:
            row["draft"] = row["draft"] and row["node_id"] != wanted
        pull = {"pullRequest": {"isDraft": False}}
        return httpx.Response(200, json={"data": {"markPullRequestReadyForReview": pull}})


async def test_repeated_requests_make_one_pull_request(repo: Repo, github: respx.MockRouter) -> None:
    rows = Pulls(github)
    rows.add("main")
    rows.lose_answer = True
    first = await pulls.ensure_pull(repo, HEAD, "main", "Title", "Body")
    again = await pulls.ensure_pull(repo, HEAD, "main", "Title", "Body")
    assert (first, first.draft, first.head) == (again, True, "autonomous/r1")
    changed = await pulls.ensure_pull(repo, HEAD, "main", "Title", "New body")
    assert changed.body == "New body"
    assert rows.writes == ["create", "update"]


async def test_a_closed_pull_request_is_not_replaced(repo: Repo, github: respx.MockRouter) -> None:
    rows = Pulls(github)
    rows.add(HEAD.name, state="closed", merged_at="2026-01-01T00:00:00Z", merge_commit_sha="c" * 40)
    pull = await pulls.ensure_pull(repo, HEAD, "main", "Title", "Body")
    assert (pull.number, pull.open, pull.merged, pull.merge_commit_sha) == (1, False, True, "c" * 40)
    assert rows.writes == []


async def test_pull_request_without_drafts_is_ready(repo: Repo, github: respx.MockRouter) -> None:
    rows = Pulls(github)
    rows.drafts_allowed = False
    assert not (await pulls.ensure_pull(repo, HEAD, "main", "Title", "Body")).draft
    assert rows.writes == ["create"]


async def test_it_is_taken_out_of_draft_once(repo: Repo, github: respx.MockRouter) -> None:
    rows = Pulls(github)
    rows.add(HEAD.name)
    for _ in range(2):
        await pulls.mark_ready(repo, await pulls.read_pull(repo, 1))
        assert not (await pulls.read_pull(repo, 1)).draft
    assert rows.writes == ["ready"]
