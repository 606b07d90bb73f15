"""HTTP servers on real ports in this process, without the second that a process of its own takes to start.

For tests of what such a server answers. Signals, exit statuses and logs are those of a process; see `processes`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.http.app import MCP_PATH, build_app
from inkbox_mcp.http.asgi_server import listening, origin, server_of_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.sources import load
from inkbox_mcp.telemetry.metrics import PrometheusMetrics
from tests.support.cold_starts import NO_FILE


@asynccontextmanager
async def serve_in_process(*arguments: str, **variables: str) -> AsyncGenerator[str]:
    """Serve HTTP on a free port, with these arguments and environment variables; yield the origin."""
    settings = load(server_parser("", "").choose(("--http", "--port", "0", *arguments)), variables, NO_FILE)
    metrics = PrometheusMetrics() if settings.metrics else None
    async with serve_service(Service(settings, metrics=metrics), metrics) as url:
        yield url


@asynccontextmanager
async def serve_service(service: Service, metrics: PrometheusMetrics | None = None) -> AsyncGenerator[str]:
    """Serve a service over HTTP on a free port; yield the origin."""
    settings = service.settings
    drain = Drain(MCP_PATH, settings.drain_timeout, service.ending.set)
    app = build_app(server_of(service, caller), service, drain, metrics)
    with listening(settings.host, 0) as listener:
        server = server_of_app(app, listener)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run_to_the_end)
            try:
                yield origin(settings.host, listener)
            finally:
                server.should_exit = True
