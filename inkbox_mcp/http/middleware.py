"""What a request passes on its way to the SDK and its answer on the way back, in one list."""

from collections.abc import Callable, Iterator
from functools import partial

from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import Authentication, StaticToken, metadata_url
from inkbox_mcp.http.callers import bound_to_keys, noticing_who_leaves
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
"""How long a request's body may take to come."""

Layer = Callable[[ASGIApp], ASGIApp]
"""Wraps an application in another one."""


def layers(service: Service, path: str, drain: Drain, metrics: Metrics | None) -> Iterator[Layer]:
    """Yield what a request passes, the outermost first.

    Args:
        service: whose settings say what is needed.
        path: where MCP is served.
        drain: finishes calls before the end.
        metrics: where failures of the authorization server are counted.
    """
    settings = service.settings
    # All that follows compares paths.
    yield partial(OneSpelling, path=path)
    # A call counts as under way from its first byte on.
    yield drain.around
    # Before anything reads a body.
    yield partial(BodyLimits, seconds=SECONDS_TO_READ)
    # Before the first span.
    yield TraceContextMiddleware
    if settings.allowed_origins:
        # Before authentication: the request by which a browser asks whether it may call carries no token.
        yield partial(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("Mcp-Session-Id", "WWW-Authenticate"),
        )
    # Where somebody has to say who they are, only those who may call go on.
    if settings.token:
        yield partial(Authentication, verifier=StaticToken(settings.token), path=path, is_write=service.is_write)
    elif settings.auth_issuer and settings.auth_audience:
        yield partial(
            Authentication,
            verifier=JWTVerifier(settings.auth_issuer, settings.auth_audience, metrics=metrics),
            path=path,
            required_scopes=settings.auth_scopes,
            metadata_url=metadata_url(settings.auth_audience),
            is_write=service.is_write,
        )
    # Of those who may call: nothing behind this waits for the client any more.
    yield partial(RequestBodyLimitMiddleware, max_body_size=DEFAULT_MAX_REQUEST_BODY_SIZE)
    # Before anything is routed.
    yield partial(Hosts, settings=settings, open_paths=(ALIVE_PATH, READY_PATH))
    if settings.per_request_keys:
        # After authentication: the key is added to the account that it found.
        yield bound_to_keys
    # Before anything validates a body.
    yield without_overload
    # Of those who may call, and before the SDK, whose gaps it closes.
    yield partial(Endpoint, path=path, has_sessions=not settings.stateless)
    # Of calls alone, whose questions end when nobody waits for the answer any more.
    yield noticing_who_leaves
