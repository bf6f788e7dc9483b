"""Requests that change something on GitHub: who must agree before each, and the audit log's line after it."""

from collections.abc import Awaitable, Callable

import httpx

from app import audit_trail

_READING = frozenset({"GET", "HEAD"})


class Writes:
    """The hooks of one App's clients."""

    def __init__(self) -> None:
        self.before: Callable[[], Awaitable[None]] | None = None
        """Awaited before each; what it raises keeps the request back."""

    async def begin(self, request: httpx.Request) -> None:
        """Before a request is sent."""
        if self.before is not None and request.method not in _READING:
            await self.before()

    async def note(self, response: httpx.Response) -> None:
        """After it is answered."""
        request = response.request
        if request.method not in _READING:
            audit_trail.record("Autopack", f"{request.method} {request.url.path}", "GitHub", response.status_code)
