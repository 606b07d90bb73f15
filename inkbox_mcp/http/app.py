"""The HTTP application: MCP at `/mcp`, wrapped in `inkbox_mcp.http.middleware`, and the routes for operators.

These are in `inkbox_mcp.http.health`. With `--auth-issuer`, `/.well-known/oauth-protected-resource…` names the
authorization server.
"""

from functools import reduce
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import SERVER_INFO_META_KEY
from starlette.types import ASGIApp

from inkbox_mcp.http.authentication import metadata_routes
from inkbox_mcp.http.direct import DirectCalls
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.http.health import health_routes
from inkbox_mcp.http.middleware import layers
from inkbox_mcp.service import Service
from inkbox_mcp.telemetry.metrics import PrometheusMetrics

MCP_PATH = "/mcp"


def build_app(server: Server[Any], service: Service, drain: Drain, metrics: PrometheusMetrics | None = None) -> ASGIApp:
    """Make the application.

    Args:
        server: see `inkbox_mcp.protocol.server`.
        service: whose tools are served.
        drain: finishes calls at shutdown.
        metrics: shown by `/metrics`; None for no such path.
    """
    settings = service.settings
    routes = health_routes(settings, drain, metrics)
    if settings.auth_issuer and settings.auth_audience:
        routes += metadata_routes(settings.auth_audience, settings.auth_issuer, settings.auth_scopes)
    app = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=settings.stateless,
        # `Hosts` checks that, for every path.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        custom_starlette_routes=routes,
    )
    # A redirect would repeat the `Host` header of the request, whatever it is.
    app.router.redirect_slashes = False
    stamp = {SERVER_INFO_META_KEY: server.server_info_stamp}
    direct = DirectCalls(service, stamp, has_sessions=not settings.stateless)
    outermost_last = reversed(list(layers(service, MCP_PATH, direct, drain, metrics)))
    innermost: ASGIApp = app
    return reduce(lambda inside, layer: layer(inside), outermost_last, innermost)
