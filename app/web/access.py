"""Who may use the REST API: bearers of `AUTOPACK_API_TOKEN` or of a stored token; while there is none, this machine."""

import asyncio
import hmac
import ipaddress
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app import audit_trail
from app.domain.api_scopes import allows, needed_scope
from app.runs import api_tokens
from app.web.dependencies import ServiceState, state
from app.web.problems import Problem

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What a client on this machine calls it. Another name that leads here is a browser page's trick (DNS rebinding)."""
_PROXIED = ("forwarded", "via", "x-real-ip", "x-forwarded-")
"""What the headers that proxies add begin with."""
_OTHER_PAGES = ("cross-site", "same-site")
"""`Sec-Fetch-Site` of requests that a browser sends for pages which are not this service's own."""

_bearer = HTTPBearer(auto_error=False, description="The value of AUTOPACK_API_TOKEN; none is needed while it is unset.")


async def require_access(
    request: Request,
    service: Annotated[ServiceState, Depends(state)],
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> None:
    """Let the request through, or raise a 401 or 403 problem that says what is needed."""
    sent = given.credentials if given is not None else None
    token = service.settings.autopack_api_token
    if token is not None and sent is not None and _is_same(sent, token.get_secret_value()):
        actor = "AUTOPACK_API_TOKEN"
    else:  # the stored tokens are read
        actor = await asyncio.to_thread(_actor, request, service, sent)
    if request.method != "GET":
        audit_trail.record(actor, f"{request.method} {request.url.path}", "REST API")


def _is_same(sent: str, token: str) -> bool:
    """Compared in constant time; a header's bytes come as Latin-1."""
    return hmac.compare_digest(sent.encode("latin-1"), token.encode())


def _actor(request: Request, service: ServiceState, sent: str | None) -> str:
    """Who sends the request, by the name of the stored token. Raises `Problem` where they may not."""
    known = api_tokens.find(service.db, sent) if sent is not None else None
    if known is not None:
        needed = needed_scope(request.method, request.url.path)
        if not allows(known.scopes, needed):
            raise Problem(403, f"The token {known.name} has no scope {needed}: make one with `autopack token new`")
        return f"token {known.name}"
    if service.settings.autopack_api_token is not None or api_tokens.is_needed(service.db):
        raise Problem(
            401, "Send the header Authorization: Bearer <AUTOPACK_API_TOKEN>", headers={"WWW-Authenticate": "Bearer"}
        )
    if refused := _refusal(request):
        raise Problem(403, refused)
    return "this machine"


def _refusal(request: Request) -> str | None:
    """Why a request without a token may not pass, if it may not."""
    if not _from_this_machine(request):
        return "Set AUTOPACK_API_TOKEN to use the API from another machine; without it, only this one may"
    if _by_proxy(request):
        return "Set AUTOPACK_API_TOKEN to use the API through a proxy: Autopack cannot see who is behind it"
    if _by_other_page(request):
        return "Set AUTOPACK_API_TOKEN to use the API from pages of other sites; without it, they may not"
    return None


def _from_this_machine(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        local = ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return local and _is_local(request.headers.get("host", ""))


def _by_proxy(request: Request) -> bool:
    """A proxy on this machine makes everyone local. Those that add no header mostly speak HTTP/1.0 (nginx)."""
    return request.scope["http_version"] == "1.0" or any(name.startswith(_PROXIED) for name in request.headers)


def _by_other_page(request: Request) -> bool:
    """Whether a browser sends it for a page of another site, which may POST without asking."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_local(origin.partition("://")[2]):
        return True
    return request.headers.get("sec-fetch-site") in _OTHER_PAGES


def _is_local(authority: str) -> bool:
    """Whether a host, with its port or without, is this machine's own name."""
    name, _, port = authority.lower().rpartition(":")
    return (name if port.isdecimal() else authority.lower()) in LOCAL_NAMES
