"""Connections are used again, the last one first, and are not kept for long without a request."""

import gc
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import httpx2
import pytest
from anyio.abc import SocketStream

from inkbox_mcp.api.network import over_the_network
from inkbox_mcp.api.pool import Pool
from tests.support.processes import PATIENCE

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers requests when the test allows it, and counts its connections."""

    def __init__(self) -> None:
        self.opened, self.open, self.asked = 0, 0, 0
        self.may, self.changed = anyio.Event(), anyio.Event()
        self.may.set()
        self.origin, self.answer = "", ANSWER
        self._streams: set[SocketStream] = set()

    async def serve(self, stream: SocketStream) -> None:
        """Serve one connection."""
        self._note(opened=1, now=1)
        self._streams.add(stream)
        try:
            async with stream:
                while True:
                    await stream.receive()
                    self._note(asked=1)
                    await self.may.wait()
                    await stream.send(self.answer)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self._note(now=-1)

    async def hang_up(self) -> None:
        """Close all connections."""
        for stream in self._streams:
            await stream.send_eof()

    def _note(self, *, opened: int = 0, now: int = 0, asked: int = 0) -> None:
        self.opened, self.open, self.asked = self.opened + opened, self.open + now, self.asked + asked
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, *, asked: int = 0, open_now: int | None = None) -> None:
        """Wait for requests, and for a number of open connections."""
        with anyio.fail_after(PATIENCE):
            while self.asked < asked or open_now not in {None, self.open}:
                await self.changed.wait()


@asynccontextmanager
async def serving() -> AsyncGenerator[Server]:
    """Run a server."""
    server = Server()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        server.origin = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()


def pool(seconds: float) -> Pool:
    """Make a pool that keeps connections for so long."""
    limits = httpx2.Limits(max_connections=1)
    return Pool(lambda: httpx2.AsyncHTTPTransport(limits=limits), seconds)


async def get(connections: Pool, origin: str) -> bytes:
    """Send a request and read the answer."""
    response = await connections.handle_async_request(httpx2.Request("GET", origin))
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def side_by_side(connections: Pool, server: Server, number: int) -> None:
    """Send requests at the same time; none is answered before all have come."""
    server.may, before = anyio.Event(), server.asked
    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(get, connections, server.origin)
        await server.until(asked=before + number)
        server.may.set()


async def test_one_request_after_another_needs_one_connection() -> None:
    """Opening one takes longer than a request."""
    async with serving() as server, over_the_network(server.origin) as connections:
        assert [await get(connections, server.origin) for _ in range(5)] == [b"ok"] * 5
        assert server.opened == 1


async def test_requests_at_the_same_time_have_connections_of_their_own_which_are_all_used_again() -> None:
    """With TLS, opening some of them again and again would take longer than the requests."""
    async with serving() as server, over_the_network(server.origin) as connections:
        for _ in range(3):
            await side_by_side(connections, server, 32)
        assert (server.opened, server.open) == (32, 32)


async def test_connections_that_no_request_has_used_for_some_time_are_closed() -> None:
    """A request uses the one that was used last, so the others get old."""
    async with serving() as server, pool(seconds=0.1) as connections:
        await side_by_side(connections, server, 5)
        await anyio.sleep(0.2)
        await get(connections, server.origin)
        await server.until(open_now=1)
        assert server.opened == 5


async def test_a_request_may_take_the_last_connection_while_old_ones_are_closed() -> None:
    """The request that closes them has given its own one back already."""
    async with serving() as server, pool(seconds=0) as connections:
        request = httpx2.Request("GET", server.origin)
        first, second = [await connections.handle_async_request(request) for _ in range(2)]
        await first.aread()
        assert [chunk async for chunk in cast("httpx2.AsyncByteStream", second.stream)] == [b"ok"]  # leaves it open
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second.aclose)
            tasks.start_soon(get, connections, server.origin)
        assert server.asked == 3


async def test_a_connection_that_is_kept_holds_nothing_of_the_last_answer() -> None:
    """As many are kept as a burst needed, and each of its answers may be large."""
    async with serving() as server, over_the_network(server.origin) as connections:
        await get(connections, server.origin)
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000
        tracemalloc.start()
        try:
            assert len(await get(connections, server.origin)) == 8_000_000
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()
        assert server.opened == 1


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """The next request gets a new one."""
    async with serving() as server, over_the_network(server.origin) as connections:
        await get(connections, server.origin)
        await server.hang_up()
        assert await get(connections, server.origin) == b"ok"
        assert server.opened == 2


async def test_a_request_that_is_given_up_leaves_no_connection() -> None:
    """Its answer could come to the next one."""
    async with serving() as server, over_the_network(server.origin) as connections:
        server.may = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, connections, server.origin)
            await server.until(asked=1)
            tasks.cancel_scope.cancel()
        server.may.set()
        await server.until(open_now=0)
        assert await get(connections, server.origin) == b"ok"
        assert server.opened == 2


async def test_a_body_that_is_given_up_leaves_no_connection() -> None:
    """The rest of it could come to the next one."""
    async with serving() as server, over_the_network(server.origin) as connections:
        server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
        response = await connections.handle_async_request(httpx2.Request("GET", server.origin))
        await response.aclose()
        await server.until(open_now=0)
        server.answer = ANSWER
        assert await get(connections, server.origin) == b"ok"


async def test_at_the_end_all_connections_are_closed() -> None:
    """Also one with a request under way, which fails."""
    async with serving() as server:
        connections = over_the_network(server.origin)
        await side_by_side(connections, server, 2)
        server.may = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def fail() -> None:
                with pytest.raises(httpx2.NetworkError):
                    await get(connections, server.origin)

            tasks.start_soon(fail)
            await server.until(asked=3)
            await connections.aclose()
        server.may.set()
        await server.until(open_now=0)


async def test_after_a_failure_the_next_request_is_sent() -> None:
    """The server may be back."""
    async with serving() as server:
        origin = server.origin
    async with over_the_network(origin) as connections, serving() as server:
        with pytest.raises(httpx2.ConnectError):
            await get(connections, origin)
        assert await get(connections, server.origin) == b"ok"


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch, no_proxies: None) -> AsyncGenerator[Server]:
    """A proxy that allows each tunnel. What follows in it should be TLS."""
    async with serving() as server:
        monkeypatch.setenv("HTTPS_PROXY", server.origin)
        server.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        yield server


BEHIND = "https://inkbox.example"


async def test_after_a_failure_behind_a_proxy_the_next_request_is_sent(proxy: Server) -> None:
    """HTTPX2 keeps the connection whose TLS failed, and would wait for it."""
    async with over_the_network(BEHIND) as connections:
        for _ in range(3):
            with anyio.fail_after(PATIENCE), pytest.raises(httpx2.ConnectError):
                await get(connections, BEHIND)
        assert proxy.opened == 3


async def test_a_request_that_is_given_up_behind_a_proxy_leaves_no_connection(proxy: Server) -> None:
    """Also one in the middle of TLS."""
    async with over_the_network(BEHIND) as connections:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, connections, BEHIND)
            await proxy.until(asked=1)
            proxy.may = anyio.Event()
            await proxy.until(asked=2)
            tasks.cancel_scope.cancel()
        proxy.may.set()
        await proxy.until(open_now=0)
