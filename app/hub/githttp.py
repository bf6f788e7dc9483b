"""git over HTTP: `git http-backend` for the bare repositories, with GitHub's tokens and refusals."""

import base64
import subprocess
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from app.hub.auth import Actor, allow, authenticate, credentials
from app.hub.git_repos import ZERO, bare, environment
from app.hub.github_problems import Refusal
from app.hub.refs import moved, policy
from app.hub.routing import Moved, find_repository
from app.hub.serializers import full_name
from app.hub.state import HubState
from app.hub.store import Row

SERVICES = {"git-upload-pack": ("contents:read", "read"), "git-receive-pack": ("contents:write", "write")}
SECONDS = 120
# In these words for expired tokens: https://github.com/suzuki-shunsuke/ghtkn/issues/165
UNAUTHORIZED = "Invalid username or token. Password authentication is not supported for Git operations."


def mount(app: FastAPI, hub: HubState) -> None:
    """Add the three addresses of git's smart HTTP."""

    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        return await run_in_threadpool(_serve, hub, request, raw)

    for path, method in (("info/refs", "GET"), ("git-upload-pack", "POST"), ("git-receive-pack", "POST")):
        app.add_api_route(f"/{{owner}}/{{repo}}.git/{path}", endpoint, methods=[method], response_model=None)


def _serve(hub: HubState, request: Request, raw: bytes) -> Response:
    service = request.query_params.get("service") or request.url.path.rpartition("/")[2]
    if service not in SERVICES:
        return PlainTextResponse("Only smart HTTP is supported.", 403)
    try:
        with hub.store.transaction():
            repo = find_repository(hub, request.path_params["owner"], request.path_params["repo"])
            actor = _actor(hub, request, repo, service)
            variables = policy(hub, repo, actor) if actor else {}
    except Moved as elsewhere:
        # https://docs.github.com/en/repositories/creating-and-managing-repositories/renaming-a-repository
        with hub.store.transaction():
            name = full_name(hub, hub.store.get("repositories", elsewhere.repo_id))
        rest = request.url.path.partition(".git/")[2]
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{hub.url}/{name}.git/{rest}{query}", 301)
    except Refusal as refusal:
        if refusal.status == 401:
            return PlainTextResponse(UNAUTHORIZED, 401, {"WWW-Authenticate": 'Basic realm="GitHub"'})
        return PlainTextResponse(refusal.body["message"], refusal.status)
    pushes = service == "git-receive-pack" and request.method == "POST"
    before = bare(hub, repo).refs() if pushes else {}
    response = _backend(hub, request, raw, repo, variables)
    if pushes and actor:
        with hub.store.transaction():
            _announce(hub, repo, actor, before)
        hub.notify()
    return response


def _actor(hub: HubState, request: Request, repo: Row, service: str) -> Actor | None:
    """Who fetches or pushes; None for an anonymous fetch of a public repository."""
    token = credentials(request.headers.get("authorization"))
    if token is None and service == "git-upload-pack" and not repo["private"]:
        return None
    actor = authenticate(hub, token)
    needs, user_role = SERVICES[service]
    allow(hub, actor, repo, needs, user_role)
    return actor


def _announce(hub: HubState, repo: Row, actor: Actor, before: dict[str, str]) -> None:
    git = bare(hub, repo)
    after = git.refs()
    for ref in sorted(before.keys() | after.keys()):
        old, new = before.get(ref, ZERO), after.get(ref, ZERO)
        if old != new:
            forced = ZERO not in (old, new) and not git.is_ancestor(old, new)
            moved(hub, repo, actor, ref, old, new, forced=forced)


def _backend(hub: HubState, request: Request, raw: bytes, repo: Row, variables: dict[str, str]) -> Response:
    """Run the CGI program that ships with git, and turn its output into a response."""
    path = request.url.path.split(".git/", 1)[1]
    cgi = {
        "GIT_PROJECT_ROOT": str(hub.root / "git"),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repo['id']}.git/{path}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.url.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_USER": "token",
    }
    done = subprocess.run(
        ["git", "http-backend"],
        input=raw,
        capture_output=True,
        env=environment(**cgi, **variables),
        timeout=SECONDS,
        check=False,
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers: dict[str, Any] = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(str(headers.pop("Status", "200")).split(" ")[0])
    return Response(body, status, headers)


def basic(token: str) -> str:
    """The Authorization header with which git sends a token."""
    return "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
