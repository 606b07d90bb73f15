"""The middleware between a request and the SDK, in one list."""

from collections.abc import Callable, Iterator
from functools import partial

from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import Authentication, StaticToken, metadata_url
from inkbox_mcp.http.callers import bound_to_keys, noticing_who_leaves
from inkbox_mcp.http.direct import DirectCalls
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.http.endpoint import Endpoint
from inkbox_mcp.http.health import ALIVE_PATH, READY_PATH
from inkbox_mcp.http.hosts import Hosts
from inkbox_mcp.http.limits import BodyLimits, without_overload
from inkbox_mcp.http.spelling import OneSpelling
from inkbox_mcp.http.trace_context import TraceContextMiddleware
from inkbox_mcp.service import Service
from inkbox_mcp.telemetry.metrics import Metrics

SECONDS_TO_READ = 20.0
"""Seconds for a request's body."""

Layer = Callable[[ASGIApp], ASGIApp]
"""Wraps an application in another one."""


def layers(service: Service, path: str, direct: DirectCalls, drain: Drain, metrics: Metrics | None) -> Iterator[Layer]:
    """Yield the layers, the outermost first.

    Args:
        service: its settings decide which layers are needed.
        path: of the MCP endpoint.
        direct: answers plain calls.
        drain: finishes calls at shutdown.
        metrics: counts failures of the authorization server.
    """
    settings = service.settings
    # All further layers compare paths.
    yield partial(OneSpelling, path=path)
    # A call counts as running from its first byte on.
    yield drain.around
    # Before any layer that reads a body.
    yield partial(BodyLimits, seconds=SECONDS_TO_READ)
    # Before any layer that starts a span.
    yield TraceContextMiddleware
    if settings.allowed_origins:
        # Before authentication: a browser's preflight request has no token.
        yield partial(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Mcp-Session-Id", "WWW-Authenticate"),
        )
    if settings.token:
        verifier = StaticToken(settings.token)
        yield partial(Authentication, verifier=verifier, path=path, scopes_for=service.catalogues.scopes_for)
    elif settings.auth_issuer and settings.auth_audience:
        yield partial(
            Authentication,
            verifier=JWTVerifier(settings.auth_issuer, settings.auth_audience, metrics=metrics),
            path=path,
            required_scopes=settings.auth_scopes,
            metadata_url=metadata_url(settings.auth_audience),
            scopes_for=service.catalogues.scopes_for,
        )
    # After authentication. It reads the whole body, so no further layer waits for the client.
    yield partial(RequestBodyLimitMiddleware, max_body_size=DEFAULT_MAX_REQUEST_BODY_SIZE)
    # Before routing.
    yield partial(Hosts, settings=settings, open_paths=(ALIVE_PATH, READY_PATH))
    if settings.per_request_keys:
        # After authentication, which found the account that the key is added to.
        yield bound_to_keys
    # Before the body is validated.
    yield without_overload
    # Right before the SDK, whose gaps it closes.
    yield partial(Endpoint, path=path, direct=direct, has_sessions=not settings.stateless)
    # A question to the human ends when its request does.
    yield noticing_who_leaves
