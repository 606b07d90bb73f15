"""HTTP access rules hold for every path and every spelling of a request."""

import json
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from pydantic import ValidationError
from starlette.types import Message, Scope

from inkbox_mcp.access.scopes import READ
from inkbox_mcp.http import app, middleware
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.http.hosts import Authority, Hosts
from inkbox_mcp.http.spelling import OneSpelling
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.alike import ERAS_ALIKE
from tests.support.authorization_server import Issuer, serve_issuer
from tests.support.http_in_process import serve_in_process
from tests.support.messages import CALL, CALL_HEADERS, ENVELOPE
from tests.support.processes import PATIENCE, stdio_agent
from tests.support.raw_requests import GOOD, message
from tests.support.shared_servers import SharedHTTP

TOKEN = "a-token-of-many-characters"
SESSION = "mcp-session-id"


class Endpoint:
    """A running server, and a way to send it requests byte by byte."""

    def __init__(self, origin: str) -> None:
        self.port = int(origin.rpartition(":")[2])

    async def ask(self, raw: bytes, verb: str = "POST") -> tuple[int, dict[str, str], bytes]:
        """Send a request; return status, headers (names in lower case) and body; streams are not read."""
        return await anyio.to_thread.run_sync(self._ask, raw, verb)

    def _ask(self, raw: bytes, verb: str) -> tuple[int, dict[str, str], bytes]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(raw)
            response = HTTPResponse(connection, method=verb)
            response.begin()
            headers = {name.lower(): value for name, value in response.headers.items()}
            is_stream = verb == "GET" and headers.get("content-type", "").startswith("text/event-stream")
            return response.status, headers, b"" if is_stream else response.read()


@asynccontextmanager
async def endpoint(*options: str, **variables: str) -> AsyncGenerator[Endpoint]:
    """Serve a sandbox in this process."""
    async with serve_in_process("--sandbox", "--sandbox-db", ":memory:", *options, **variables) as origin:
        yield Endpoint(origin)


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    """Write a GET request."""
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/{version}", *headers, "")).encode("latin-1")


FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "localhost@evil.example",
    "evil@localhost",
    "localhost:1.evil.example",
    "localhost:8000:8000",
    "localhost:x",
    "localhost localhost",
    "localhost,evil.example",
    "localhost..",
    "localhost/",
    "127.0.0.1%00",
    "::1",
    "[::1",
    "[::1]evil",
    "[::1%25lo]",
    "[::ffff:127.0.0.1]",
    "127.0.0.01",
    "127.1",
    "0x7f.1",
    "l\xf6calhost",
    "*",
    "",
]
OWN = ["localhost", "LOCALHOST:1", "LocalHost.", "localhost.:8000", "127.0.0.1:", "[::1]:8000", "[::1]"]


async def test_on_loopback_no_path_answers_another_host(shared_http: SharedHTTP) -> None:
    """A web page of another host must not read metrics or health either, and no answer is a redirect."""
    server = Endpoint(shared_http())
    for path in ("/metrics", "/healthz", "/readyz", "/mcp", "/mcp/", "/nothing", "/healthz/"):
        for host in FOREIGN:
            status, headers, _ = await server.ask(get(path, f"Host: {host}"), "GET")
            assert (status, "location" in headers) == (421, False), (path, host)
    for host in OWN:
        assert (await server.ask(get("/metrics", f"Host: {host}"), "GET"))[0] == 200, host
    ignored = get("/healthz", "Host: localhost", "X-Forwarded-Host: evil.example", "Forwarded: host=evil.example")
    assert (await server.ask(ignored, "GET"))[0] == 200
    claimed = get("/healthz", "Host: evil.example", "X-Forwarded-Host: localhost", "Forwarded: host=localhost")
    assert (await server.ask(claimed, "GET"))[0] == 421


async def test_a_request_that_names_no_host_or_two_is_refused(shared_http: SharedHTTP) -> None:
    """Only health probes may omit it, with HTTP/1.0. A URL as the path is refused, because its host is not checked."""
    server = Endpoint(shared_http())
    for path, status in (("/metrics", 421), ("/mcp", 421), ("/nothing", 421), ("/healthz", 200), ("/readyz", 200)):
        assert (await server.ask(get(path, version="1.0"), "GET"))[0] == status, path
    assert (await server.ask(get("/metrics", "Host: localhost", version="1.0"), "GET"))[0] == 200
    for second in ("evil.example", "localhost"):
        for version in ("1.0", "1.1"):
            raw = get("/healthz", "Host: localhost", f"Host: {second}", version=version)
            assert (await server.ask(raw, "GET"))[0] == 400
    for target in ("http://evil.example/healthz", "http://localhost/healthz", "//evil.example/healthz"):
        status, headers, _ = await server.ask(get(target, "Host: localhost"), "GET")
        assert (status, "location" in headers) == (404, False), target


