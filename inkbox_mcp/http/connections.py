"""The connections of an HTTP server: how many there may be, and how long each may keep the server waiting.

Uvicorn limits neither: clients that never finish a request's head would hold a descriptor each until there is none left
for anybody, requests to Inkbox included.
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
"""Several times what one process can answer in the time that a call may take."""
SECONDS_IDLE = 75
"""Longer than balancers keep idle connections: a POST on one that is just being closed could not be repeated."""
ACCEPTED_AT_ONCE = 100
SECONDS_BETWEEN_WARNINGS = 60.0


@dataclass(frozen=True)
class Limits:
    """What the clients of a server may take of it.

    Attributes:
        connections: how many may be open at once; further ones are closed as soon as they come.
        head: seconds for a request's head, from the opening of the connection or, on one that was used before, from the
            head's first byte; and for the rest of a request that was answered before its end.
        idle: seconds between two requests, and for taking an answer that waits to be sent.
    """

    connections: int = MOST_CONNECTIONS
    head: float = 10.0
    idle: float = SECONDS_IDLE


def limits_of_this_process() -> Limits:
    """Return limits that leave half of the descriptors for requests to Inkbox, files and what is just being closed.

    The process first takes as many descriptors as it may: 1,024, a common default, are too few.
    """
    if sys.platform == "win32":  # pragma: no cover
        return Limits()  # there is no such limit
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < needed:
        more = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with suppress(OSError, ValueError):  # the system may have another limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return Limits() if soft == resource.RLIM_INFINITY else Limits(connections=min(MOST_CONNECTIONS, soft // 2))


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which is cut off when the client lets the server wait for too long.

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
        """Wait for a first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request, or several requests."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, if any is to come."""
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait for the client to take what was sent."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._wait_for(None)

    def _should_upgrade(self) -> bool:
        """Take a request to speak something else, such as WebSocket, for one that does not ask for it."""
        return False

    def _watch(self) -> None:
        """See whether it is the client's turn, and since when."""
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
        """Start the clock, unless it runs for the same already: one more byte is no more time."""
        if seconds == self._seconds:
            return
        self._seconds = seconds
        if self._deadline:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class Server(uvicorn.Server):
    """Uvicorn with these limits, which leaves signals to others.

    Args:
        config: Uvicorn's; where it listens is not taken from it.
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
        """Leave signals alone: Uvicorn would raise them again at the end, and the status would not be 0."""
        yield

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, then take connections."""
        await super().startup(sockets)
        self._started.set()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Take no more connections, and end those that there are."""
        self.stop_listening()
        await super().shutdown(sockets)

    def stop_listening(self) -> None:
        """Take no more connections."""
        self._accepting.cancel()

    def stop_reading(self) -> None:
        """Take no more requests on the connections that there are."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    async def _accept(self) -> None:
        """Take connections, and close those that are too many.

        Not by asyncio's own server, which knows no limit: out of descriptors, it logs thousands of tracebacks a second.
        """
        await self._started.wait()
        self._listener.setblocking(False)
        with self._accepting, self._listener:
            async with anyio.create_task_group() as tasks:
                while True:
                    for _ in range(ACCEPTED_AT_ONCE):
                        if connection := await self._next():
                            tasks.start_soon(self._open, connection)
                    await asyncio.sleep(0)  # a flood of connections must not keep all else waiting

    async def _next(self) -> socket | None:
        """Accept a connection; None if that fails or there are too many."""
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        except ConnectionError:
            return None  # the client has gone already
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
            connection.close()  # the client has gone already
        finally:
            self._opening -= 1

    def _warn(self, message: str, *values: object) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned >= SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            logger.warning(message, *values)
