"""Who may call what: JWTs, installation tokens and their limits, users and their roles."""

import time
from typing import Any

import httpx
import jwt
import pytest

from tests.hub.world import REPOSITORY, World
from tests.support.tokens import app_jwt

API = f"/repos/{REPOSITORY}"


def _get_app(world: World, token: str) -> httpx.Response:
    return httpx.get(f"{world.hub.url}/app", headers={"Authorization": f"Bearer {token}"})


def test_jwt_by_app_id_and_by_client_id(world: World) -> None:
    assert _get_app(world, app_jwt(world.hub)).status_code == 200
    assert _get_app(world, app_jwt(world.hub, iss=world.hub.state.app.client_id)).status_code == 200


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iat": -700, "exp": -60}, "too far in the past"),
        ({"exp": 900}, "too far in the future"),
        ({"iat": 300, "exp": 600}, "Issued at"),
        ({"iss": "12"}, "Issuer"),
    ],
)
def test_bad_jwt_is_refused(world: World, claims: dict[str, Any], word: str) -> None:
    now = int(time.time())
    shifted = {name: now + value if isinstance(value, int) else value for name, value in claims.items()}
    refused = _get_app(world, app_jwt(world.hub, **shifted))
    assert refused.status_code == 401
    assert word in refused.json()["message"]


def test_jwt_of_another_key_is_refused(world: World) -> None:
    refused = _get_app(world, jwt.encode({"iat": 1, "exp": 2, "iss": "1"}, "x" * 40, "HS256"))
    assert refused.status_code == 401


def test_nobody_and_strangers_are_refused(world: World) -> None:
    assert httpx.get(f"{world.hub.url}{API}").status_code == 401
    refused = world.client("stranger", "ghs_unknown").get(API)
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")
    assert refused.json()["status"] == "401"


def test_token_expires(world: World) -> None:
    world.hub.state.token_seconds = 0.0
    refused = world.bot().get(API)
    assert (refused.status_code, refused.json()["message"]) == (401, "Bad credentials")


def test_token_says_when_it_expires(world: World) -> None:
    answer = world.app().post(f"/app/installations/{world.installation}/access_tokens").json()
    assert answer["expires_at"].endswith("Z")
    assert answer["permissions"]["contents"] == "write"


def test_permissions_can_be_narrowed_not_widened(world: World) -> None:
    reader = world.bot(permissions={"contents": "read"})
    assert reader.get(f"{API}/git/ref/heads/main").status_code == 200
    refused = reader.post(f"{API}/git/blobs", json={"content": "x"})
    assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert reader.get(f"{API}/issues/1").status_code == 403
    url = f"/app/installations/{world.installation}/access_tokens"
    assert world.app().post(url, json={"permissions": {"workflows": "write"}}).status_code == 422


def test_token_reaches_its_repositories_only(world: World) -> None:
    world.hub.import_repository("octo/other", private=True)
    world.hub.import_repository("octo/third")
    world.hub.install_app("octo/third")
    assert world.bot().get("/repos/octo/other").status_code == 404
    assert world.bot().get("/repos/octo/third").status_code == 200
    assert world.bot(repositories=["demo"]).get("/repos/octo/third").status_code == 404
    url = f"/app/installations/{world.installation}/access_tokens"
    assert world.app().post(url, json={"repositories": ["other"]}).status_code == 422
    assert world.app().get("/repos/octo/other/installation").status_code == 404


def test_app_jwt_is_no_installation_token(world: World) -> None:
    assert world.app().get(API).status_code == 401
    assert world.bot().get("/app").status_code == 401


def test_users_act_by_role(world: World) -> None:
    label = {"name": "bug"}
    assert world.user("outsider").post(f"{API}/labels", json=label).status_code == 403
    assert world.user("writer").post(f"{API}/labels", json=label).status_code == 201
    assert world.user("outsider").post(f"{API}/issues", json={"title": "Hello"}).status_code == 201
    assert world.user("outsider").post(f"{API}/issues/1/labels", json={"labels": ["bug"]}).status_code == 403
    world.hub.set_role(REPOSITORY, "outsider", "none")
    assert world.user("outsider").get(API).status_code == 404


@pytest.mark.parametrize(
    ("login", "permission", "role_name"),
    [
        ("octo", "admin", "admin"),
        ("maintainer", "write", "maintain"),
        ("writer", "write", "write"),
        ("outsider", "read", "read"),
    ],
)
def test_permission_level(world: World, login: str, permission: str, role_name: str) -> None:
    level = world.bot().get(f"{API}/collaborators/{login}/permission").json()
    assert (level["permission"], level["role_name"]) == (permission, role_name)
    assert world.bot().get(f"{API}/collaborators/nobody/permission").status_code == 404


def test_unknown_api_version_and_unknown_path(world: World) -> None:
    assert world.bot().get(API, headers={"X-GitHub-Api-Version": "1999-01-01"}).status_code == 400
    missing = world.bot().get(f"{API}/nothing/here")
    assert (missing.status_code, missing.json()["message"]) == (404, "Not Found")


def test_pages_have_link_headers(world: World) -> None:
    for index in range(5):
        world.bot().post(f"{API}/labels", json={"name": f"label-{index}"})
    first = world.bot().get(f"{API}/labels?per_page=2")
    assert [label["name"] for label in first.json()] == ["label-0", "label-1"]
    assert set(first.links) == {"next", "last"}
    last = httpx.get(first.links["last"]["url"], headers=dict(world.bot().headers))
    assert [label["name"] for label in last.json()] == ["label-4"]
    assert set(last.links) == {"first", "prev"}
    assert len(world.bot().get(f"{API}/labels?per_page=1000").json()) == 5
