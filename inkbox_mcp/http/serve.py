"""Serves MCP over streamable HTTP on one port until a signal comes."""

import gc
import logging
from socket import socket

from inkbox_mcp.http.app import MCP_PATH, build_app
from inkbox_mcp.http.asgi_server import listening, origin, serve_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.process import run
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import PrometheusMetrics
from inkbox_mcp.telemetry.tracing import configure

logger = logging.getLogger(__name__)


def serve_http(settings: Settings) -> None:
    """Serve until a signal comes.

    Raises:
        SettingsError: the settings name an unknown tool, an unusable store, or a port that cannot be opened.
    """
    if not (settings.is_local or settings.request_state_keys or settings.confirm == "never"):
        logger.warning(
            "without INKBOX_MCP_REQUEST_STATE_KEYS, a human whose answer comes to another replica is asked again"
        )
    metrics = PrometheusMetrics() if settings.metrics else None
    service = Service(settings, metrics=metrics)
    with listening(settings.host, settings.port) as listener:
        logger.warning("serving MCP at %s%s", origin(settings.host, listener), MCP_PATH)
        run(_serve, service, metrics, listener)


async def _serve(service: Service, metrics: PrometheusMetrics | None, listener: socket) -> None:
    """Serve until a signal comes, then finish the running calls."""
    configure()
    drain = Drain(MCP_PATH, service.settings.drain_timeout, service.ending.set)
    app = build_app(server_of(service, caller), service, drain, metrics)
    # Otherwise each full collection would scan all loaded modules while every call waits.
    gc.collect()
    gc.freeze()
    await serve_app(app, listener, drain.finish)
