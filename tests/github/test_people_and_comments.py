"""Who may steer; reactions, labels and the comment that is edited in place."""

import json
from typing import Any

import httpx
import pytest
import respx

from app.github import comments, issues, permissions
from app.github.client import Repo
from app.github.github_errors import GitHubRefused
from app.github.telling import told

ROOT = "/repos/acme/widgets"


@pytest.mark.parametrize(
    ("permission", "role", "allowed"),
    [
        ("admin", "admin", True),
        ("write", "maintain", True),
        ("write", "write", True),
        ("write", "release-manager", True),
        ("read", "triage", False),
        ("read", "read", False),
        ("none", "", False),
    ],
)
async def test_who_may_steer(repo: Repo, github: respx.MockRouter, permission: str, role: str, allowed: bool) -> None:
    github.get(f"{ROOT}/collaborators/someone/permission").respond(json={"permission": permission, "role_name": role})
    assert await permissions.may_steer(repo, "someone") is allowed


async def test_strangers_and_bots_may_not_steer(repo: Repo, github: respx.MockRouter) -> None:
    github.get(f"{ROOT}/collaborators/ghost/permission").respond(404, json={"message": "Not Found"})
    assert not await permissions.may_steer(repo, "ghost")
    assert not await permissions.may_steer(repo, "autopack[bot]")
    github.get(f"{ROOT}/collaborators/someone/permission").respond(403, json={"message": "no"})
    with pytest.raises(GitHubRefused):
        await permissions.may_steer(repo, "someone")
    assert permissions.is_bot("x", "Bot")
    assert not permissions.is_bot("bot")


class Thread:
    """The comments of issue 1."""

    def __init__(self, github: respx.MockRouter) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.writes: list[str] = []
        github.get(f"{ROOT}/issues/1/comments").mock(side_effect=self.list)
        github.post(f"{ROOT}/issues/1/comments").mock(side_effect=self.create)
        github.patch(path__regex=rf"{ROOT}/issues/comments/(?P<number>\d+)").mock(side_effect=self.update)

    def add(self, body: str, login: str = "autopack[bot]") -> int:
        number = len(self.rows) + len(self.writes) + 1
        user = {"login": login, "id": 1, "type": "Bot"}
        self.rows[number] = {"id": number, "body": body, "user": user, "created_at": "2026-01-01T00:00:00Z"}
        return number

    def list(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=list(self.rows.values()))

    def create(self, request: httpx.Request) -> httpx.Response:
        number = self.add(json.loads(request.content)["body"])
        self.writes.append("create")
        return httpx.Response(201, json=self.rows[number])

    def update(self, request: httpx.Request, number: str) -> httpx.Response:
        if int(number) not in self.rows:
            return httpx.Response(404, json={"message": "Not Found"})
        self.writes.append("update")
        self.rows[int(number)]["body"] = json.loads(request.content)["body"]
        return httpx.Response(200, json=self.rows[int(number)])


async def test_status_comment_is_edited_only_on_change(repo: Repo, github: respx.MockRouter) -> None:
    thread = Thread(github)
    number = told(await comments.upsert(repo, 1, "status:r1", "one"))
    assert await comments.upsert(repo, 1, "status:r1", "one") == number
    assert await comments.upsert(repo, 1, "status:r1", "two") == number
    assert thread.writes == ["create", "update"]
    assert number is not None
    assert thread.rows[number]["body"] == "two\n\n<!-- autopack:status:r1 -->"


async def test_a_deleted_status_comment_is_made_again(repo: Repo, github: respx.MockRouter) -> None:
    thread = Thread(github)
    await comments.upsert(repo, 1, "status:r1", "one")
    thread.rows.clear()
    again = told(await comments.upsert(repo, 1, "status:r1", "two"))
    assert again in thread.rows
    thread.rows.clear()
    comments.forget(repo, 1, "status:r1")
    again = told(await comments.upsert(repo, 1, "status:r1", "two"))
    assert again in thread.rows
    assert thread.writes == ["create", "create", "create"]


async def test_foreign_and_quoted_markers_are_ignored(repo: Repo, github: respx.MockRouter) -> None:
    thread = Thread(github)
    thread.add("fake\n\n<!-- autopack:status:r1 -->", login="outsider")
    thread.add("a log with <!-- autopack:status:r1 --> in it\n\n<!-- autopack:incident:r1 -->")
    number = told(await comments.upsert(repo, 1, "status:r1", "mine"))
    assert number not in {1, 2}
    assert thread.writes == ["create"]


async def test_a_note_is_posted_once_and_never_edited(repo: Repo, github: respx.MockRouter) -> None:
    thread = Thread(github)
    number = told(await comments.post_once(repo, 1, "summary:r1", "one"))
    assert await comments.post_once(repo, 1, "summary:r1", "two") == number
    assert thread.writes == ["create"]
    assert number is not None
    assert thread.rows[number]["body"].startswith("one")


async def test_reactions_may_be_set_again(repo: Repo, github: respx.MockRouter) -> None:
    github.post(f"{ROOT}/issues/1/reactions").respond(json={"id": 1, "content": "eyes"})
    github.post(f"{ROOT}/issues/comments/4/reactions").respond(201, json={"id": 1, "content": "rocket"})
    await issues.react_to_issue(repo, 1)
    await issues.react_to_comment(repo, 4, "rocket")
