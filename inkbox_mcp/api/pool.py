"""Connections to a server that are used again, each by one request at a time.

HTTPX2's own pool looks at all of its connections twice in every request. Here, each connection is in an HTTPX2
transport of its own, and a request gets the one that was used last.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import cast

import anyio
import httpx2

SECONDS_KEPT = 5.0
"""How long a connection is kept that no request uses."""


class Pool(httpx2.AsyncBaseTransport):
    """Has as many connections as requests were under way at once within the last seconds. It does not limit them.

    Args:
        make: makes a transport that has one connection. The first is made at once, because making it can fail.
        seconds: how long to keep a connection that no request uses.
    """

    def __init__(self, make: Callable[[], httpx2.AsyncBaseTransport], seconds: float = SECONDS_KEPT) -> None:
        self._make, self._seconds = make, seconds
        self._unused = [(monotonic(), make())]
        self._in_use: set[httpx2.AsyncBaseTransport] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; see HTTPX2. Its connection is free for the next one when the response is closed."""
        transport = self._unused.pop()[1] if self._unused else self._make()
        self._in_use.add(transport)
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            # Not used again: when TLS fails behind a proxy, HTTPX2 counts the one connection as in use for ever.
            self._in_use.discard(transport)
            with anyio.CancelScope(shield=True):
                await transport.aclose()
            raise
        response.stream = _Body(response.stream, lambda: self._take_back(transport))
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in [*self._in_use, *(transport for _, transport in self._unused)]:
            await transport.aclose()

    async def _take_back(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._in_use.discard(transport)
        now = monotonic()
        self._unused.append((now, transport))
        # The first one was used the longest time ago. While it closes, other requests may take all the rest.
        while self._unused and now - self._unused[0][0] > self._seconds:
            with anyio.CancelScope(shield=True):
                await self._unused.pop(0)[1].aclose()


class _Body(httpx2.AsyncByteStream):
    """The body of an answer."""

    def __init__(self, body: object, end: Callable[[], Awaitable[None]]) -> None:
        self._body, self._end = cast("httpx2.AsyncByteStream", body), end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.__aiter__()

    async def aclose(self) -> None:
        """Close the body, and free its connection."""
        try:
            await self._body.aclose()
        finally:
            await self._end()
