"""Conditional requests: GitHub is asked whether its last answer still holds, and a 304 does not count.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api

An answer is never stale: GitHub is asked each time, and says whether it is still the same. hishel, which githubkit
offers for this, keeps all answers without a bound, job logs too.
"""

import threading
from collections import OrderedDict
from typing import NamedTuple

import httpx

MAX_ENTRIES = 2_000
MAX_BYTES = 200_000
"""Of one answer; longer ones are not kept."""
_NOT_MODIFIED = 304
_OF_THE_BODY = {"content-encoding", "content-length", "transfer-encoding"}


class Kept(NamedTuple):
    """An answer of GitHub, with its tag."""

    tag: str
    headers: list[tuple[str, str]]
    body: bytes


class AnswerCache:
    """The newest answers by address, for every event loop of the process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, address: str) -> Kept | None:
        """The answer that was kept for an address."""
        with self._lock:
            if address in self._kept:
                self._kept.move_to_end(address)
            return self._kept.get(address)

    def keep(self, address: str, kept: Kept) -> None:
        """Keep an answer, and forget the one that was longest unused where there are too many."""
        with self._lock:
            self._kept[address] = kept
            self._kept.move_to_end(address)
            if len(self._kept) > MAX_ENTRIES:
                self._kept.popitem(last=False)


class ConditionalTransport(httpx.AsyncBaseTransport):
    """Sends reads of JSON with the tag of the answer before, and answers a 304 with that."""

    def __init__(self, transport: httpx.AsyncBaseTransport, cache: AnswerCache) -> None:
        self._transport = transport
        self._cache = cache

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            return await self._transport.handle_async_request(request)
        address = str(request.url)
        kept = self._cache.find(address)
        request.headers.pop("If-None-Match", None)  # of another address, where this is the way of a redirect
        if kept is not None:
            request.headers["If-None-Match"] = kept.tag
        response = await self._transport.handle_async_request(request)
        if response.status_code == _NOT_MODIFIED and kept is not None:
            await response.aclose()
            limits = [(name, value) for name, value in response.headers.items() if name.startswith("x-ratelimit-")]
            newer = {name for name, _ in limits}
            headers = [pair for pair in kept.headers if pair[0] not in newer] + limits
            return httpx.Response(200, headers=headers, content=kept.body)
        return await self._keep(address, response)

    async def _keep(self, address: str, response: httpx.Response) -> httpx.Response:
        tag = response.headers.get("etag")
        is_json = response.headers.get("content-type", "").startswith("application/json")
        if response.status_code != 200 or tag is None or not is_json:
            return response
        body = await response.aread()
        headers = [(name, value) for name, value in response.headers.items() if name not in _OF_THE_BODY]
        if len(body) <= MAX_BYTES:
            self._cache.keep(address, Kept(tag, headers, body))
        return httpx.Response(200, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._transport.aclose()