@pytest.mark.parametrize("headers", [[], [(b"host", b"localhost"), (b"host", b"evil.example")]], ids=["none", "two"])
async def test_a_server_that_lets_two_hosts_through_changes_nothing(headers: Any) -> None:
    """The check must not depend on h11, which refuses such requests first."""
    sent: list[Message] = []

    async def unreachable(*_: Any) -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    guarded = Hosts(unreachable, Settings())  # pyright: ignore[reportArgumentType]
    await guarded({"type": "http", "method": "GET", "path": "/metrics", "headers": headers}, unreachable, send)
    assert sent[0]["status"] == 421


async def test_pages_of_other_origins_read_no_path() -> None:
    """The scheme and the host of an origin are compared without case."""
    own = [
        "http://localhost:3000",
        "HTTP://LocalHost",
        "http://127.0.0.1:1",
        "http://[::1]:8000",
        "https://App.Example",
    ]
    foreign = [
        "null",
        "https://localhost",
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://app.example@evil.example",
        "https://app.example/",
        "https://app.example, https://evil.example",
        "file://",
        "localhost",
        "://localhost",
    ]
    async with endpoint("--metrics", "--allowed-origins", "https://app.example") as server:
        for origin in own:
            assert (await server.ask(get("/metrics", "Host: localhost", f"Origin: {origin}"), "GET"))[0] == 200, origin
        for path in ("/metrics", "/healthz", "/mcp"):
            for origin in foreign:
                raw = get(path, "Host: localhost", f"Origin: {origin}")
                assert (await server.ask(raw, "GET"))[0] == 403, (path, origin)
            two = get(path, "Host: localhost", "Origin: http://localhost", "Origin: https://evil.example")
            assert (await server.ask(two, "GET"))[0] == 403


async def test_beyond_loopback_probes_name_the_server_by_its_address_and_others_by_its_name() -> None:
    """This applies once hosts are allowed. A host with a port is allowed on that port only."""
    options = ("--host", "0.0.0.0", "--metrics", "--allowed-hosts", "MCP.Example.com.,[2001:db8::1],other.example:8443")
    async with endpoint(*options, INKBOX_MCP_TOKEN=TOKEN) as server:

        async def status(path: str, host: str) -> int:
            return (await server.ask(get(path, f"Host: {host}"), "GET"))[0]

        for path in ("/healthz", "/readyz"):
            assert await status(path, "10.1.2.3:8000") == 200
        for path in ("/metrics", "/nothing", "/healthz/", "/metrics?/healthz"):
            for host in ("10.1.2.3:8000", "localhost", "other.example", "other.example:1", "other.example:8443."):
                assert await status(path, host) == 421, (path, host)
        for host in (
            "mcp.example.com",
            "mcp.EXAMPLE.com:443",
            "mcp.example.com.",
            "[2001:DB8::1]:1",
            "other.example:8443",
        ):
            assert await status("/metrics", host) == 200, host


@pytest.mark.parametrize(
    "host", ["https://mcp.example.com", "*.example.com", "::1", "mcp.example.com/mcp", "a@b", "\u212a.example"]
)
def test_an_allowed_host_that_no_request_can_name_stops_the_start(host: str) -> None:
    """The server would refuse the requests that the operator wanted to allow."""
    with pytest.raises(ValidationError, match="must be hosts as in URLs"):
        Settings.model_validate({"allowed_hosts": host})


def test_a_host_that_is_allowed_on_any_port_may_say_so() -> None:
    """The SDK's own lists accept `:*` too."""
    allowed = [Authority.parse("mcp.example.com:*")]
    assert allowed == [Authority("mcp.example.com")]


SPELLINGS = ["/mcp", "/mcp/", "/mcp%2f", "/mcp%2F", "/mcp%0a", "/mcp/%0A", "/%6dcp", "/m%63p/"]
ELSEWHERE = ["//mcp", "/mcp//", "/MCP", "/mcp%00", "/mcp%20", "/mcp;x", "/./mcp", "/x/../mcp", "/mcp/x", "/mcp%0d", "*"]


