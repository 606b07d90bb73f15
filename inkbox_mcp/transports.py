"""How a server is run and stopped: over stdio for one client, over HTTP for many.

SIGINT ends a server, and over stdio SIGTERM: calls in flight are cancelled, connections to Inkbox closed, and the
process exits with status 0. The end of input lets calls finish for a second, and SIGTERM over HTTP for longer.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

import anyio

from inkbox_mcp.direct import DirectCalls
from inkbox_mcp.loading import for_good
from inkbox_mcp.pipes import pipes_available
from inkbox_mcp.service import Service
from inkbox_mcp.settings import SettingsError
from inkbox_mcp.stdio import Pipes, taken_over
from inkbox_mcp.tracing import shut_down
from inkbox_mcp.warmstart import Beginning

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from inkbox_mcp.http.connections import Limits

logger = logging.getLogger(__name__)

SECONDS_TO_STOP = 1.8


async def serve_stdio(service: Service, beginning: Beginning | None = None) -> None:
    """Serve one client over stdin and stdout until it closes one of them or a signal comes.

    Args:
        service: see `inkbox_mcp.service`.
        beginning: what the client has said and was answered before.
    """
    if not pipes_available():
        await _serve_stdio_with_threads(service)
        return
    beginning = beginning or Beginning()
    # A stray print is kept off the wire here, and by `taken_over` where it comes from a child or an extension.
    with taken_over() as (stdin, stdout), redirect_stdout(sys.stderr):
        async with anyio.create_task_group() as tasks:
            pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel, beginning.unread)
            tasks.start_soon(_on_signal, pipes.hang_up)
            await serve_pipes(service, pipes, beginning)
            tasks.cancel_scope.cancel()


async def serve_pipes(service: Service, pipes: Pipes, beginning: Beginning) -> None:
    """Serve one client over its pipes, plain calls at once and all else by the SDK, which is loaded for it."""
    async with service.tenants, anyio.create_task_group() as tasks:
        calls = DirectCalls(service, pipes, tasks, beginning.exchanges)
        try:
            line = await calls.next_line()
            with for_good():
                from inkbox_mcp.messages import Messages
                from inkbox_mcp.server import server_of
            messages, server = Messages(pipes, calls, beginning, line), server_of(service)
            await server.run(messages, messages, server.create_initialization_options())
        except anyio.EndOfStream:
            pass  # nothing was said that the SDK had to hear
        tasks.cancel_scope.cancel()


async def _serve_stdio_with_threads(service: Service) -> None:
    """Serve a terminal, files, or anything on Windows."""
    with for_good():
        from mcp.server.stdio import stdio_server

        from inkbox_mcp.finishing import Answers, Requests
        from inkbox_mcp.server import server_of
    server = server_of(service)
    failed = ()
    try:
        async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signal, tasks.cancel_scope.cancel)
            # The transport owns the wire now; a stray print would still reach it when Python flushes stdout at exit.
            with redirect_stdout(sys.stderr):
                try:
                    requests = Requests(read)
                    answers = Answers(write, requests)
                    await server.run(requests, answers, server.create_initialization_options())
                except anyio.get_cancelled_exc_class():
                    # A signal came, or the client no longer reads. A thread of the transport is blocked in reading
                    # stdin and would keep the interpreter waiting.
                    shut_down()
                    os._exit(0)
            tasks.cancel_scope.cancel()
    except* BrokenPipeError:
        logger.info("the client no longer reads")
    except* OSError as errors:  # such as a disk that is full
        failed = errors.exceptions
    if failed:
        raise SettingsError("the answers cannot be written to stdout, or nothing can be read from stdin")


def listen(host: str, port: int, count: int = 1) -> list[socket.socket]:
    """Open a port.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.
        count: sockets to open on it; the kernel spreads connections over them.

    Raises:
        OSError: the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    if count > 1:
        # Sockets that share a port would share it with another server of the same user, too.
        socket.create_server((host, port), family=family).close()
    for _ in range(count):
        listener = socket.create_server((host, port), family=family, backlog=2048, reuse_port=count > 1)
        # asyncio does that only for sockets it made itself, and answers would wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listeners.append(listener)
        port = listener.getsockname()[1]
    return listeners


def origin(host: str, listener: socket.socket) -> str:
    """Return where a listener is reached, such as `http://127.0.0.1:8000`."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


async def serve_http(
    app: "ASGIApp",
    listener: socket.socket,
    drain: Callable[[Callable[[], None], Callable[[], None]], Awaitable[None]] | None = None,
    *,
    is_worker: bool = False,
    limits: "Limits | None" = None,
) -> None:
    """Serve an ASGI application until a signal comes.

    Args:
        app: the application.
        listener: see `listen`.
        drain: awaited after SIGTERM, before the end; see `inkbox_mcp.http.drain`. SIGINT and a second signal end at
            once.
        is_worker: whether only SIGINT does, see `inkbox_mcp.http.workers`.
        limits: of its connections; None for what this process can hold.
    """
    import uvicorn

    from inkbox_mcp.http.connections import SECONDS_IDLE, Server, limits_of_this_process

    config = uvicorn.Config(
        app,
        interface="asgi3",
        log_config=None,
        access_log=False,
        # httptools, which it would take where installed, keeps headers of any length, from anybody.
        http="h11",
        # Nothing here asks where a request came from, so nobody has to be believed about it.
        proxy_headers=False,
        # There is no WebSocket here.
        ws="none",
        timeout_keep_alive=SECONDS_IDLE,
        # For calls that are under way at the end.
        timeout_graceful_shutdown=1,
        # On a connection, which balancers share among tenants, a request would begin in the trace of an earlier one.
        reset_contextvars=True,
    )
    server = Server(config, listener, limits or limits_of_this_process())

    def stop() -> None:
        # Not only `should_exit`: sse-starlette hooks in here, to end the streams that clients keep open.
        server.handle_exit(signal.SIGINT, None)
        # From here on it would log a traceback for each call that is cut short.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    async with anyio.create_task_group() as tasks:
        first = partial(drain, server.stop_listening, server.stop_reading) if drain else None
        tasks.start_soon(_on_signal, stop, first, is_worker)
        await server.run_to_the_end()
        tasks.cancel_scope.cancel()


async def _on_signal(
    stop: Callable[[], None],
    drain: Callable[[], Awaitable[None]] | None = None,
    is_worker: bool = False,
) -> None:
    if sys.platform == "win32":  # pragma: no cover
        return  # the event loop takes no signal handlers there

    def end() -> None:
        stop()
        # What does not end by itself is left behind, such as a thread that waits for a locked database.
        last_resort = threading.Timer(SECONDS_TO_STOP, os._exit, [0])
        last_resort.daemon = True
        last_resort.start()

    async def drain_first(drain: Callable[[], Awaitable[None]]) -> None:
        await drain()
        end()

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            async for number in signals:
                if number == signal.SIGTERM and drain:
                    tasks.start_soon(drain_first, drain)
                    drain = None
                elif number == signal.SIGINT or not is_worker:
                    end()
