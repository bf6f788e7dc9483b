"""Connections to GitHub, shared by all clients of the App: a client for each repository costs next to nothing."""

import asyncio
import functools
import ssl
import urllib.request
from weakref import WeakKeyDictionary

import httpx

from app.github.conditional import AnswerCache, ConditionalTransport

LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


@functools.cache
def tls_context() -> ssl.SSLContext:
    """httpx's own TLS context. All clients share it: reading the certificate authorities takes 20 ms."""
    return httpx.create_ssl_context()


class _Network(httpx.AsyncBaseTransport):
    """Straight to the server, or through the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY`).

    httpx itself reads those only where it makes the transport.
    """

    def __init__(self) -> None:
        self._by_proxy: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = _proxy_of(request.url)
        if proxy not in self._by_proxy:
            self._by_proxy[proxy] = httpx.AsyncHTTPTransport(verify=tls_context(), limits=LIMITS, proxy=proxy)
        return await self._by_proxy[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._by_proxy.values():
            await transport.aclose()


def _proxy_of(url: httpx.URL) -> str | None:
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    return None if proxy is None or urllib.request.proxy_bypass(url.host) else proxy


class Connections:
    """One pool for each event loop: connections belong to the loop that opened them."""

    def __init__(self) -> None:
        self._answers = AnswerCache()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, ConditionalTransport] = WeakKeyDictionary()

    def pool(self) -> ConditionalTransport:
        """The pool of this event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            self._pools[loop] = ConditionalTransport(_Network(), self._answers)
        return self._pools[loop]

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.aclose()
