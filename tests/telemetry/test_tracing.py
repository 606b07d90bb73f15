"""Traces: the attributes of the spans of requests to Inkbox, and their place in the caller's trace."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_tracer, set_tracer_provider
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp import install_line
from inkbox_mcp.http.trace_context import TraceContextMiddleware
from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.tracing import ASKING, client_span
from tests.support.agents import KEY, connect
from tests.support.messages import HEADERS
from tests.support.processes import PATIENCE, environment, serve_http, start

pytestmark = pytest.mark.posix

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TEMPLATE = "/api/v1/mail/mailboxes/{}"


@lru_cache
def _exporter() -> InMemorySpanExporter:
    # A process can set its tracer provider only once.
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans() -> Callable[[], list[ReadableSpan]]:
    """Record spans; return a function that returns the ended ones, except FastAPI's own."""
    exporter = _exporter()
    exporter.clear()

    def ended() -> list[ReadableSpan]:
        scopes = [(span.instrumentation_scope, span) for span in exporter.get_finished_spans()]
        return [span for scope, span in scopes if scope and scope.name != "fastapi"]

    return ended


def recorder(app: ASGIApp, requests: list[dict[str, str]]) -> ASGIApp:
    """Wrap an application and record the headers of its requests."""

    async def record(scope: Scope, receive: Receive, send: Send) -> None:
        requests.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await app(scope, receive, send)

    return record


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return the ids of a span's trace and of the span."""
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_a_request_has_a_span_with_the_attributes_of_the_conventions(spans: Callable[[], list[ReadableSpan]]) -> None:
    """The template replaces names, and REDACTED replaces them where the URL must be complete."""
    with client_span("GET", "https://inkbox.ai", TEMPLATE, 0) as exchange:
        exchange.answered(200)
    (span,) = spans()
    assert span.name == f"GET {TEMPLATE}"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "server.address": "inkbox.ai",
        "server.port": 443,
        "url.template": TEMPLATE,
        "url.full": "https://inkbox.ai/api/v1/mail/mailboxes/REDACTED",
        "http.response.status_code": 200,
    }
    assert exchange.status == 200
    assert list(exchange.headers) == ["traceparent"]
    assert exchange.headers["traceparent"].startswith("00-{}-{}-".format(*ids(span)))


@pytest.mark.parametrize(
    ("base_url", "server"),
    [
        ("http://localhost:8800", ("localhost", 8800)),
        ("http://[::1]", ("::1", 80)),
        ("http://sandbox", ("sandbox", 80)),
    ],
)
def test_a_span_names_the_server(
    base_url: str, server: tuple[str, int], spans: Callable[[], list[ReadableSpan]]
) -> None:
    """The base URL may omit the port or contain an IPv6 address."""
    with client_span("DELETE", base_url, "/x", 0):
        pass
    attributes = spans()[0].attributes or {}
    assert (attributes["server.address"], attributes["server.port"]) == server


def test_a_repeated_request_says_so(spans: Callable[[], list[ReadableSpan]]) -> None:
    """Only a repeated request has the attribute `http.request.resend_count`."""
    for resend in (0, 1, 2, 0):
        with client_span("GET", "https://inkbox.ai", TEMPLATE, resend):
            pass
    assert [(span.attributes or {}).get("http.request.resend_count") for span in spans()] == [None, 1, 2, None]