async def test_every_spelling_that_reaches_the_endpoint_needs_the_token(shared_http: SharedHTTP) -> None:
    """No spelling of the path may bypass the token, and none is answered with a redirect."""
    good = GOOD["legacy"]
    server = Endpoint(shared_http(INKBOX_MCP_TOKEN=TOKEN))
    for path in SPELLINGS:
        status, headers, _ = await server.ask(good.spoilt(path=path))
        assert (status, SESSION in headers) == (401, False), path
        status, headers, _ = await server.ask(good.spoilt(path=path, Authorization=f"Bearer {TOKEN}"))
        assert (status, SESSION in headers) == (200, True), path
    for path in ELSEWHERE:
        status, headers, _ = await server.ask(good.spoilt(path=path, Authorization=f"Bearer {TOKEN}"))
        assert (status, "location" in headers) == (404, False), path


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [
        ("", "/mcp", "/mcp"),
        ("", "/mcp/", "/mcp"),
        ("", "/mcp\n", "/mcp"),
        ("", "/mcp/\n\n", "/mcp"),
        ("/behind", "/behind/mcp/", "/mcp"),
        ("/behind", "/mcp", "/mcp"),
        ("/behind", "/behindmcp", "/behindmcp"),
        ("/mcp", "/mcp", "/mcp"),
        ("/mcp", "/mcp/mcp", "/mcp"),
        ("", "/mcp//", "/mcp//"),
        ("", "/healthz\n", "/healthz"),
    ],
)
async def test_what_is_behind_sees_one_spelling(root: str, path: str, seen: str) -> None:
    """The inner app also gets no path prefix, because a router would remove it again."""
    scopes: list[Scope] = []

    async def inside(scope: Scope, _: Any, __: Any) -> None:
        scopes.append(scope)

    await OneSpelling(inside, "/mcp")({"type": "http", "path": path, "root_path": root}, anyio.sleep_forever, inside)  # pyright: ignore[reportArgumentType]
    (scope,) = scopes
    assert (scope["path"], scope["root_path"]) == (seen, "")


async def test_a_call_is_finished_before_the_end_in_every_spelling() -> None:
    """The drain must count a call under every spelling of its path."""
    drain = Drain("/mcp", 0)
    under_way: list[int] = []

    async def inside(_: Scope, __: Any, ___: Any) -> None:
        under_way.append(drain._under_way)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    for path in ("/mcp", "/mcp/", "/mcp\n"):
        scope = {"type": "http", "method": "POST", "path": path}
        await OneSpelling(drain.around(inside), "/mcp")(scope, anyio.sleep_forever, inside)  # pyright: ignore[reportArgumentType]
    assert under_way == [1, 1, 1]


async def test_a_refused_request_gets_and_keeps_no_session(shared_http: SharedHTTP) -> None:
    """A refusal does not repeat the id of an existing session either."""
    good = GOOD["legacy"]
    fine = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    refused = {
        "no accept": good.spoilt(Accept="text/html"),
        "no type": good.spoilt(Content_Type=None),
        "no message": good.spoilt(body=b"{}"),
        "not JSON": good.spoilt(body=b"{"),
        "a batch": good.spoilt(body=b"[%b]" % good.body),
        "no params": good.spoilt(body=message("initialize")),
        "no client": good.spoilt(body=message("initialize", protocolVersion="2025-11-25", capabilities={})),
        "odd version": good.spoilt(body=message("initialize", **{**fine, "protocolVersion": 5})),
        "odd capabilities": good.spoilt(body=message("initialize", **{**fine, "capabilities": {"elicitation": 5}})),
        "odd meta": good.spoilt(body=message("initialize", **fine, _meta=5)),
        "no id": good.spoilt(body=b'{"jsonrpc":"2.0","method":"initialize","params":{}}'),
        "another method": good.spoilt(body=message("tools/list")),
        "unknown version": good.spoilt(MCP_Protocol_Version="1999-01-01"),
        "two versions": good.spoilt(MCP_Protocol_Version="2025-11-25", more=b"MCP-Protocol-Version: 2025-06-18\r\n"),
        "unknown session": good.spoilt(Mcp_Session_Id="0" * 32),
        "two sessions": good.spoilt(Mcp_Session_Id="0" * 32, more=b"Mcp-Session-Id: 1\r\n"),
        "GET": good.spoilt(verb="GET", body=b""),
        "DELETE": good.spoilt(verb="DELETE", body=b""),
        "PUT": good.spoilt(verb="PUT"),
        "gzip": good.spoilt(Content_Encoding="gzip"),
    }
    server = Endpoint(shared_http())
    _, headers, _ = await server.ask(good.spoilt())
    ours: dict[str, Any] = {"Mcp-Session-Id": headers[SESSION]}
    refused |= {
        "no accept in a session": good.spoilt(Accept="text/html", **ours),
        "no message in a session": good.spoilt(body=b"{}", **ours),
        "PUT in a session": good.spoilt(verb="PUT", **ours),
    }
    for case, raw in refused.items():
        status, headers, _ = await server.ask(raw, "GET" if case == "GET" else "POST")
        assert 400 <= status < 500, case
        assert SESSION not in headers, case
    assert (await server.ask(good.spoilt(body=message("tools/list"), **ours)))[0] == 200


