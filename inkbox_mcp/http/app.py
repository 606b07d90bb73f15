"""The HTTP application: MCP at `/mcp` behind who may call it, and beside it what operators ask of a server.

| path | tells |
|---|---|
| `/healthz` | that the process is alive |
| `/readyz` | whether new calls are welcome; with `?deep=1` also whether Inkbox can be reached, which changes nothing |
| `/metrics` | Prometheus metrics, with `--metrics` |
| `/.well-known/oauth-protected-resource…` | where clients get a token, with `--auth-issuer` |
"""

import gc
import math
from collections.abc import Callable
from socket import socket
from typing import Any

import anyio
import httpx2
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
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp import __version__
from inkbox_mcp.callers import noticing_who_leaves, tenant
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import Authentication, StaticToken, metadata_routes, metadata_url
from inkbox_mcp.http.bodies import without_overload
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.metrics import Metrics, PrometheusMetrics
from inkbox_mcp.network import over_the_network
from inkbox_mcp.scopes import READ, WRITE
from inkbox_mcp.server import build_server
from inkbox_mcp.service import offered
from inkbox_mcp.settings import Settings
from inkbox_mcp.tracing import TraceContextMiddleware, configure
from inkbox_mcp.transports import serve_http

MCP_PATH = "/mcp"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
SECONDS_TO_REACH = 2.0
SECONDS_TO_READ = 20.0
"""How long a request may take to come."""


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
    routes = [
        Route("/healthz", _healthz, methods=["GET"]),
        Route("/readyz", _readyz(drain, settings), methods=["GET"]),
    ]
    if metrics:
        routes.append(Route("/metrics", _metrics(metrics), methods=["GET"]))
    if settings.auth_issuer and settings.auth_audience:
        routes += metadata_routes(settings.auth_audience, settings.auth_issuer, settings.auth_scopes)
    app: ASGIApp = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=settings.stateless,
        transport_security=transport_security(settings),
        custom_starlette_routes=routes,
    )
    app = noticing_who_leaves(app)
    if settings.per_request_keys:
        app = _bound_to_keys(app)
    app = _guarded(_read_in_time(app), settings, metrics)
    if settings.allowed_origins:
        # Outside: the request by which a browser asks whether it may call carries no token.
        app = CORSMiddleware(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Mcp-Session-Id", "WWW-Authenticate"),
        )
    return drain.around(TraceContextMiddleware(app))


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """Say which `Host` and `Origin` headers are taken, against web pages that reach a server by DNS rebinding.

    A server on loopback takes its own names, and those that the operator allows; beyond loopback all are taken unless
    the operator allows some.
    """
    own = LOOPBACK_NAMES if settings.is_local else ()
    hosts = [*own, *settings.allowed_hosts]
    origins = [*(f"http://{name}" for name in own), *settings.allowed_origins]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=bool(hosts),
        allowed_hosts=[pattern for host in hosts for pattern in (host, f"{host}:*")],
        allowed_origins=[pattern for origin in origins for pattern in (origin, f"{origin}:*")],
    )


def _guarded(app: ASGIApp, settings: Settings, metrics: Metrics | None) -> ASGIApp:
    """Let only those in who may call, where somebody has to say who they are."""
    operations = offered(settings)

    def is_write(tool: str) -> bool:
        return tool in operations and not operations[tool].hints.read_only

    if settings.token:
        return Authentication(app, StaticToken(settings.token), path=MCP_PATH, is_write=is_write)
    if settings.auth_issuer and settings.auth_audience:
        return Authentication(
            app,
            JWTVerifier(settings.auth_issuer, settings.auth_audience, metrics=metrics),
            path=MCP_PATH,
            required_scopes=settings.auth_scopes,
            metadata_url=metadata_url(settings.auth_audience),
            is_write=is_write,
        )
    return app


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


def _read_in_time(app: ASGIApp) -> ASGIApp:
    """Answer 408 to who does not finish sending a request: its body would be kept for as long as the connection."""
    limited = RequestBodyLimitMiddleware(without_overload(app), DEFAULT_MAX_REQUEST_BODY_SIZE)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def receive_in_time() -> Message:
            message = await receive()
            if not message.get("more_body"):
                reading.deadline = math.inf
            return message

        with anyio.move_on_after(SECONDS_TO_READ) as reading:
            await limited(scope, receive_in_time, send)
        if reading.cancelled_caught:
            answer = PlainTextResponse("Request Timeout", 408, headers={"Connection": "close"})
            await answer(scope, receive, send)

    return wrapped


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


def _readyz(drain: Drain, settings: Settings) -> Callable[[Request], Any]:
    looking = anyio.Lock()
    seen: tuple[float, str] = (-1e9, "")

    async def inkbox() -> str:
        """Look at most once in five seconds, however often it is asked."""
        nonlocal seen
        async with looking:
            if anyio.current_time() - seen[0] > 5:
                seen = (anyio.current_time(), "sandbox" if settings.sandbox else await _reach(settings.base_url))
            return seen[1]

    async def readyz(request: Request) -> Response:
        drain.watched = True
        told = {"status": "draining" if drain.begun else "ready"}
        if request.query_params.get("deep") == "1":
            told["inkbox"] = await inkbox()
        return JSONResponse(told, 503 if drain.begun else 200)

    return readyz


async def _reach(base_url: str) -> str:
    try:
        with anyio.fail_after(SECONDS_TO_REACH):
            # The status alone: a body might be large, or never end.
            async with over_the_network(base_url, idle=0) as http:
                answer = await http.handle_async_request(httpx2.Request("GET", base_url))
                await answer.aclose()
                return "failing" if answer.status_code >= 500 else "reachable"
    except (httpx2.TransportError, OSError, NotConfigured):
        return "unreachable"


def _metrics(metrics: PrometheusMetrics) -> Callable[[Request], Any]:
    async def show(request: Request) -> Response:
        body, kind = await anyio.to_thread.run_sync(metrics.exposition, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": kind})

    return show
