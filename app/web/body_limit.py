"""How large a request may be: what is over the limit is refused before it fills the memory.

FastAPI's own `max_body_size` answers in plain text where a length is announced; here every error is a problem document.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import answer

LIMIT_BYTES = 32 * 1024 * 1024
"""A patch of four million characters fits, however its characters are escaped in JSON."""
WEBHOOK_BYTES = 25 * 1024 * 1024
"""GitHub's own cap on a payload."""
WEBHOOK_PATH = "/webhooks/github"


class BodyLimit:
    """Answers 413 to a body over the limit of its path, whether its length is announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = WEBHOOK_BYTES if scope["path"] == WEBHOOK_PATH else LIMIT_BYTES
        too_large = f"the body is larger than {limit:,} bytes"
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limit:
            await answer(413, too_large)(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, too_large)
            return message

        await self._app(scope, counted, send)
