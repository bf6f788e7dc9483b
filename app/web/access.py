"""Who may use the REST API: bearers of `AUTOPACK_API_TOKEN` or of a stored token; while there is none, this machine."""

import asyncio
import hmac
import ipaddress
import logging
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

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

audit = logging.getLogger("autopack.audit")
_bearer = HTTPBearer(auto_error=False, description="The value of AUTOPACK_API_TOKEN; none is needed while it is unset.")


async def require_access(
    request: Request,
    service: Annotated[ServiceState, Depends(state)],
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> None:
    """Let the request through, or raise a 401 or 403 problem that says what is needed."""
    actor = await asyncio.to_thread(_actor, request, service, given.credentials if given is not None else None)
    if request.method != "GET":
        audit.info("%s", f"{request.method} {request.url.path}", extra={"actor": actor, "where": "REST API"})


def _actor(request: Request, service: ServiceState, sent: str | None) -> str:
    """Who sends the request, by the name of the token. Raises `Problem` where they may not."""
    token = service.settings.autopack_api_token
    if sent is not None:
        sent_bytes = sent.encode("latin-1")  # as a header's bytes come
        if token is not None and hmac.compare_digest(sent_bytes, token.get_secret_value().encode()):
            return "AUTOPACK_API_TOKEN"
        known = api_tokens.find(service.db, sent)
        needed = needed_scope(request.method, request.url.path)
        if known is not None and allows(known.scopes, needed):
            return f"token {known.name}"
        if known is not None:
            raise Problem(403, f"The token {known.name} has no scope {needed}: make one with `autopack token new`")
    stored = [] if token is not None else api_tokens.list_all(service.db)
    if token is not None or any(not one.made_by_start for one in stored):
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
