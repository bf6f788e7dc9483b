"""Settings come from one commit of the base branch; failed deliveries are found and requested again."""

import base64
from datetime import UTC, datetime, timedelta

import httpx
import respx

from app.github import redelivery, settings_files
from app.github.client import GitHubApp, Repo

ROOT = "/repos/acme/widgets/contents"
SHA = "a" * 40
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def file(content: bytes) -> dict[str, str]:
    return {"type": "file", "encoding": "base64", "content": base64.encodebytes(content).decode()}


async def test_settings_and_instructions_are_read_at_one_commit(repo: Repo, github: respx.MockRouter) -> None:
    github.get(f"{ROOT}/.github/autopack.yml", params={"ref": SHA}).respond(json=file(b"tokens: 2M\n" * 20))
    github.get(f"{ROOT}/AGENTS.md", params={"ref": SHA}).respond(json=file(b"x" * 100_000))
    github.get(f"{ROOT}/CLAUDE.md").respond(404, json={"message": "Not Found"})
    github.get(f"{ROOT}/.github/copilot-instructions.md").respond(json=[file(b"")])
    found = await settings_files.read_settings_files(repo, SHA)
    assert found.settings == "tokens: 2M\n" * 20
    assert {path: len(text) for path, text in found.instructions.items()} == {"AGENTS.md": settings_files.LIMIT_BYTES}


async def test_what_is_no_text_is_no_file(repo: Repo, github: respx.MockRouter) -> None:
    github.get(f"{ROOT}/big").respond(json={"type": "file", "encoding": "none", "content": ""})
    github.get(f"{ROOT}/module").respond(json={"type": "submodule", "sha": SHA})
    github.get(f"{ROOT}/latin").respond(json=file(b"caf\xe9"))
    assert await settings_files.read_text(repo, "big", SHA) is None
    assert await settings_files.read_text(repo, "module", SHA) is None
    assert await settings_files.read_text(repo, "latin", SHA) == "caf\ufffd"


def attempt(number: int, guid: str, minutes: int, code: int) -> dict[str, object]:
    when = (NOW + timedelta(minutes=minutes)).isoformat()
    status = "OK" if code == 202 else "timed out"
    return {"id": number, "guid": guid, "delivered_at": when, "status": status, "status_code": code, "event": "push"}


async def test_undelivered_events_are_found_everywhere(app: GitHubApp, github: respx.MockRouter) -> None:
    first = [attempt(9, "c", 9, 502), attempt(8, "a", 8, 202), attempt(7, "b", 7, 504)]
    second = [attempt(6, "b", 6, 500), attempt(5, "a", 5, 500), attempt(1, "old", -60, 500)]

    def page(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("cursor") == "v1_6":
            return httpx.Response(200, json=second)
        following = f'<{request.url.copy_with(query=b"per_page=100&cursor=v1_6")}>; rel="next"'
        return httpx.Response(200, json=first, headers={"Link": following})

    github.get("/app/hook/deliveries").mock(side_effect=page)
    failed = await redelivery.list_failed_since(app, NOW)
    assert [(one.guid, one.id) for one in failed] == [("b", 7), ("c", 9)]


async def test_a_redelivery_is_asked_for_as_the_app(app: GitHubApp, github: respx.MockRouter) -> None:
    route = github.post("/app/hook/deliveries/7/attempts").respond(202, json={})
    github.post("/app/hook/deliveries/8/attempts").respond(404, json={"message": "Not Found"})
    assert await redelivery.redeliver(app, 7)
    assert not await redelivery.redeliver(app, 8)
    assert route.calls.last.request.headers["Authorization"].startswith("Bearer ey")
