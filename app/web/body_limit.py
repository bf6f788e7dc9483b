"""How large a request may be: what is over the limit is refused before it fills the memory.

FastAPI's own `max_body_size` answers in plain text where a length is announced; here every error is a problem document.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import answer

LIMIT_BYTES = 32 * 1024 * 1024
"""A patch of four million characters fits, however its characters are escaped in JSON."""


class BodyLimit:
    """Answers 413 to a body over the limit, whether its length is announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = f"the body is larger than {LIMIT_BYTES:,} bytes"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > LIMIT_BYTES:
            await answer(413, too_large)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LIMIT_BYTES:
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, counted, send)
