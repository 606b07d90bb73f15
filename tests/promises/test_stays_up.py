"""Clients that send nothing, too little, too slowly or too much must not stop the server from answering others."""

import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
import uvicorn
from anyio.abc import SocketStream
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from inkbox_mcp.http.asgi_server import listen
from inkbox_mcp.http.connections import Limits, Server
from inkbox_mcp.http.limits import BodyLimits
from tests.support.processes import COMMAND, PATIENCE, start_process

pytestmark = pytest.mark.posix

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHORT, LONG = 0.2, 3600.0
"""Seconds: a time limit that a test waits for, and one that it never reaches."""


class Application:
    """Answers every request with `size` bytes, and never reads a body. A large answer waits for the client to leave."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self.left = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            raise AssertionError  # tells Uvicorn that the application has no lifespan
        length = str(self._size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": b"x" * self._size})
        if self._size > 2:
            message: Message = {}
            while message.get("type") != "http.disconnect":
                message = await receive()
            self.left.set()


class Served:
    """A server in this process."""

    def __init__(self, port: int, server: Server) -> None:
        self.port = port
        self.server = server

    async def connect(self) -> SocketStream:
        """Open a connection."""
        return await anyio.connect_tcp("127.0.0.1", self.port)

    async def is_closed(self, stream: SocketStream, *, seconds: float = PATIENCE) -> bool:
        """Whether the server closes a connection within some seconds; earlier bytes are ignored."""
        with anyio.move_on_after(seconds):
            try:
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return True
        return False


async def answered(stream: SocketStream, request: bytes = REQUEST, *, times: int = 1) -> None:
    """Send a request, and wait for its answer."""
    await stream.send(request)
    got = b""
    with anyio.fail_after(PATIENCE):
        while got.count(b"xx") < times:
            got += await stream.receive()


async def never_closed(stream: SocketStream, piece: bytes) -> None:
    """Send a piece at short intervals until the server closes the connection."""
    with anyio.fail_after(PATIENCE):
        try:
            while True:
                await stream.send(piece)
                with anyio.move_on_after(SHORT / 10):
                    while True:
                        await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


@asynccontextmanager
async def serving(limits: Limits, app: Application | None = None) -> AsyncGenerator[Served]:
    """Serve with these limits."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    config = uvicorn.Config(app or Application(), http="h11", ws="none", log_config=None, timeout_graceful_shutdown=0)
    server = Server(config, listener, limits)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run_to_the_end)
        yield Served(port, server)
        server.should_exit = True


async def test_a_client_that_says_nothing_is_not_waited_for() -> None:
    """An open connection uses a file descriptor."""
    async with serving(Limits(head=SHORT, idle=LONG)) as served, await served.connect() as stream:
        assert await served.is_closed(stream)


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r"], ids=["nothing", "half", "CR"])
async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(begin: bytes) -> None:
    """A new byte does not extend the time for the head."""
    async with serving(Limits(head=SHORT, idle=LONG)) as served, await served.connect() as stream:
        await stream.send(begin or b"G")
        await never_closed(stream, b"X")


async def test_a_later_head_that_comes_byte_by_byte_is_not_waited_for() -> None:
    """The limit applies again on a used connection, even if the head began together with the last request."""
    async with serving(Limits(head=SHORT, idle=LONG)) as served:
        for begin in (REQUEST, REQUEST + b"GET /", REQUEST * 3 + b"G"):
            async with await served.connect() as stream:
                await answered(stream, begin, times=begin.count(REQUEST))
                await never_closed(stream, b"X")


async def test_a_connection_may_be_idle_between_requests_for_longer() -> None:
    """Load balancers keep idle connections, and cannot repeat a POST if one is closed at that moment."""
    async with serving(Limits(head=SHORT, idle=LONG)) as served, await served.connect() as stream:
        for _ in range(2):
            await answered(stream)
            assert not await served.is_closed(stream, seconds=SHORT * 3)
        await answered(stream)


async def test_a_connection_is_not_idle_for_ever() -> None:
    """The limit also applies if the request was answered before its body came."""
    late = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
    async with serving(Limits(head=LONG, idle=SHORT)) as served:
        for request, rest in ((REQUEST, b""), (late, b"body")):
            async with await served.connect() as stream:
                await answered(stream, request)
                await stream.send(rest or b"")
                assert await served.is_closed(stream)


async def test_the_rest_of_a_request_that_was_answered_is_not_waited_for() -> None:
    """The client of a refused request may send its body very slowly."""
    refused = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    async with serving(Limits(head=SHORT, idle=LONG)) as served, await served.connect() as stream:
        await answered(stream, refused)
        await never_closed(stream, b"X")


