"""Traces: one span for each request to Inkbox, in the trace that the caller of a tool began.

The SDK makes the span of a tool call, and continues the trace that the message's `_meta` names. Here is what it
leaves to others: the requests to Inkbox; `inkbox_mcp.http.trace_context` reads the header that gateways send. Only
OpenTelemetry's API is needed; whether anything is recorded is up to the operator, see `configure`. No span holds what
an argument held.
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

from inkbox_mcp import __version__

logger = logging.getLogger(__name__)

ASKING = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The environment variables by which an operator asks for traces."""
SECONDS_TO_SEND = 1.0
"""How long the end of a process may be put off for its last spans."""

_tracer = get_tracer("inkbox_mcp", __version__)


class Exchange:
    """One request to Inkbox and its answer, as far as its span tells about them.

    Attributes:
        headers: what the request carries so that the trace goes on where it arrives.
        status: the HTTP status of the answer, once there is one.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        inject(self.headers)
        # What the caller and its own services tell each other is not Inkbox's business.
        for name in ("baggage", "tracestate"):
            self.headers.pop(name, None)

    def answered(self, status: int) -> None:
        """Note the HTTP status of the answer; 400 and above make the span a failed one."""
        self.status = status
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self._fail(str(status))

    def ended(self, error: BaseException) -> None:
        """Note what ended the request, by its type only: messages of exceptions repeat arguments."""
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
        template: the path without the names in it, such as `/api/v1/mail/mailboxes/{}`.
        resend: how many times the same request was sent before.
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
        # The conventions want a whole URL, and this word where a part of it may not be told.
        "url.full": base_url + template.replace("{}", "REDACTED"),
    }


def configure() -> None:
    """Set OpenTelemetry up as its standard environment variables say, if any of `ASKING` does; once per process.

    Without one of them, or with `OTEL_SDK_DISABLED`, nothing is done and nothing is loaded. Where the extra `otel` is
    missing, a warning is logged.
    """
    asked = [variable for variable in ASKING if os.environ.get(variable)]
    if not asked or _is_off() or not _is_unset():
        return
    try:
        from opentelemetry.instrumentation.auto_instrumentation import (  # pyright: ignore[reportMissingTypeStubs]
            initialize,
        )
    except ImportError:
        pass
    else:
        _set_defaults()
        # The console exporter takes what stdout is now, and over stdio that belongs to the protocol.
        with redirect_stdout(sys.stderr):
            initialize()
        atexit.register(shut_down)  # before the SDK's own, which was registered before
    if _is_unset():
        logger.warning("%s is set, but no traces are sent; that needs pip install 'inkbox-mcp[otel]'", asked[0])


def shut_down(seconds: float = SECONDS_TO_SEND) -> None:
    """Send the spans that are not sent yet and end tracing; needed before `os._exit`, other ends do it themselves.

    Args:
        seconds: how long it may take at most.
    """
    shutdown = getattr(get_tracer_provider(), "shutdown", None)
    if shutdown:
        # It would wait for a collector that does not answer, as long as half a minute.
        thread = threading.Thread(target=shutdown, daemon=True)
        thread.start()
        thread.join(seconds)


def _is_off() -> bool:
    disabled, exporter = os.environ.get("OTEL_SDK_DISABLED", ""), os.environ.get("OTEL_TRACES_EXPORTER", "")
    return disabled.strip().lower() == "true" or exporter.strip().lower() == "none"


def _is_unset() -> bool:
    return isinstance(get_tracer_provider(), ProxyTracerProvider)


def _set_defaults() -> None:
    """Choose what the operator leaves open: the exporter that the extra brings, and traces only."""
    defaults = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        defaults["OTEL_SERVICE_NAME"] = "inkbox-mcp"
    for variable, value in defaults.items():
        os.environ.setdefault(variable, value)