async def test_refused_requests_use_up_no_sessions() -> None:
    """The number of sessions is limited to 10,000, and refused requests must not use them up."""
    settings = Settings(http=True, sandbox=True, sandbox_db=":memory:")
    service = Service(settings)
    server = server_of(service, caller)
    served: Any = app.build_app(server, service, Drain("/mcp", 1))
    async with (
        server.session_manager.run(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(served), base_url="http://localhost") as http,
    ):
        bad = [
            b"{}",
            b"[]",
            message("ping"),
            message("initialize"),
            message("initialize", protocolVersion="2025-11-25"),
        ]
        for body in bad:
            headers = {"Accept": "*/*", "Content-Type": "application/json"}
            assert (await http.post("/mcp", content=body, headers=headers)).status_code == 400
        sessions = server.session_manager._server_instances  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        assert sessions == {}


async def test_a_refusal_is_a_sentence(shared_http: SharedHTTP) -> None:
    """Refusals are JSON-RPC errors with the request's id, and do not mention classes of the SDK."""
    server = Endpoint(shared_http())
    for good in GOOD.values():
        _, headers, _ = await server.ask(GOOD["legacy"].spoilt())
        cases: list[tuple[dict[str, Any], int, int | None, str]] = [
            ({"body": b"[%b]" % message("ping")}, -32600, None, "no batches"),
            ({"body": b" \n[]"}, -32600, None, "no batches"),
            ({"body": b"{}", "Mcp-Session-Id": headers[SESSION]}, -32600, None, "no JSON-RPC 2.0 message"),
            ({"body": b"{", "Mcp-Session-Id": headers[SESSION]}, -32700, None, "no JSON"),
            ({"MCP-Protocol-Version": "1999-01-01"}, -32022, 1, "Unsupported protocol version '1999-01-01'"),
        ]
        for changes, code, request_id, words in cases:
            status, _, body = await server.ask(good.spoilt(**changes))
            answer = json.loads(body)
            assert (status, answer["error"]["code"], answer["id"]) == (400, code, request_id), body
            assert words in answer["error"]["message"]
            assert b"pydantic" not in body
            assert code != -32022 or "2026-07-28" in answer["error"]["data"]["supported"]


async def test_media_types_compare_without_case_and_as_lists(shared_http: SharedHTTP) -> None:
    """This applies to `Content-Type` and to `Accept`."""
    server = Endpoint(shared_http())
    for good in GOOD.values():
        for kind in ("Application/JSON", "application/json;charset=utf-8", "APPLICATION/JSON ; charset=UTF-8"):
            assert (await server.ask(good.spoilt(Content_Type=kind)))[0] == 200, kind
        for kind in (
            "application/jsonp",
            "application/json-patch+json",
            "text/json",
            "application/json, text/html",
        ):
            assert (await server.ask(good.spoilt(Content_Type=kind)))[0] == 400, kind
        for kinds in ("*/*", "Application/JSON;q=0.9, Text/Event-Stream", "application/*, text/*"):
            assert (await server.ask(good.spoilt(Accept=kinds)))[0] == 200, kinds
        for kinds in ("application/*", "text/event-stream", "application/jsonp, text/event-streams"):
            assert (await server.ask(good.spoilt(Accept=kinds)))[0] == 406, kinds
        two = good.spoilt(Accept="application/json", more=b"accept: text/event-stream\r\n")
        assert (await server.ask(two))[0] == 200


async def test_a_compressed_body_is_refused_with_a_sentence(shared_http: SharedHTTP) -> None:
    """The server does not decompress bodies; `identity` means that the body is not compressed."""
    server = Endpoint(shared_http())
    for good in GOOD.values():
        for coding in ("gzip", "GZIP", "br", "deflate", "zstd", "x-gzip", "identity, gzip", "unknown"):
            status, headers, body = await server.ask(good.spoilt(Content_Encoding=coding))
            assert (status, headers["accept-encoding"]) == (415, "identity")
            assert b"without Content-Encoding" in body
        assert (await server.ask(good.spoilt(Content_Encoding="Identity")))[0] == 200


