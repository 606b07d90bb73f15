"""Continues the trace that a gateway sends in the `traceparent` header of a request."""

from opentelemetry.context import attach, detach, get_current
from opentelemetry.propagate import extract
from opentelemetry.trace import get_current_span
from starlette.types import ASGIApp, Receive, Scope, Send


class TraceContextMiddleware:
    """ASGI middleware that continues the trace of the `traceparent` header.

    A trace in the message's `_meta` has priority over it. So has a span that exists already because the operator uses
    OpenTelemetry's own instrumentation of the web framework.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or get_current_span().get_span_context().is_valid:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        token = attach(extract(headers, get_current()))
        del headers  # a call may wait for long
        try:
            await self._app(scope, receive, send)
        finally:
            detach(token)