def ended_by(error: BaseException, status: int | None) -> type[BaseException]:
    """Make a request that raises an exception, after an answer or without one; return the exception's type."""

    def request() -> None:
        with client_span("GET", "https://inkbox.ai", TEMPLATE, 0) as exchange:
            if status:
                exchange.answered(status)
            raise error

    with pytest.raises(BaseException) as raised:
        request()
    return raised.type


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_refusal_is_an_error_named_by_its_status(status: int, spans: Callable[[], list[ReadableSpan]]) -> None:
    """The status is the error's type even if an exception follows."""
    assert ended_by(KeyError(), status) is KeyError
    (span,) = spans()
    assert (span.attributes or {})["error.type"] == str(status)
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (httpx2.ConnectError("sales@example.com"), "httpx2.ConnectError"),
        (TimeoutError("sales@example.com"), "TimeoutError"),
        (KeyboardInterrupt("sales@example.com"), "KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("answered", [True, False])
def test_an_exception_is_an_error_named_by_its_type(
    error: BaseException, name: str, answered: bool, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """The span must not contain the exception's text, which may repeat arguments."""
    assert ended_by(error, 200 if answered else None) is type(error)
    (span,) = spans()
    assert (span.attributes or {})["error.type"] == name
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events
    assert "sales" not in span.to_json()


async def test_a_call_is_one_trace_from_the_agent_to_the_sandbox(
    era: str, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """The chain leads from the `traceparent` header that Inkbox receives to the agent's own span."""
    requests: list[dict[str, str]] = []
    with Store(":memory:") as store:
        app = recorder(create_app(store), requests)
        transport = httpx2.ASGITransport(app)  # pyright: ignore[reportArgumentType]
        async with connect(transport, era, sandbox=True) as agent:
            with get_tracer("agent").start_as_current_span("think"):
                await agent.ask("list_mailboxes")
    by_id = {ids(span)[1]: span for span in spans()}
    _, trace, identifier, _ = requests[0]["traceparent"].split("-")
    chain = [by_id[identifier]]
    while parent := chain[-1].parent:
        chain.append(by_id[f"{parent.span_id:016x}"])
    assert {ids(span)[0] for span in chain} == {trace}
    names = [span.name for span in chain if not span.name.startswith("MCP send ")]  # spans that the client may add
    assert names == ["GET /api/v1/mail/mailboxes", "tools/call list_mailboxes", "think"]


@pytest.mark.parametrize(
    ("header", "meta", "parent"),
    [(CALLER, None, CALLER), (None, CALLER, CALLER), (OTHER, CALLER, CALLER), (None, None, None), ("bad", "bad", None)],
    ids=["header", "message", "both", "neither", "garbage"],
)
async def test_the_trace_of_an_http_request_goes_on(
    header: str | None, meta: str | None, parent: str | None, era: str, spans: Callable[[], list[ReadableSpan]]
) -> None:
    """The message's own context wins over the header, and other requests of the session do not affect it."""
    requests: list[dict[str, str]] = []
    with Store(":memory:") as store:
        app = recorder(create_app(store), requests)
        server = build_server(Settings(sandbox=True), lambda: httpx2.ASGITransport(app))  # pyright: ignore[reportArgumentType]
        served = server.streamable_http_app(host="127.0.0.1")
        async with (
            served.router.lifespan_context(served),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(TraceContextMiddleware(served)),  # pyright: ignore[reportArgumentType]
                base_url="http://127.0.0.1:8000",
                headers=HEADERS,
            ) as http,
        ):
            headers, envelope = await _open(http, era)
            extra = {"traceparent": header, "baggage": "user=7", "tracestate": "gateway=1"} if header else {}
            message = {"traceparent": meta, "tracestate": "agent=1"} if meta else {}
            params = {"name": "list_mailboxes", "arguments": {}, "_meta": envelope | message}
            body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            answer = await http.post("/mcp", json=body, headers=headers | extra)
            assert '"mailboxes' in answer.text
    (call,) = [span for span in spans() if span.name == "tools/call list_mailboxes"]
    continued = call.parent and f"00-{call.parent.trace_id:032x}-{call.parent.span_id:016x}-01"
    assert continued == parent
    assert requests[-1]["traceparent"].split("-")[1] == ids(call)[0]
    assert "tracestate" not in requests[-1]
    assert "baggage" not in requests[-1]


async def _open(http: httpx2.AsyncClient, era: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Open a session if the era needs one; return the headers and the `_meta` of a call."""
    client: dict[str, Any] = {"name": "test", "version": "1"}
    if era == "auto":
        prefix = "io.modelcontextprotocol/"
        envelope: dict[str, Any] = {
            f"{prefix}protocolVersion": "2026-07-28",
            f"{prefix}clientInfo": client,
            f"{prefix}clientCapabilities": {},
        }
        headers = {
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "list_mailboxes",
        }
        return headers, envelope
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    opened = await http.post("/mcp", json=initialize, headers={"traceparent": OTHER})
    headers = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    return headers, {}


async def test_a_span_that_is_already_there_is_left_alone(spans: Callable[[], list[ReadableSpan]]) -> None:
    """If operators instrument the web framework with OpenTelemetry, its span must stay the parent."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with get_tracer("test").start_as_current_span("handle"):
            pass

    async def nothing(*_: object) -> Any:
        raise AssertionError

    scope = {"type": "http", "headers": [(b"traceparent", CALLER.encode())]}
    with get_tracer("instrumentation").start_as_current_span("POST /mcp"):
        await TraceContextMiddleware(app)(scope, nothing, nothing)
    await TraceContextMiddleware(app)(scope, nothing, nothing)
    await TraceContextMiddleware(app)({"type": "lifespan"}, nothing, nothing)
    within, parent, continued, lifespan = spans()
    assert within.parent == parent.context
    assert ids(continued)[0] == CALLER.split("-")[1]
    assert lifespan.parent is None


async def test_no_span_holds_what_arguments_and_answers_hold(era: str, spans: Callable[[], list[ReadableSpan]]) -> None:
    """The test covers a 404, a conflict, a lost answer and invalid arguments."""
    marker = "zebra"

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(404, json={"detail": f"{marker} not found: {request.url}"})
        if request.method == "PATCH":
            raise httpx2.ReadError(f"lost {request.url}")
        return httpx2.Response(409, json={"detail": [{"loc": [marker], "msg": str(request.url)}]})

    async with connect(handler, era) as agent:
        address = f"{marker}@inkboxmail.com"
        await agent.refused("get_mailbox", email_address=address)
        await agent.refused("update_mailbox", email_address=address, display_name=marker)
        await agent.refused("create_mailbox", agent_handle=marker, display_name=marker)
        await agent.refused("list_webhooks", email_address=address)
        await agent.refused("get_mailbox", email_address=f"no address {marker}", **{marker: 1})
    told = " ".join(span.to_json() for span in spans())
    assert TEMPLATE in told
    assert marker not in told
    assert KEY not in told


CONFIGURE = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s")
for name in sys.argv[1:]:
    sys.modules[name] = None
from inkbox_mcp.telemetry.tracing import client_span, configure
configure()
with client_span("GET", "https://inkbox.ai", "/x", 0) as exchange:
    print(bool(exchange.headers), "opentelemetry.sdk.trace" in sys.modules)
"""


def configured(*missing: str, **variables: str) -> tuple[str, str]:
    """Run a process that configures tracing and makes a span; return its stdout and stderr."""
    command = [sys.executable, "-W", "error", "-c", CONFIGURE, *missing]
    variables = environment(Path.cwd(), **variables)
    ended = subprocess.run(command, env=variables, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return ended.stdout.strip(), ended.stderr.strip()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_loaded_unless_traces_are_asked_for(variables: dict[str, str]) -> None:
    """The OpenTelemetry SDK is not imported either when a variable switches traces off."""
    assert configured(**variables) == ("False False", "")


@pytest.mark.parametrize(
    "missing", ["opentelemetry.instrumentation", "opentelemetry.instrumentation.auto_instrumentation"]
)
@pytest.mark.parametrize("variable", ASKING)
def test_traces_that_cannot_be_sent_are_a_warning(missing: str, variable: str) -> None:
    """The warning names the variable and the package to install."""
    out, err = configured(missing, **{variable: "http://127.0.0.1:9"})
    assert out == "False False"
    assert err == f"WARNING {variable} is set, but no traces are sent; that needs {install_line('otel')}"


class Collector:
    """An OpenTelemetry collector that receives spans by OTLP over HTTP.

    Attributes:
        url: the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
        received: pairs of a service name and a span, in the order of arrival.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: Queue[tuple[str, SentSpan]] = Queue()

    def spans(self) -> Mapping[str, tuple[str, SentSpan]]:
        """Return the received spans by name."""
        return {pair[1].name: pair for pair in list(self.received.queue)}


@pytest.fixture
def collector() -> Generator[Collector]:
    """Run a collector on loopback."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    values = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        for span in scope.spans:
                            running.received.put((values["service.name"], span))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        running = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield running
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_standard_variables_configure_it(collector: Collector) -> None:
    """The process sends its last spans when it ends."""
    assert configured(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) == ("True True", "")
    assert collector.spans()["GET /x"][0] == "inkbox-mcp"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{"OTEL_SERVICE_NAME": "mine"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine,team=a"}]
)
def test_the_service_has_the_name_that_the_operator_gives_it(variables: dict[str, str], collector: Collector) -> None:
    """The name `inkbox-mcp` is only the default."""
    endpoint = f"{collector.url}/v1/traces"
    configured(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=endpoint, OTEL_TRACES_EXPORTER="otlp", **variables)
    assert collector.spans()["GET /x"][0] == "mine"


@pytest.mark.slow
def test_a_collector_that_hangs_does_not_put_the_end_off() -> None:
    """A client waits only two seconds before it kills its server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as never_answers:
        url = f"http://127.0.0.1:{never_answers.server_port}"
        began = os.times().elapsed
        assert configured(OTEL_EXPORTER_OTLP_ENDPOINT=url) == ("True True", "")
        assert os.times().elapsed - began < 5


@pytest.mark.slow
def test_traces_on_the_console_leave_stdout_alone() -> None:
    """Over stdio, stdout carries only protocol messages."""
    out, err = configured(OTEL_TRACES_EXPORTER="console")
    assert out == "True True"
    assert '"name": "GET /x"' in err


FORKED = """
import os
from inkbox_mcp.telemetry.tracing import client_span, configure, shut_down

for number in range(3):
    if not os.fork():
        configure()
        with client_span("GET", "https://inkbox.ai", f"/process/{number}", 0):
            pass
        shut_down()
        os._exit(0)
for number in range(3):
    os.wait()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_each_forked_process_sends_its_own_spans(tmp_path: Path, collector: Collector) -> None:
    """A process that ends by `os._exit` skips Python's exit handlers, but sends its spans, too."""
    variables = environment(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    subprocess.run([sys.executable, "-W", "error", "-c", FORKED], env=variables, check=True, timeout=PATIENCE)
    assert sorted(collector.spans()) == ["GET /process/0", "GET /process/1", "GET /process/2"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["end of input", "SIGTERM"])
async def test_a_server_over_stdio_sends_its_spans_before_it_ends(
    ending: str, tmp_path: Path, collector: Collector
) -> None:
    """The server sends its spans both at the end of input and on SIGTERM."""
    arguments = ("--sandbox", "--sandbox-db", ":memory:")
    async with start(*arguments, home=tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server:
        await server.initialize()
        await server.request("tools/call", name="list_mailboxes", arguments={}, _meta={"traceparent": CALLER})
        if ending == "SIGTERM":
            server.signal(signal.SIGTERM)
        else:
            await server.close_stdin()
        assert (await server.end()).status == 0
    _is_one_trace(collector)


@pytest.mark.slow
async def test_a_server_over_http_sends_its_spans_before_it_ends(
    era: str, tmp_path: Path, collector: Collector
) -> None:
    """The call's span continues the trace of the gateway's `traceparent` header."""
    arguments = ("--sandbox", "--sandbox-db", ":memory:")
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    async with serve_http(*arguments, home=tmp_path, **variables) as (server, origin):
        async with httpx2.AsyncClient(base_url=origin, headers=HEADERS) as http:
            headers, envelope = await _open(http, era)
            params = {"name": "list_mailboxes", "arguments": {}, "_meta": envelope}
            body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            assert (await http.post("/mcp", json=body, headers=headers | {"traceparent": CALLER})).status_code == 200
        server.signal(signal.SIGTERM)
        assert (await server.end()).status == 0
    _is_one_trace(collector)


def _is_one_trace(collector: Collector) -> None:
    spans = collector.spans()
    call, request = spans["tools/call list_mailboxes"][1], spans["GET /api/v1/mail/mailboxes"][1]
    assert {name for name, _ in spans.values()} == {"inkbox-mcp"}
    assert "-".join(["00", call.trace_id.hex(), call.parent_span_id.hex(), "01"]) == CALLER
    assert request.trace_id == call.trace_id


async def test_the_span_of_a_file_does_not_show_its_signed_url(spans: Callable[[], list[ReadableSpan]]) -> None:
    """Whoever has the URL has the file."""

    def inkbox(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/api/"):
            return httpx2.Response(200, json={"url": "https://inkbox.ai/place/secret-name?signature=secret"})
        return httpx2.Response(404)

    given = {"email_address": "sales", "message_id": "123e4567-e89b-42d3-a456-426614174000", "filename": "a.txt"}
    async with connect(inkbox) as agent:
        await agent.refused("get_attachment", **given)
    (span,) = [span for span in spans() if span.name == "GET /{}"]
    assert dict(span.attributes or {}) | {"error.type": "404"} == dict(span.attributes or {})
    assert (span.attributes or {})["url.full"] == "https://inkbox.ai/REDACTED"
    assert "secret" not in "".join(each.to_json() for each in spans())
