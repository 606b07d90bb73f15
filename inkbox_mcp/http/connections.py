"""Limits the connections of an HTTP server: their number, and how long each may keep the server waiting.

Uvicorn limits neither. Clients that never finish a request's head would each hold a file descriptor, until none is left
for other clients and for requests to Inkbox.
"""

import asyncio
import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Any

import anyio
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 4096
"""Several times the number of calls that one process can finish within the call timeout."""
SECONDS_IDLE = 75
"""Longer than balancers keep idle connections: a POST on a connection that closes could not be repeated."""
ACCEPTED_AT_ONCE = 100
SECONDS_BETWEEN_WARNINGS = 60.0


@dataclass(frozen=True)
class Limits:
    """Limits for the clients of a server.

    Attributes:
        connections: the most open connections; further ones are closed at once.
        head: seconds for a request's head, from the opening of the connection or, on a reused one, from the first byte;
            also for the rest of a request that was answered early.
        idle: seconds between two requests, and for reading an answer.
    """

    connections: int = MOST_CONNECTIONS
    head: float = 10.0
    idle: float = SECONDS_IDLE


def limits_of_this_process() -> Limits:
    """Return limits that leave half of the file descriptors for requests to Inkbox and for files.

    First raises the process's own limit of descriptors as far as allowed: 1,024, a common default, are too few.
    """
    if sys.platform == "win32":  # pragma: no cover - Windows has no such limit
        return Limits()
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < needed:
        more = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):  # the system may have a lower limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return Limits() if soft == resource.RLIM_INFINITY else Limits(connections=min(MOST_CONNECTIONS, soft // 2))


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which is closed when the client keeps the server waiting for too long.

    Args:
        limits: see `Limits`.
        arguments: see Uvicorn's `H11Protocol`.
    """

    def __init__(self, *, limits: Limits, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._limits = limits
        self._seconds: float | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request, or several requests."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Start the clock for the next request."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Start the clock for the client to read the answer."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Continue to send."""
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        super().connection_lost(exc)
        self._wait_for(None)

    def _should_upgrade(self) -> bool:
        """Ignore requests to upgrade, such as to WebSocket."""
        return False

    def _watch(self) -> None:
        """Start or stop the clock, by what the server is waiting for."""
        if self.transport.is_closing() or self.flow.write_paused:
            self._wait_for(self._limits.idle)
        elif self.conn.their_state is h11.IDLE:
            is_first = self.cycle is None  # pyright: ignore[reportUnnecessaryComparison]  # until there is one
            is_begun = is_first or self.conn.trailing_data[0]
            self._wait_for(self._limits.head if is_begun else self._limits.idle)
        elif self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete:
            self._wait_for(self._limits.head)
        else:
            self._wait_for(None)

    def _wait_for(self, seconds: float | None) -> None:
        """Start the clock, unless it runs for the same reason: further bytes do not extend the time."""
        if seconds == self._seconds:
            return
        self._seconds = seconds
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """Uvicorn with these limits and without its signal handlers.

    Args:
        config: Uvicorn's; its host and port are ignored.
        listener: see `inkbox_mcp.http.asgi_server.listen`.
        limits: see `Limits`.
    """

    def __init__(self, config: uvicorn.Config, listener: socket, limits: Limits) -> None:
        super().__init__(config)
        self.servers = []
        self._listener = listener
        self._limits = limits
        self._started = anyio.Event()
        self._accepting = anyio.CancelScope()
        self._opening = 0
        self._warned = -SECONDS_BETWEEN_WARNINGS

    async def run_to_the_end(self) -> None:
        """Serve until `should_exit`."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._accept)
            await self.serve(sockets=[])
            tasks.cancel_scope.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Install no signal handlers: Uvicorn raises signals again at the end, and the exit status would not be 0."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets)
        self._started.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting, and close the open connections."""
        self.stop_listening()
        await super().shutdown(sockets)

    def stop_listening(self) -> None:
        """Stop accepting connections."""
        self._accepting.cancel()

    def stop_reading(self) -> None:
        """Stop reading requests from the open connections."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def _accept(self) -> None:
        """Accept connections, and close those above the limit.

        asyncio's own server has no limit: out of file descriptors, it logs thousands of tracebacks a second.
        """
        await self._started.wait()
        self._listener.setblocking(False)
        with self._accepting, self._listener:
            async with anyio.create_task_group() as tasks:
                while True:
                    for _ in range(ACCEPTED_AT_ONCE):
                        if connection := await self._next():
                            tasks.start_soon(self._open, connection)
                    await asyncio.sleep(0)  # a flood of connections must not block other tasks

    async def _next(self) -> socket | None:
        """Accept a connection; return None if that fails or the limit is reached."""
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        except ConnectionError:
            return None  # the client has already disconnected
        except OSError as error:
            self._warn("no connection can be accepted: %s", error.strerror)
            await asyncio.sleep(0.1)
            return None
        if len(self.server_state.connections) + self._opening >= self._limits.connections:
            self._warn("%d connections are open; further ones are closed at once", self._limits.connections)
            connection.close()
            return None
        self._opening += 1
        return connection

    async def _open(self, connection: socket) -> None:
        protocol = partial(
            PunctualProtocol,
            limits=self._limits,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        try:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        except OSError:
            connection.close()  # the client has already disconnected
        finally:
            self._opening -= 1

    def _warn(self, message: str, *values: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned >= SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            logger.warning(message, *values)
