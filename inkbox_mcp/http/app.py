"""The HTTP application: MCP at `/mcp` behind who may call it, and beside it what operators ask of a server.

The latter is in `inkbox_mcp.http.health`. With `--auth-issuer`, `/.well-known/oauth-protected-resource…` says where
clients get a token.
"""

import gc
from collections.abc import Callable
from functools import partial, reduce
from socket import socket
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.transport_security import (
    DEFAULT_MAX_REQUEST_BODY_SIZE,
    RequestBodyLimitMiddleware,
    TransportSecuritySettings,
)
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.callers import noticing_who_leaves, tenant
from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import Authentication, StaticToken, metadata_routes, metadata_url
from inkbox_mcp.http.bodies import without_overload
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.http.endpoint import Endpoint
from inkbox_mcp.http.health import ALIVE_PATH, READY_PATH, health_routes
from inkbox_mcp.http.hosts import Hosts
from inkbox_mcp.http.limits import BodyLimits
from inkbox_mcp.http.spelling import OneSpelling
from inkbox_mcp.metrics import Metrics, PrometheusMetrics
from inkbox_mcp.scopes import READ, WRITE
from inkbox_mcp.server import build_server
from inkbox_mcp.service import offered
from inkbox_mcp.settings import Settings
from inkbox_mcp.tracing import TraceContextMiddleware, configure
from inkbox_mcp.transports import serve_http

MCP_PATH = "/mcp"
SECONDS_TO_READ = 20.0
"""How long a request's body may take to come."""

Layer = Callable[[ASGIApp], ASGIApp]
"""Wraps an application in another one."""


async def serve(settings: Settings, listener: socket) -> None:
    """Serve until a signal comes; calls under way are finished first.

    Args:
        settings: see `inkbox_mcp.settings`.
        listener: see `inkbox_mcp.transports.listen`.
    """
    configure()
    metrics = PrometheusMetrics() if settings.metrics else None
    drain = Drain(MCP_PATH, settings.drain_timeout)
    drain.watched = settings.workers > 1  # the balancer may have asked another worker
    app = build_app(build_server(settings, metrics=metrics), settings, drain, metrics)
    # A full collection would look through all that was loaded, again and again, while every call waits.
    gc.collect()
    gc.freeze()
    await serve_http(app, listener, drain.finish, is_worker=settings.workers > 1)


def build_app(server: Server[Any], settings: Settings, drain: Drain, metrics: PrometheusMetrics | None) -> ASGIApp:
    """Make the application.

    Args:
        server: see `inkbox_mcp.server.build_server`.
        settings: see `inkbox_mcp.settings`.
        drain: ends it.
        metrics: what `/metrics` shows.
    """
    routes = health_routes(settings, drain, metrics)
    if settings.auth_issuer and settings.auth_audience:
        routes += metadata_routes(settings.auth_audience, settings.auth_issuer, settings.auth_scopes)
    app = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=settings.stateless,
        # `Hosts` asks that, of every path.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        custom_starlette_routes=routes,
    )
    # A redirect would repeat whatever `Host` a request came with.
    app.router.redirect_slashes = False
    innermost: ASGIApp = app
    return reduce(lambda inside, layer: layer(inside), reversed(_layers(settings, drain, metrics)), innermost)


def _layers(settings: Settings, drain: Drain, metrics: Metrics | None) -> list[Layer]:
    """List what a request passes on its way in, the outermost first."""
    layers: list[Layer] = [
        # All that follows compares paths.
        partial(OneSpelling, path=MCP_PATH),
        # A call counts as under way from its first byte on.
        drain.around,
        # Before anything reads a body.
        partial(BodyLimits, seconds=SECONDS_TO_READ),
        # Before the first span.
        TraceContextMiddleware,
    ]
    if settings.allowed_origins:
        # Before authentication: the request by which a browser asks whether it may call carries no token.
        layers.append(
            partial(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=("GET", "POST", "DELETE"),
                allow_headers=("*",),
                expose_headers=("Mcp-Session-Id", "WWW-Authenticate"),
            )
        )
    layers += _authentication(settings, metrics)
    # Of those who may call: nothing behind this waits for the client any more.
    layers.append(partial(RequestBodyLimitMiddleware, max_body_size=DEFAULT_MAX_REQUEST_BODY_SIZE))
    # Before anything is routed.
    layers.append(partial(Hosts, settings=settings, open_paths=(ALIVE_PATH, READY_PATH)))
    if settings.per_request_keys:
        # After authentication: the key is added to the account that it found.
        layers.append(_bound_to_keys)
    layers += [
        # Before anything validates a body.
        without_overload,
        # Of those who may call, and before the SDK, whose gaps it closes.
        partial(Endpoint, path=MCP_PATH, has_sessions=not settings.stateless),
        # Of calls alone, whose questions end when nobody waits for the answer any more.
        noticing_who_leaves,
    ]
    return layers


def _authentication(settings: Settings, metrics: Metrics | None) -> list[Layer]:
    """Let only those in who may call, where somebody has to say who they are."""
    operations = offered(settings)

    def is_write(tool: str) -> bool:
        return tool in operations and not operations[tool].hints.read_only

    if settings.token:
        return [
            partial(Authentication, verifier=StaticToken(settings.token), path=MCP_PATH, is_write=is_write),
        ]
    if settings.auth_issuer and settings.auth_audience:
        return [
            partial(
                Authentication,
                verifier=JWTVerifier(settings.auth_issuer, settings.auth_audience, metrics=metrics),
                path=MCP_PATH,
                required_scopes=settings.auth_scopes,
                metadata_url=metadata_url(settings.auth_audience),
                is_write=is_write,
            )
        ]
    return []


def _bound_to_keys(app: ASGIApp) -> ASGIApp:
    """Make the key part of who is calling: the SDK lets a session be used only by who opened it."""

    async def bound(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            user = scope.get("user")
            anybody = AccessToken(token="", client_id="", scopes=[READ, WRITE])
            account = user.access_token if isinstance(user, AuthenticatedUser) else anybody
            both = {"client_id": f"{account.client_id} {tenant(Request(scope))}"}
            scope = {**scope, "user": AuthenticatedUser(account.model_copy(update=both))}
        await app(scope, receive, send)

    return bound
