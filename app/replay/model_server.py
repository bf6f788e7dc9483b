"""The server: chooses the recorded reply from the request alone, so a repeated request gets the same answer."""

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from app.replay import event_streams
from app.replay.recording import ANY, Recording, Turn
from app.replay.refusals import BadRequest, check_azure_version, check_window
from app.replay.wire import Conversation, Vendor, read_request, tokens_of, write_error, write_reply

HEADERS = {"x-autopack-recorded": "true"}
"""On every response, so that no one takes a recorded answer for a model's."""

_START_SECONDS = 10.0
_HOLD_SECONDS = 120.0
_POLL_SECONDS = 0.01
_PING_SECONDS = 0.1


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived. `at` is seconds since the epoch; `body_characters` counts the whole JSON body."""

    role: str
    repository: str
    phase: str | None
    attempt: int
    turn: int
    vendor: Vendor
    model: str
    at: float
    body_characters: int
    system: str
    tools: tuple[str, ...]
    body: bytes


@dataclass(frozen=True)
class _Hold:
    role: str | None
    turn: int | None

    def covers(self, asked: Conversation) -> bool:
        return self.role in {None, asked.role} and self.turn in {None, asked.turn}


class ModelServer:
    """Plays recordings on a loopback port, in a thread of its own. Used as a context manager or by `start`/`stop`."""

    def __init__(self, recordings: Mapping[str, Recording] | None = None, *, port: int = 0) -> None:
        """`port` 0 takes a free one. Nothing is bound before `start`."""
        self.window_tokens: int | None = None
        """Of every model; larger requests are refused."""
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda _: None
        """The body of a 400 for requests that a server of one's own would not take; None for the others."""
        self._recordings = dict(recordings or {})
        self._wanted_port = port
        self._requests: list[RecordedRequest] = []
        self._answered: list[tuple[str, str, str | None, int, int, int]] = []
        self._failures: Counter[tuple[object, ...]] = Counter()
        self._hold: _Hold | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    def start(self) -> None:
        """Serve. Raises `OSError` if the port is taken, `TimeoutError` if the server does not come up in 10 s."""
        # Named TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._wanted_port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._application(), log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="model-server", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the model server did not start")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop serving; held requests are answered with 503."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_START_SECONDS)

    def wait(self) -> None:
        """Block until the server ends."""
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "ModelServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def anthropic_base_url(self) -> str:
        return self.url

    @property
    def openai_base_url(self) -> str:
        """Of OpenAI, and of a local server."""
        return f"{self.url}/v1"

    @property
    def azure_endpoint(self) -> str:
        return self.url

    def play(self, repository: str, recording: Recording | Mapping[str, Any]) -> None:
        """Answer for `repository` (full name, or `*`) from this recording from now on."""
        self._recordings[repository] = Recording.model_validate(recording)
        for place in [place for place in self._failures if repository in {place[0], ANY}]:
            del self._failures[place]

    def requests(self) -> list[RecordedRequest]:
        """Every request so far in order of arrival, held and failed ones too."""
        return list(self._requests)

    def tokens_answered(self, repository: str) -> tuple[int, int]:
        """Tokens of all answers for a repository, each request once; and of answers to a request sent again."""
        counted: dict[tuple[str, str | None, int, int], int] = {}
        repeated = 0
        for answered_for, role, phase, attempt, turn, tokens in list(self._answered):
            if answered_for == repository:
                repeated += tokens if (role, phase, attempt, turn) in counted else 0
                counted[role, phase, attempt, turn] = tokens
        return sum(counted.values()), repeated

    def hold(self, *, role: str | None = None, turn: int | None = None) -> None:
        """Keep matching requests waiting until `release`, at most 120 s (then 503)."""
        self._hold = _Hold(role, turn)

    def release(self) -> None:
        self._hold = None

    def _application(self) -> FastAPI:
        application = FastAPI(openapi_url=None)

        async def messages(request: Request) -> Response:
            return await self._answer("anthropic", await request.body())

        async def responses(request: Request) -> Response:
            return await self._answer("openai", await request.body())

        async def azure_responses(request: Request) -> Response:
            version = request.query_params.get("api-version", "")
            return await self._answer("azure", await request.body(), version)

        async def chat_completions(request: Request) -> Response:
            return await self._answer("local", await request.body())

        application.add_api_route("/v1/messages", messages, methods=["POST"])
        application.add_api_route("/v1/responses", responses, methods=["POST"])
        # Where the SDK's AsyncAzureOpenAI asks: the deployment is in the body, not in the path (openai/lib/azure.py).
        application.add_api_route("/openai/responses", azure_responses, methods=["POST"])
        application.add_api_route("/v1/chat/completions", chat_completions, methods=["POST"])
        return application

    async def _answer(self, vendor: Vendor, raw: bytes, azure_version: str = "") -> Response:
        try:
            if vendor == "azure":
                check_azure_version(azure_version)
            asked = read_request(vendor, raw)
            self._note(asked, raw)
            check_window(vendor, asked.tokens, self.window_tokens)
            refused = self.refuse(json.loads(raw))
            if refused is not None:
                return Response(refused, 400, HEADERS, media_type="application/json")
            turn = self._find(asked)
            if not await self._wait(_HOLD_SECONDS, lambda: not self._held(asked)):
                return _error(vendor, 503, "the request was held until the server stopped or 120 s had passed")
            if turn.hang_seconds is not None:
                await self._wait(turn.hang_seconds, lambda: False)
            if turn.status is not None:
                return _error(vendor, turn.status, "recorded failure")
            if turn.odd is not None and turn.odd.body is not None:
                return Response(turn.odd.body, 200, HEADERS, media_type=turn.odd.content_type)
            body = write_reply(asked, turn)
            self._answered.append(
                (asked.repository, asked.role, asked.phase, asked.attempt, asked.turn, tokens_of(body))
            )
            if turn.odd is not None:
                return _response(200, turn.odd.distort(body))
            if asked.streamed:
                events = self._events(asked.vendor, body, turn.thinks_seconds or 0.0)
                return StreamingResponse(events, 200, HEADERS, media_type=event_streams.MEDIA_TYPE)
            if turn.thinks_seconds is not None:
                await self._wait(turn.thinks_seconds, lambda: False)
            return _response(200, body)
        except BadRequest as error:
            return _response(400, write_error(vendor, 400, str(error), error.param, error.code))

    async def _events(self, vendor: Vendor, body: dict[str, Any], thinks_seconds: float) -> AsyncIterator[str]:
        thinks_until = time.monotonic() + thinks_seconds
        while time.monotonic() < thinks_until:
            yield event_streams.ping(vendor)
            await asyncio.sleep(_PING_SECONDS)
        for event in event_streams.stream(vendor, body):
            yield event

    def _find(self, asked: Conversation) -> Turn:
        recording = self._recordings.get(asked.repository) or self._recordings.get(ANY)
        if recording is None:
            raise BadRequest(f"no recording for {asked.repository}")
        try:
            turn = recording.find(asked.role, asked.phase, asked.attempt, asked.turn)
        except KeyError as missing:
            raise BadRequest(f"the recording for {asked.repository} has no {missing.args[0]}") from missing
        if not turn.fails:
            return turn
        if turn.only_for is not None and turn.only_for not in {asked.vendor, asked.model}:
            return turn.without_failure()
        place = (asked.repository, asked.role, asked.phase, asked.attempt, asked.turn)
        self._failures[place] += 1
        if turn.times is not None and self._failures[place] > turn.times:
            return turn.without_failure()
        return turn

    def _held(self, asked: Conversation) -> bool:
        return self._hold is not None and self._hold.covers(asked)

    async def _wait(self, seconds: float, over: Callable[[], bool]) -> bool:
        """Wait until `over()`; False when the time has passed or the server is stopping."""
        deadline = time.monotonic() + seconds
        while not over():
            if time.monotonic() > deadline or (self._server is not None and self._server.should_exit):
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _note(self, asked: Conversation, raw: bytes) -> None:
        self._requests.append(
            RecordedRequest(
                role=asked.role,
                repository=asked.repository,
                phase=asked.phase,
                attempt=asked.attempt,
                turn=asked.turn,
                vendor=asked.vendor,
                model=asked.model,
                at=time.time(),
                body_characters=asked.body_characters,
                system=asked.system,
                tools=asked.tools,
                body=raw,
            )
        )


def _error(vendor: Vendor, status: int, message: str) -> Response:
    return _response(status, write_error(vendor, status, message))


def _response(status: int, body: dict[str, Any]) -> Response:
    # Escaped to ASCII: a recording may hold text that is not valid Unicode, as a model's reply may.
    return Response(json.dumps(body), status, HEADERS, media_type="application/json")
