"""Replies that arrive in parts: asked for as a stream of events, given to the SDK as the whole reply they amount to.

A long thought then sends bytes all the while, so silence means that nothing comes any more, and no proxy cuts it off.
SDK, retries and repair see what they would see without a stream.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
from typing_extensions import override

_MOST_BYTES = 64 * 1024 * 1024
"""Of all events of one reply; no model's reply comes near."""
_STREAM = "text/event-stream"
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What a stream raises that is not of its protocol."""


class StreamFailed(Exception):
    """The stream reports an error, after status 200. `status` is the status that such an error has without a stream."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"the stream ended with an error of status {status}")
        self.status = status
        self.body = body


_ERROR_STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Anthropic's types of errors, https://docs.claude.com/en/api/errors."""
_BAD_REQUEST, _RATE_LIMIT, _SERVER_ERROR = 400, 429, 500


class MessagesStream:
    """Anthropic's events, https://docs.claude.com/en/docs/build-with-claude/streaming."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self._message: dict[str, Any] = {}
        self._arguments: dict[int, str] = {}

    def add(self, event: dict[str, Any]) -> None:
        """Take one event. Raises `StreamFailed` for an error, `LookupError` and its like for what is no protocol."""
        match event["type"]:
            case "message_start":
                self._message = event["message"]
            case "content_block_start":
                self._message["content"].append(event["content_block"])
            case "content_block_delta":
                self._extend(event["index"], event["delta"])
            case "content_block_stop" if event["index"] in self._arguments:
                self._message["content"][event["index"]]["input"] = _parsed(self._arguments[event["index"]])
            case "message_delta":
                self._message |= event["delta"]
                self._message["usage"] |= {name: n for name, n in event.get("usage", {}).items() if n is not None}
            case "message_stop":
                self.reply = self._message
            case "error":
                raise StreamFailed(_ERROR_STATUS.get(event["error"]["type"], _SERVER_ERROR), event)
            case _:
                pass  # pings, and kinds to come, are no part of the reply

    def _extend(self, index: int, delta: dict[str, Any]) -> None:
        block = self._message["content"][index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                self._arguments[index] = self._arguments.get(index, "") + delta["partial_json"]
            case _:
                pass


def _parsed(arguments: str) -> object:
    """A call's arguments; those that are cut stay text, as the reply's repair expects it."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


class ResponsesStream:
    """OpenAI's events, https://platform.openai.com/docs/api-reference/responses-streaming: the last holds the reply."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Take one event. Raises `StreamFailed` for an error, `LookupError` and its like for what is no protocol."""
        match event["type"]:
            case "response.completed" | "response.incomplete" | "response.failed":
                self.reply = event["response"]
            case "error":
                error = event.get("error") or {name: event.get(name) for name in ("code", "message", "param")}
                limited = "rate_limit" in str(error.get("code"))
                raise StreamFailed(_RATE_LIMIT if limited else _SERVER_ERROR, {"error": error})
            case _:
                pass


class StreamingClient(anthropic.DefaultAsyncHttpxClient):
    """Asks for a stream where the server gives one; what it refuses once is not asked of it again.

    The defaults of Anthropic's SDK serve OpenAI's as well: redirects, proxies of the environment, TCP's keep-alive.
    OpenAI refuses streams of some models to organizations that are not verified: 400 with `param: stream`
    (continuedev/continue#8209, lobehub/lobehub#9385).
    """

    def __init__(self, protocol: Callable[[], MessagesStream | ResponsesStream]) -> None:
        super().__init__()
        self._protocol = protocol
        self._streams = True

    @override
    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send it as `AsyncClient` does. Raises `httpx2.RemoteProtocolError` for a stream that breaks off."""
        if self._streams:
            response = await super().send(_asking_for_stream(request), stream=True, **options)
            try:
                if response.headers.get("content-type", "").startswith(_STREAM):
                    return await _whole(response, self._protocol())
                await response.aread()
            finally:
                await response.aclose()
            if not (response.status_code == _BAD_REQUEST and "stream" in response.text):
                return response
            self._streams = False
        return await super().send(request, stream=stream, **options)


def _asking_for_stream(request: httpx2.Request) -> httpx2.Request:
    body = request.content[:-1] + b',"stream":true}'
    headers = [(name, value) for name, value in request.headers.multi_items() if name != "content-length"]
    return httpx2.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


async def _whole(response: httpx2.Response, reply: MessagesStream | ResponsesStream) -> httpx2.Response:
    """The response as it had been without a stream. An empty object stands for what is not of the protocol."""
    size = 0
    try:
        async for event in httpx2.EventSource(response, max_event_size=_MOST_BYTES):
            size += len(event.data)
            if size > _MOST_BYTES:
                return _answer(response, 200, {})
            if event.data and event.data != "[DONE]":
                reply.add(json.loads(event.data))
            if reply.reply is not None:
                return _answer(response, 200, reply.reply)
    except StreamFailed as failed:
        return _answer(response, failed.status, failed.body)
    except _UNREADABLE:
        return _answer(response, 200, {})
    raise httpx2.RemoteProtocolError("the stream ended before the reply did", request=response.request)


def _answer(response: httpx2.Response, status: int, body: Any) -> httpx2.Response:
    kept = {name: value for name, value in response.headers.items() if name in {"request-id", "x-request-id"}}
    # Escaped to ASCII: a reply may hold half of a surrogate pair, which is no UTF-8.
    content = json.dumps(body).encode()
    return httpx2.Response(
        status,
        headers=kept | {"content-type": "application/json"},
        content=content,
        request=response.request,
        extensions=response.extensions,
    )