async def test_a_stream_that_cannot_be_replayed_begins_anew(shared_http: SharedHTTP) -> None:
    """A client that reconnects may send `Last-Event-ID`, but the server keeps no events."""
    good = GOOD["legacy"]
    server = Endpoint(shared_http())
    for event in ("5", "", "\xff", "x" * 5000):
        _, headers, _ = await server.ask(good.spoilt())
        stream = good.spoilt(verb="GET", body=b"", Mcp_Session_Id=headers[SESSION], Last_Event_ID=event)
        status, headers, _ = await server.ask(stream, "GET")
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert (await server.ask(good.spoilt(verb="GET", body=b"", Last_Event_ID="5"), "GET"))[0] == 400


async def test_no_request_becomes_a_websocket(shared_http: SharedHTTP) -> None:
    """The request is answered as if it had no upgrade headers."""
    upgrade: dict[str, Any] = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    server = Endpoint(shared_http(INKBOX_MCP_TOKEN=TOKEN))
    assert (await server.ask(GOOD["legacy"].spoilt(verb="GET", body=b"", **upgrade), "GET"))[0] == 401
    let_in = GOOD["legacy"].spoilt(verb="GET", body=b"", Authorization=f"Bearer {TOKEN}", **upgrade)
    assert (await server.ask(let_in, "GET"))[0] == 400


@ERAS_ALIKE
async def test_a_cursor_that_was_never_given_is_refused(era: str, tmp_path: Path, shared_http: SharedHTTP) -> None:
    """Otherwise the list would begin again for ever. Stdio is tested without and with a recording."""
    cursors = ("", "x", "0", "é" * 2000)
    async with Client(f"{shared_http()}/mcp", mode=era) as client:
        for cursor in cursors:
            with pytest.raises(MCPError, match="no such cursor") as refused:
                await client.list_tools(cursor=cursor)
            assert refused.value.error.code == -32602
        assert (await client.list_tools()).next_cursor is None
    for _ in range(2):
        async with stdio_agent("--sandbox", home=tmp_path, mode=era) as agent:
            for cursor in cursors:
                with pytest.raises(MCPError, match="no such cursor"):
                    await agent.client.list_tools(cursor=cursor)


async def test_a_readers_body_is_read_in_time(monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> None:
    """The body of a read-only caller is read before the call is allowed, so it needs the same deadline."""
    monkeypatch.setattr(middleware, "SECONDS_TO_READ", 0.2)
    settings = Settings.model_validate(
        {
            "http": True,
            "sandbox": True,
            "sandbox_db": ":memory:",
            "auth_issuer": issuer.url,
            "auth_audience": issuer.audience,
        }
    )
    service = Service(settings)
    served = app.build_app(server_of(service, caller), service, Drain("/mcp", 1))
    sent: list[Message] = []
    first = [{"type": "http.request", "body": b'{"jsonrpc"', "more_body": True}]

    async def receive() -> Message:
        if first:
            return first.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {issuer.token(scope=READ)}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers, "query_string": b""}
    with anyio.fail_after(PATIENCE):
        await served(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_the_body_of_a_caller_who_is_refused_is_not_read(shared_http: SharedHTTP) -> None:
    """The answer comes after the head, so that a refused caller uses no memory."""
    head = GOOD["legacy"].spoilt(Content_Length="4000000", body=b"")
    server = Endpoint(shared_http(INKBOX_MCP_TOKEN=TOKEN))
    assert (await server.ask(head))[0] == 401


@pytest.fixture
def issuer() -> Generator[Issuer]:
    """Run an authorization server."""
    with serve_issuer() as issuer:
        yield issuer


async def test_what_is_not_meant_for_the_endpoint_is_not_changed(shared_http: SharedHTTP) -> None:
    """A call of each era still gets its answer."""
    async with httpx2.AsyncClient(base_url=shared_http(), headers=CALL_HEADERS) as http:
        assert (await http.post("/mcp/", json=CALL)).json()["result"]["structuredContent"]["total"] == 0
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": ENVELOPE}}
        answer = await http.post("/mcp", json=listed, headers={"Mcp-Method": "tools/list"})
        assert answer.json()["result"]["tools"]
