"""Faults that a test orders: what a REST call meets instead of its answer, on a connection that may break."""

import asyncio
import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal[
    "401",
    "403",
    "404",
    "410",
    "422",
    "502",
    "500",
    "secret",
    "too_quickly",
    "passing",
    "secondary_limit",
    "reset_before",
    "reset_after",
    "timeout",
]
RULES: dict[str, tuple[int, str]] = {
    # https://docs.github.com/en/code-security/how-tos/secure-your-secrets/prevent-future-leaks/push-protection-rest-api
    "secret": (409, "Repository rule violations found\n\nSecret detected in content\n\n"),
    # https://github.com/cli/cli/issues/4801
    "too_quickly": (422, "Validation Failed: was submitted too quickly"),
}
"""Refusals with a status and words of their own."""
PASSING = (
    "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug."
)
"""An error of GraphQL, in a 200, that the next try may not meet (octokit/plugin-retry.js#395)."""
REFUSALS = {
    "403": "Resource not accessible by integration",
    "404": "Not Found",
    "410": "Issues are disabled for this repo",
    "422": "Validation Failed",
}
"""Status and words of refusals; 403 as in https://github.com/github/gh-aw/issues/35726, 410 as in
https://github.com/ossf/allstar/issues/64."""
GRAPHQL_TYPES = {"403": "FORBIDDEN", "404": "NOT_FOUND"}
TIMEOUT_SECONDS = 60.0


@dataclass
class Fault:
    """The next `times` calls that match (full path, `re.search`) fail, once `after` matching calls have passed."""

    method: str
    path: str
    kind: Kind
    times: int | None = 1
    """None: all of them."""
    after: int = 0
    met: bool = False


@dataclass
class Faults:
    """The ordered faults: calls meet them in the order they were added, `add` is safe from any thread."""

    waiting: list[Fault] = field(default_factory=list[Fault])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, method: str, path: str, kind: Kind, *, times: int | None = 1, after: int = 0) -> None:
        """Order a fault for `times` calls (None: all) after the first `after` that match method and path."""
        with self.lock:
            self.waiting.append(Fault(method, path, kind, times, after))

    def clear(self) -> None:
        """Forget all faults that have not happened."""
        with self.lock:
            self.waiting.clear()

    def take(self, method: str, path: str) -> Kind | None:
        """The fault this call meets, or None."""
        with self.lock:
            for fault in self.waiting:
                if fault.method != method or not re.search(fault.path, path):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    return None
                fault.met = True
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.waiting.remove(fault)
                return fault.kind
        return None


def _problem(kind: Kind, path: str) -> JSONResponse:
    if kind == "secondary_limit":
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return JSONResponse({"message": message, "status": "403"}, 403, {"Retry-After": "1"})
    if kind == "401":  # a token that was revoked, for REST and for git
        return JSONResponse({"message": "Bad credentials", "status": "401"}, 401, {"WWW-Authenticate": "Basic"})
    if kind in RULES:
        status, message = RULES[kind]
        return JSONResponse({"message": message, "status": str(status)}, status)
    if kind == "passing":
        return JSONResponse({"data": None, "errors": [{"message": PASSING}]})
    if path == "/graphql" and kind in REFUSALS:  # as in https://github.com/github/gh-aw/issues/35726
        error = {"type": GRAPHQL_TYPES.get(kind, "UNPROCESSABLE"), "message": REFUSALS[kind]}
        return JSONResponse({"data": None, "errors": [error]})
    return JSONResponse({"message": REFUSALS.get(kind, "Server Error"), "status": kind}, int(kind))


async def _drop(receive: Receive, send: Send) -> None:
    """Break the connection without an answer: uvicorn's cycle, whose bound method `send` is, knows its transport."""
    cycle: Any = getattr(send, "__self__", None)
    cycle.transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _swallow(message: Message) -> None:
    del message


@dataclass(frozen=True)
class FaultMiddleware:
    """Outermost part of the application: decides before anything else whether a call goes wrong."""

    app: ASGIApp
    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = self.faults.take(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if kind is None:
            await self.app(scope, receive, send)
        elif kind == "reset_before":
            await _drop(receive, send)
        elif kind == "reset_after":
            await self.app(scope, receive, _swallow)
            await _drop(receive, send)
        elif kind == "timeout":
            await self._hang(receive)
            await _drop(receive, send)
        else:
            await _problem(kind, scope["path"])(scope, receive, send)

    async def _hang(self, receive: Receive) -> None:
        """Keep silent until the client gives up, for at most a minute."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return
