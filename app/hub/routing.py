"""One REST call: faults aside, who calls, on which repository, with which body, answered in GitHub's form."""

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.hub.auth import Actor, allow, authenticate, credentials
from app.hub.git_repos import Bare, GitCommandError, bare
from app.hub.github_problems import Refusal
from app.hub.limits import Asked, entity_tag
from app.hub.state import HubState, Json, mapping
from app.hub.store import Row

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Call:
    """A request that was let in. `repo` is empty for routes that name no repository."""

    hub: HubState
    actor: Actor
    repo: Row
    path: dict[str, str]
    query: dict[str, str]
    raw: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def git(self) -> Bare:
        """The repository's bare git repository."""
        return bare(self.hub, self.repo)

    def number(self, name: str) -> int:
        """A number of the path; 404 when it is none."""
        if not self.path[name].isdecimal():
            raise Refusal(404, "Not Found")
        return int(self.path[name])

    def body(self, *models: Any) -> Json:
        """The JSON body, checked against GitHub's own request models (any of them); 400 or 422 when it does not fit."""
        try:
            json.loads(self.raw or b"{}")
        except ValueError as error:
            raise Refusal(400, "Problems parsing JSON") from error
        failure: ValidationError | None = None
        for model in models:
            adapter = _adapter(model)
            try:
                parsed = adapter.validate_json(self.raw or b"{}", strict=True)
            except ValidationError as error:
                failure = failure or error
                continue
            dumped = adapter.dump_python(parsed, mode="json", by_alias=True, exclude_unset=True)
            return cast("Json", dumped) if isinstance(dumped, dict) else {"": dumped}
        details = failure.errors() if failure else []
        errors = [
            {
                "resource": "Request",
                "field": ".".join(str(part) for part in detail["loc"]),
                "code": "missing_field" if detail["type"] == "missing" else "invalid",
                "message": detail["msg"],
            }
            for detail in details
        ]
        raise Refusal(422, "Validation Failed", errors)

    def page(self, items: list[T]) -> list[T]:
        """The asked page of a list (`per_page` ≤ 100, `page` from 1); the Link header is set for the answer."""
        try:
            size = min(max(int(self.query.get("per_page", "30")), 1), 100)
            page = max(int(self.query.get("page", "1")), 1)
        except ValueError:
            size, page = 30, 1
        last = max((len(items) + size - 1) // size, 1)
        wanted = {"next": page + 1, "last": last} if page < last else {}
        wanted |= {"first": 1, "prev": page - 1} if page > 1 else {}
        self.link({name: {"page": str(number)} for name, number in wanted.items()})
        return items[(page - 1) * size : page * size]

    def link(self, relations: dict[str, dict[str, str]]) -> None:
        """Set the Link header: relation name to the query parameters that differ from this call's."""
        url = f"{self.hub.url}{self.path['']}"
        links = [f'<{url}?{urlencode(self.query | change)}>; rel="{name}"' for name, change in relations.items()]
        if links:
            self.headers["Link"] = ", ".join(links)


Answer = Any  # a JSON value, (status, JSON value) or a finished Response
Handler = Callable[[Call], Answer]
OF_COMMITS = ("/repos/{owner}/{repo}/git/", "/repos/{owner}/{repo}/commits")
"""What a repository without a commit refuses."""


@dataclass(frozen=True)
class Route:
    """A REST endpoint: what the caller needs and the function that answers."""

    method: str
    path: str
    needs: str
    user_role: str
    handler: Handler


class Routes(list[Route]):
    """The endpoints of one module; the order matters where one path pattern contains another."""

    def add(self, method: str, path: str, needs: str = "", user_role: str = "read") -> Callable[[Handler], Handler]:
        """Register a handler. `needs` is the installation permission, "app" (JWT) or "" (any caller)."""

        def register(handler: Handler) -> Handler:
            self.append(Route(method, path, needs, user_role, handler))
            return handler

        return register


def find_repository(hub: HubState, owner: str, name: str) -> Row:
    """The repository's row; 404 when there is none."""
    row = hub.store.row(
        "SELECT r.* FROM repositories r JOIN users u ON u.id = r.owner_id WHERE u.login = ? AND r.name = ?", owner, name
    )
    if row is None:
        raise _moved(hub, f"{owner}/{name}")
    return row


def _moved(hub: HubState, old: str) -> Refusal:
    """What an old name is answered with: the way to the repository by its id.

    https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
    """
    row = hub.store.row("SELECT repo_id FROM old_names WHERE full_name = ?", old)
    if row is None:
        return Refusal(404, "Not Found")
    return Moved(row["repo_id"])


class Moved(Refusal):
    """The repository has another name now."""

    def __init__(self, repo_id: int) -> None:
        super().__init__(301, "Moved Permanently")
        self.repo_id = repo_id


def _answer(hub: HubState, route: Route, request: Request, raw: bytes) -> Response:
    version = request.headers.get("x-github-api-version")
    # The words of https://github.com/jwoudenberg/update-nix-fetchgit/issues/79
    if version is not None and version not in hub.api_versions:
        spoken = ", ".join(f'"{one}"' for one in hub.api_versions)
        problem = f'"{version}" is not a supported version. The following versions are currently supported: {spoken}'
        raise Refusal(400, problem)
    path = {name: str(value) for name, value in request.path_params.items()} | {"": request.url.path}
    if route.method == "GET" and hub.unseen.get(request.url.path):
        # kubernetes/test-infra#2262, runatlantis/atlantis#1131
        hub.unseen[request.url.path] -= 1
        raise Refusal(404, "Not Found")
    with hub.store.transaction():
        actor = authenticate(hub, credentials(request.headers.get("authorization")))
        installation_id = int(actor.installation.get("id", 0))
        if installation_id:
            hub.limits.require(installation_id)
        try:
            response = _carry_out(hub, actor, route, path, dict(request.query_params), raw)
        except Refusal as refusal:
            if isinstance(refusal, Moved):
                _point(hub, request, refusal)
            if installation_id:
                asked = Asked(route.method, request.url.path, refusal.status)
                refusal.headers |= hub.limits.note(installation_id, asked)
            raise
    if hub.lag and response.status_code == 201:
        made = urlsplit(str(mapping(json.loads(bytes(response.body) or b"{}")).get("url"))).path
        hub.unseen[made.replace("/git/refs/", "/git/ref/")] = hub.lag
    if route.method == "GET" and response.status_code == 200 and response.body:
        tag = entity_tag(bytes(response.body))
        response.headers["ETag"] = tag
        if tag in request.headers.get("if-none-match", ""):
            response = Response(status_code=304, headers={"ETag": tag})
    if installation_id:
        asked = Asked(route.method, request.url.path, response.status_code)
        response.headers.update(hub.limits.note(installation_id, asked))
    return response


def _point(hub: HubState, request: Request, moved: Moved) -> None:
    """Name the new address; other methods than GET are kept by a 307."""
    rest = request.url.path.split("/", 4)[4:]
    query = f"?{request.url.query}" if request.url.query else ""
    moved.headers["Location"] = "/".join([f"{hub.url}/repositories/{moved.repo_id}", *rest]) + query
    moved.status = 301 if request.method == "GET" else 307


def _carry_out(
    hub: HubState, actor: Actor, route: Route, path: dict[str, str], query: dict[str, str], raw: bytes
) -> Response:
    repo: Row = {}
    if route.needs == "app":
        if actor.kind != "app":
            raise Refusal(401, "A JSON web token could not be decoded")
        if "repo" in path:
            repo = find_repository(hub, path["owner"], path["repo"])
    elif "repo" in path:
        repo = find_repository(hub, path["owner"], path["repo"])
        allow(hub, actor, repo, route.needs, route.user_role)
        # As in https://github.com/renovatebot/renovate/discussions/15405
        if repo["archived"] and route.method != "GET":
            raise Refusal(403, "Repository was archived so is read-only.")
    call = Call(hub, actor, repo, path, query, raw)
    # https://docs.github.com/en/rest/guides/using-the-rest-api-to-interact-with-your-git-database
    if repo and route.path.startswith(OF_COMMITS) and call.git.is_empty():
        raise Refusal(409, "Git Repository is empty.")
    answer = route.handler(call)
    if isinstance(answer, Response):
        return answer
    status, value = cast("tuple[int, Any]", answer) if isinstance(answer, tuple) else (200, answer)
    if value is None:
        return Response(status_code=status, headers=call.headers)
    return JSONResponse(value, status, call.headers)


def refuse(refusal: Refusal) -> JSONResponse:
    """The problem body of a refusal."""
    return JSONResponse(refusal.body, refusal.status, refusal.headers)


class ById:
    """Answers `/repositories/{id}/…` as `/repos/{owner}/{name}/…`, as GitHub does after a redirect."""

    def __init__(self, app: ASGIApp, hub: HubState) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if path.startswith("/repositories/"):
            _, _, repo_id, *rest = path.split("/", 3)
            row = await run_in_threadpool(self._name, repo_id)
            path = "/".join([f"/repos/{row}", *rest])
            scope = {**scope, "path": path, "raw_path": quote(path).encode()}
        await self._app(scope, receive, send)

    def _name(self, repo_id: str) -> str:
        with self._hub.store.transaction():
            row = self._hub.store.row(
                "SELECT u.login || '/' || r.name AS name FROM repositories r JOIN users u ON u.id = r.owner_id"
                " WHERE r.id = ?",
                int(repo_id) if repo_id.isdecimal() else 0,
            )
        return str(row["name"]) if row else "nobody/nothing"


def mount(app: FastAPI, hub: HubState, routes: Routes) -> None:
    """Add the routes to the application; each call runs in a worker thread inside one transaction."""
    for route in routes:
        app.add_api_route(
            route.path, _endpoint(hub, route), methods=[route.method], include_in_schema=False, response_model=None
        )


def _endpoint(hub: HubState, route: Route) -> Callable[[Request], Any]:
    def run(request: Request, raw: bytes) -> Response:
        try:
            return _answer(hub, route, request, raw)
        except Refusal as refusal:
            return refuse(refusal)
        except GitCommandError as error:
            log.warning("git refused %s %s: %s", route.method, request.url.path, error)
            return refuse(Refusal(422, str(error)))
        except ValidationError:
            log.exception("an answer of %s %s is not what GitHub would send", route.method, request.url.path)
            raise
        finally:
            hub.notify()

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        return await run_in_threadpool(run, request, raw)

    return endpoint


@functools.cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    """Made once: that takes longer than to check a body."""
    return TypeAdapter(model)


def dump(model: type[BaseModel], value: Json) -> Json:
    """Check a value against one of GitHub's response models and return it as JSON; ValidationError is a bug here."""
    return model.model_validate(value).model_dump(mode="json", by_alias=True, exclude_unset=True)
