"""Who may use the REST API: bearers of `AUTOPACK_API_TOKEN`; while none is set, this machine only."""

import hmac
import ipaddress
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.web.problems import Problem
from app.web.state import State, state

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What a client on this machine calls it. Another name that leads here is a browser page's trick (DNS rebinding)."""

_bearer = HTTPBearer(auto_error=False, description="The value of AUTOPACK_API_TOKEN; none is needed while it is unset.")


async def require_access(
    request: Request,
    service: Annotated[State, Depends(state)],
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> None:
    """Let the request through, or raise a 401 or 403 problem that says what is needed."""
    token = service.settings.autopack_api_token
    if token is None:
        if not _from_here(request):
            raise Problem(
                403, "Set AUTOPACK_API_TOKEN to use the API from another machine; without it, only this one may"
            )
        return
    wanted = token.get_secret_value().encode()  # a header's bytes come as Latin-1
    if given is None or not hmac.compare_digest(given.credentials.encode("latin-1"), wanted):
        raise Problem(
            401, "Send the header Authorization: Bearer <AUTOPACK_API_TOKEN>", headers={"WWW-Authenticate": "Bearer"}
        )


def _from_here(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        local = ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    name = request.headers.get("host", "").lower()
    return local and (name.rpartition(":")[0] if name.rpartition(":")[2].isdecimal() else name) in LOCAL_NAMES
