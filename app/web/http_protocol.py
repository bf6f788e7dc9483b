"""HTTP as uvicorn speaks it with httptools, and a deadline for the head of each request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0
"""A request's line and headers have to be there by then; a reverse proxy's own deadline is longer."""


class HttpProtocol(HttpToolsProtocol):
    """One connection. A sender who never ends a head would keep it open for ever."""

    _head_timer: asyncio.TimerHandle | None = None
    _begun = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is None and (not self._begun or self.cycle.response_complete):
            self._await_head()

    def on_headers_complete(self) -> None:
        self._forget_timer()
        self._begun = True
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_without_head)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_without_head(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
