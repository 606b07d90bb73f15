"""Traces: one span for each request to Inkbox, in the trace of the tool call.

The SDK makes the span of a tool call and continues the trace in the message's `_meta`.
`inkbox_mcp.http.trace_context` continues the trace in a gateway's header. This module needs OpenTelemetry's API only;
the operator decides whether spans are recorded, see `configure`. No span contains the value of an argument.
"""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from urllib.parse import urlsplit

from opentelemetry.propagate import inject
from opentelemetry.trace import (
    ProxyTracerProvider,
    Span,
    SpanKind,
    StatusCode,
    get_tracer,
    get_tracer_provider,
)

from inkbox_mcp import __version__, install_line

logger = logging.getLogger(__name__)

ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables that switch traces on."""
SECONDS_TO_SEND = 1.0
"""The most seconds that a process waits at exit to send its last spans."""

_tracer = get_tracer("inkbox_mcp", __version__)


class Exchange:
    """One request to Inkbox and its answer, with their span.

    Attributes:
        headers: to send with the request, so that Inkbox continues the trace.
        status: the HTTP status of the answer; None before it.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        inject(self.headers)
        # These are for the caller's own services, not for Inkbox.
        for name in ("baggage", "tracestate"):
            self.headers.pop(name, None)

    def answered(self, status: int) -> None:
        """Set the HTTP status of the answer; 400 and above mark the span as failed."""
        self.status = status
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self._fail(str(status))

    def ended(self, error: BaseException) -> None:
        """Set the type of the exception that ended the request. Messages of exceptions repeat arguments."""
        if self.status is None or self.status < 400:
            kind = type(error)
            self._fail(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")

    def _fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR)


@contextmanager
def client_span(method: str, base_url: str, template: str, resend: int) -> Generator[Exchange]:
    """Trace one request to Inkbox, by OpenTelemetry's semantic conventions for HTTP.

    Args:
        method: GET, POST, PATCH or DELETE.
        base_url: such as `https://inkbox.ai`.
        template: the path without names, such as `/api/v1/mail/mailboxes/{}`.
        resend: how often the request was sent before.
    """
    attributes = _attributes(method, base_url, template)
    with _tracer.start_as_current_span(
        f"{method} {template}",
        kind=SpanKind.CLIENT,
        attributes=attributes | {"http.request.resend_count": resend} if resend else attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        exchange = Exchange(span)
        try:
            yield exchange
        except BaseException as error:
            exchange.ended(error)
            raise


@lru_cache
def _attributes(method: str, base_url: str, template: str) -> dict[str, str | int]:
    url = urlsplit(base_url)
    return {
        "http.request.method": method,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
        "url.template": template,
        # The conventions require a whole URL, with this word for secret parts.
        "url.full": base_url + template.replace("{}", "REDACTED"),
    }


def configure() -> None:
    """Set up OpenTelemetry from its standard environment variables, once per process.

    Without any of `ASKING`, or with `OTEL_SDK_DISABLED`, it does nothing and loads nothing. If the extra `otel` is
    missing, it logs a warning.
    """
    asked = [variable for variable in ASKING if os.environ.get(variable)]
    if not asked or _is_off() or is_recording():
        return
    try:
        from opentelemetry.instrumentation.auto_instrumentation import (  # pyright: ignore[reportMissingTypeStubs]
            initialize,
        )
    except ImportError:
        pass
    else:
        _set_defaults()
        # The console exporter keeps the stdout of this moment, which over stdio belongs to the protocol.
        with redirect_stdout(sys.stderr):
            initialize()
        atexit.register(shut_down)  # runs before the SDK's own, which was registered earlier
    if not is_recording():
        logger.warning("%s is set, but no traces are sent; that needs %s", asked[0], install_line("otel"))


def is_recording() -> bool:
    """Whether this process has something that can record spans."""
    return not isinstance(get_tracer_provider(), ProxyTracerProvider)


def shut_down() -> None:
    """Send the remaining spans and end tracing. Call it before `os._exit`; a normal exit calls it by itself."""
    shutdown = getattr(get_tracer_provider(), "shutdown", None)
    if shutdown:
        # In a thread: it would wait half a minute for a collector that does not answer.
        thread = threading.Thread(target=shutdown, daemon=True)
        thread.start()
        thread.join(SECONDS_TO_SEND)


def _is_off() -> bool:
    disabled, exporter = os.environ.get("OTEL_SDK_DISABLED", ""), os.environ.get("OTEL_TRACES_EXPORTER", "")
    return disabled.strip().lower() == "true" or exporter.strip().lower() == "none"


def _set_defaults() -> None:
    """Set defaults for unset variables: the extra's exporter, and traces only."""
    defaults = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        defaults["OTEL_SERVICE_NAME"] = "inkbox-mcp"
    for variable, value in defaults.items():
        os.environ.setdefault(variable, value)