async def test_a_connection_serves_on_after_a_body_that_came_late() -> None:
    """The rest of the body is skipped."""
    refused = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
    async with serving(Limits(head=LONG, idle=LONG)) as served, await served.connect() as stream:
        await answered(stream, refused)
        await answered(stream, b"body" + REQUEST)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_client_that_does_not_take_its_answer_is_not_waited_for(version: bytes) -> None:
    """HTTP/1.0 would close the connection after the answer; HTTP/1.1 would keep it."""
    app = Application(size=50_000_000)
    async with serving(Limits(head=LONG, idle=SHORT), app) as served, await served.connect() as stream:
        await stream.send(REQUEST.replace(b"1.1", version))
        with anyio.fail_after(PATIENCE):
            await app.left.wait()
            while served.server.server_state.connections:
                await anyio.lowlevel.checkpoint()


async def test_connections_over_the_limit_are_closed_at_once_and_the_others_served() -> None:
    """A new connection is accepted as soon as another one has closed."""
    async with serving(Limits(connections=5, head=LONG, idle=LONG)) as served, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await served.connect()) for _ in range(5)]
        for stream in streams:
            await answered(stream)
        for _ in range(300):
            async with await served.connect() as refused:
                assert await served.is_closed(refused)
        await answered(streams[0])
        await streams.pop().aclose()
        with anyio.fail_after(PATIENCE):
            while len(served.server.server_state.connections) > len(streams):
                await anyio.lowlevel.checkpoint()
        async with await served.connect() as stream:
            await answered(stream)


async def _limited(
    messages: list[Message], *, headers: list[tuple[bytes, bytes]] | None = None, seconds: float = SHORT
) -> tuple[int, int]:
    """Let an application read a body of these messages; return the status and the number of bytes that it read."""
    sent: list[Message] = []
    got = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal got
        more = True
        while more:
            message = await receive()
            got += len(message.get("body", b""))
            more = message.get("more_body", False)
        await anyio.sleep(SHORT * 2)  # a call may take longer than the time for its body
        await PlainTextResponse("fine")(scope, receive, send)

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers or []}
    with anyio.fail_after(PATIENCE):
        await BodyLimits(app, seconds, size=100)(scope, receive, send)
    return sent[0]["status"], got


def part(size: int, *, more: bool) -> Message:
    """Make a part of a body."""
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def test_a_body_has_a_time_and_a_size_whoever_reads_it() -> None:
    """The limits apply with and without a Content-Length; the time of the call does not count."""
    assert await _limited([part(50, more=True), part(50, more=False)]) == (200, 100)
    assert await _limited([part(50, more=True), part(50, more=True)]) == (408, 100)
    assert await _limited([part(50, more=True), part(51, more=True)], seconds=LONG) == (413, 50)
    assert await _limited([part(101, more=False)]) == (413, 0)
    for length in (b"101", b"9" * 5000):
        assert await _limited([part(1, more=False)], headers=[(b"content-length", length)]) == (413, 0)
    assert await _limited([part(1, more=False)], headers=[(b"content-length", b"100")]) == (200, 1)


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SERVER = (*COMMAND, "--http", "--port", "0", "--sandbox", "--sandbox-db", ":memory:")


def limited(limit: str) -> tuple[str, ...]:
    """Write the command that starts a server with a limit on its descriptors."""
    return ("sh", "-c", f'ulimit {limit} && exec "$@"', "sh", *SERVER)


def healthy(connection: socket.socket) -> bool:
    """Whether a request on this connection is answered."""
    try:
        connection.sendall(HEALTH)
        answer = b""
        while not answer.endswith(b"}"):
            if not (part := connection.recv(4096)):
                return False
            answer += part
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_more_connections_than_descriptors_stop_nothing(tmp_path: Path) -> None:
    """Open connections are still served, and new ones are served when descriptors are free again."""
    async with start_process(*limited("-n 120"), home=tmp_path) as server:
        port = int((await server.log("serving MCP at ")).rpartition(":")[2].partition("/")[0])
        address = ("127.0.0.1", port)
        with ExitStack() as stack:
            first = stack.enter_context(socket.create_connection(address, PATIENCE))
            assert await anyio.to_thread.run_sync(healthy, first)
            for _ in range(500):
                stack.enter_context(socket.create_connection(address, PATIENCE))
            for _ in range(5):
                assert await anyio.to_thread.run_sync(healthy, first)
        with anyio.fail_after(PATIENCE):
            while not await anyio.to_thread.run_sync(_is_served, address):
                pass
        server.signal(signal.SIGTERM)
        ended = await server.end()
    assert ended.status == 0
    assert "60 connections are open" in ended.stderr
    assert len(ended.stderr.splitlines()) < 5


def _is_served(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, PATIENCE) as connection:
        return healthy(connection)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_it_takes_more_descriptors_than_a_shell_gives_where_it_may(tmp_path: Path) -> None:
    """A thousand waiting calls must not make the server refuse another one."""
    async with start_process(*limited("-Sn 120"), home=tmp_path) as server:
        port = int((await server.log("serving MCP at ")).rpartition(":")[2].partition("/")[0])
        with ExitStack() as stack:
            for _ in range(1200):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            assert await anyio.to_thread.run_sync(healthy, connection)  # pyright: ignore[reportPossiblyUnboundVariable]
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                assert (await http.get("/readyz")).status_code == 200
