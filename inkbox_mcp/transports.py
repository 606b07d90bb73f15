"""How a server is run and stopped: over stdio for one client, over HTTP for many.

End of input, SIGINT and SIGTERM end a server alike: calls in flight are cancelled, connections to Inkbox closed, and
the process exits with status 0.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from inkbox_mcp import __version__

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

logger = logging.getLogger(__name__)

MCP_PATH = "/mcp"
SECONDS_TO_STOP = 1.8


async def serve_stdio(server: Server[Any]) -> None:
    """Serve one client over stdin and stdout until it closes one of them or a signal comes."""
    try:
        async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signal, tasks.cancel_scope.cancel)
            # The transport owns the wire now; a stray print would still reach it when Python flushes stdout at exit.
            with redirect_stdout(sys.stderr):
                try:
                    await server.run(read, write, server.create_initialization_options())
                except anyio.get_cancelled_exc_class():
                    # A signal came, or the client no longer reads. A thread of the transport is blocked in reading
                    # stdin and would keep the interpreter waiting.
                    os._exit(0)
            tasks.cancel_scope.cancel()
    except* BrokenPipeError:
        logger.info("the client no longer reads")


async def serve_http(server: Server[Any], host: str, port: int) -> None:
    """Serve streamable HTTP at `/mcp`, and `/healthz`, until a signal comes.

    Raises:
        OSError: the port cannot be had.
    """
    from starlette.routing import Route

    app = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        host=host,  # a loopback host arms the SDK's protection against DNS rebinding
        custom_starlette_routes=[Route("/healthz", _health, methods=["GET"])],
    )
    await serve_app(app, host, port, lambda origin: logger.warning("serving MCP at %s%s", origin, MCP_PATH))


async def serve_app(app: "Starlette", host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve an ASGI application until a signal comes.

    Args:
        app: the application.
        host: the address to listen on.
        port: the port; 0 takes a free one.
        announce: told the origin, such as `http://127.0.0.1:8000`, once clients can connect.

    Raises:
        OSError: the port cannot be had.
    """
    import uvicorn

    class UvicornServer(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None]:
            # Uvicorn's own raises the signal again after shutting down, and the process would not end with status 0.
            yield

        def stop(self) -> None:
            # Not only `should_exit`: sse-starlette hooks in here, to end the streams that clients keep open.
            self.handle_exit(signal.SIGINT, None)
            # From here on it would log a traceback for each call that is cut short.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        # asyncio does that only for sockets it made itself, and answers would wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{listener.getsockname()[1]}")
        # Calls under way get one second.
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        uvicorn_server = UvicornServer(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signal, uvicorn_server.stop)
            await uvicorn_server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()


async def _on_signal(stop: Callable[[], None]) -> None:
    if sys.platform == "win32":  # pragma: no cover
        return  # the event loop takes no signal handlers there
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop()
            # What does not end by itself is left behind, such as a thread that waits for a locked database.
            last_resort = threading.Timer(SECONDS_TO_STOP, os._exit, [0])
            last_resort.daemon = True
            last_resort.start()


async def _health(_: "Request") -> "JSONResponse":
    from starlette.responses import JSONResponse

    return JSONResponse({"status": "ok", "version": __version__})
