"""Opens a port and serves an ASGI application on it until a signal comes."""

import errno
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial

import anyio
import uvicorn
from starlette.types import ASGIApp

from inkbox_mcp.http.connections import SECONDS_IDLE, Limits, Server, limits_of_this_process
from inkbox_mcp.process import stop_on_signals
from inkbox_mcp.settings.options import SettingsError


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """Open a port while the context lasts; see `listen`.

    Raises:
        SettingsError: the port cannot be opened.
    """
    try:
        listener = listen(host, port)
    except OSError as error:
        taken = error.errno in {errno.EADDRINUSE, errno.EACCES}
        option = f"--port {port}" if taken else f"--host {host}"
        raise SettingsError(f"{option}: {error.strerror or error}") from None
    with listener:
        yield listener


def listen(host: str, port: int) -> socket.socket:
    """Open a port.

    Args:
        host: the address to listen on.
        port: the port; 0 for a free one.

    Raises:
        OSError: the port cannot be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio does that only for sockets that it made. Without it, answers wait 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def origin(host: str, listener: socket.socket) -> str:
    """Return the URL of a listener, such as `http://127.0.0.1:8000`."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def server_of_app(app: ASGIApp, listener: socket.socket, limits: Limits | None = None) -> Server:
    """Make the server of an ASGI application; see `serve_app`."""
    config = uvicorn.Config(
        app,
        interface="asgi3",
        log_config=None,
        access_log=False,
        # Not httptools, which Uvicorn would prefer: it accepts headers of any length.
        http="h11",
        # Nothing here uses the client's address, so X-Forwarded-For needs no trust.
        proxy_headers=False,
        # There is no WebSocket here.
        ws="none",
        timeout_keep_alive=SECONDS_IDLE,
        # Seconds for calls under way at the end.
        timeout_graceful_shutdown=1,
        # Otherwise a request on a reused connection would continue the trace of an earlier one.
        reset_contextvars=True,
    )
    return Server(config, listener, limits or limits_of_this_process())


async def serve_app(
    app: ASGIApp,
    listener: socket.socket,
    drain: Callable[[Callable[[], None], Callable[[], None]], Awaitable[None]] | None = None,
    *,
    limits: Limits | None = None,
) -> None:
    """Serve an ASGI application until a signal comes.

    Args:
        app: the application.
        listener: see `listen`.
        drain: awaited after SIGTERM, before the server stops; see `inkbox_mcp.http.drain`. SIGINT and a second signal
            stop it at once.
        limits: of its connections; None for limits that fit this process.
    """
    server = server_of_app(app, listener, limits)

    def stop() -> None:
        # Not only `should_exit`: sse-starlette hooks into this method to end open streams.
        server.handle_exit(signal.SIGINT, None)
        # From here on Uvicorn would log a traceback for each call that is cut short.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    async with anyio.create_task_group() as tasks:
        first = partial(drain, server.stop_listening, server.stop_reading) if drain else None
        tasks.start_soon(stop_on_signals, stop, first)
        await server.run_to_the_end()
        tasks.cancel_scope.cancel()
