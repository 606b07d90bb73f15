"""Every HTTP request gets an answer or is dropped: no request stops the server or causes an internal error."""

import json
import socket
import subprocess
import threading
from collections.abc import Generator
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mcp import Client

from tests.support.agents import Agent
from tests.support.processes import COMMAND, PATIENCE, environment
from tests.support.raw_requests import GOOD, GOOD_CALL, Good, message

pytestmark = pytest.mark.posix


DROPPED = 0
"""The connection was closed without an answer."""


class Server:
    """A running server on a port of this machine."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port = port
        self.process = process
        self.log: list[str] = []

    def connect(self) -> socket.socket:
        """Open a connection with a timeout."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def send(self, request: bytes, *, verb: str = "POST") -> tuple[int, bytes]:
        """Send bytes and close the sending side; return the status and body of the answer."""
        with self.connect() as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass  # an answer may come before the request is whole
            return _answer(connection, verb)

    def ask(self, request: bytes, *, verb: str = "POST") -> tuple[int, bytes]:
        """Send a whole request on a connection that stays open, and return the status and body of the answer."""
        with self.connect() as connection:
            connection.sendall(request)
            return _answer(connection, verb)


def _answer(connection: socket.socket, verb: str) -> tuple[int, bytes]:
    response = HTTPResponse(connection, method=verb)
    try:
        response.begin()
        return response.status, response.read()
    except (HTTPException, ConnectionResetError):
        return DROPPED, b""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Run one process for all attacks of this file, so that their effects add up; SIGTERM must still stop it."""
    process = subprocess.Popen(
        [*COMMAND, "--http", "--port", "0", "--sandbox", "--sandbox-db", ":memory:", "--log-level", "debug"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path_factory.mktemp("home")),
    )
    assert process.stderr
    stderr = process.stderr
    try:
        server = Server(int(stderr.readline().rpartition(":")[2].partition("/")[0]), process)
        reader = threading.Thread(target=lambda: server.log.extend(stderr))
        reader.start()
        yield server
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE) == 0
        reader.join(PATIENCE)
    finally:
        process.kill()
        process.wait()
        stderr.close()


@pytest.fixture(autouse=True)
def still_serving(server: Server) -> Generator[None]:
    """After each attack, a good request of each era must be answered."""
    yield
    for good in GOOD.values():
        status, body = server.ask(good.spoilt())
        assert status == 200
        assert b'"result"' in body


@pytest.fixture(params=list(GOOD))
def good(request: pytest.FixtureRequest) -> Good:
    """Return a good request of each era."""
    return GOOD[request.param]


BAD_HEADERS: dict[str, tuple[int, dict[str, Any]]] = {
    "no accept": (406, {"Accept": None}),
    "empty accept": (406, {"Accept": ""}),
    "accept html": (406, {"Accept": "text/html"}),
    "accept json only": (406, {"Accept": "application/json"}),
    "accept garbage": (406, {"Accept": "\xff;,;q=9" * 500}),
    "no type": (400, {"Content-Type": None}),
    "plain text": (400, {"Content-Type": "text/plain"}),
    "a form": (400, {"Content-Type": "application/x-www-form-urlencoded"}),
    "type garbage": (400, {"Content-Type": "\xff/\xff"}),
    "unknown version": (400, {"MCP-Protocol-Version": "9999-99-99"}),
    "empty version": (400, {"MCP-Protocol-Version": ""}),
    "long version": (400, {"MCP-Protocol-Version": "x" * 5000}),
    "two versions": (400, {"MCP-Protocol-Version": "2026-07-28, 2025-11-25"}),
    "version garbage": (400, {"MCP-Protocol-Version": "\xff"}),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_bad_headers_are_refused(server: Server, good: Good, case: str) -> None:
    """The status tells the client which header is wrong."""
    status, headers = BAD_HEADERS[case]
    assert server.ask(good.spoilt(**headers))[0] == status


@pytest.mark.parametrize("session", ["", "nope", "\xff", "x" * 5000, "../..", "0" * 32])
def test_unknown_sessions_are_not_found(server: Server, session: str) -> None:
    """A guess must not open a session or reveal that a session exists."""
    assert server.ask(GOOD["legacy"].spoilt(Mcp_Session_Id=session))[0] == 404
    assert server.ask(GOOD["legacy"].spoilt(verb="DELETE", Mcp_Session_Id=session))[0] == 404


ROUTING: dict[str, tuple[int, dict[str, Any], bytes]] = {
    "no method": (400, {"Mcp-Method": None}, b""),
    "another method": (400, {"Mcp-Method": "tools/list"}, b""),
    "method garbage": (400, {"Mcp-Method": "\xff"}, b""),
    "no name": (400, {"Mcp-Name": None}, b""),
    "another name": (400, {"Mcp-Name": "delete_mailbox"}, b""),
    "name garbage": (400, {"Mcp-Name": "=?base64?!!!?="}, b""),
    "two names": (400, {}, b"Mcp-Name: delete_mailbox\r\n"),
    "two methods": (400, {}, b"Mcp-Method: tools/list\r\n"),
    "encoded name": (200, {"Mcp-Name": "=?base64?bGlzdF9tYWlsYm94ZXM=?="}, b""),
    "as it should be": (200, {}, b""),
}


@pytest.mark.parametrize("case", ROUTING)
def test_a_call_that_is_not_what_its_headers_say_is_refused(server: Server, case: str) -> None:
    """A gateway may route or refuse calls by their headers, so the headers must be true."""
    status, headers, more = ROUTING[case]
    assert server.ask(GOOD_CALL.spoilt(more=more, **headers))[0] == status


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example:8000",
        "localhost.evil.example:8000",
        "127.0.0.2:8000",
        "0.0.0.0:8000",
        "[::]:8000",
        "2130706433:8000",
        "127.1:8000",
        "",
        "\xff",
    ],
)
def test_another_host_is_misdirected(server: Server, good: Good, host: str) -> None:
    """DNS rebinding can make the name of a web page point to this server."""
    assert server.ask(good.spoilt(Host=host))[0] == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://127.0.0.1:8000",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example:8000",
        "null",
        "file://",
        "\xff",
    ],
)
def test_another_origin_is_forbidden(server: Server, good: Good, origin: str) -> None:
    """The browser may let a web page of another site send requests, so the server refuses them."""
    assert server.ask(good.spoilt(Origin=origin))[0] == 403


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "CONNECT", "BREW", "post"])
def test_other_verbs_are_not_allowed(server: Server, good: Good, verb: str) -> None:
    """OPTIONS would let a browser's preflight pass, and TRACE would echo headers."""
    assert server.ask(good.spoilt(verb=verb), verb=verb)[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "*",
        "//mcp",
        "/mcp/../mcp",
        "/mcp/../../etc/passwd",
        "/healthz/..%2fmcp",
        "/mcp;x",
        "/mcp%00",
        "http://evil.example/mcp",
        "/" + "a" * 60_000,
    ],
)
def test_other_paths_are_not_found(server: Server, good: Good, path: str) -> None:
    """A different spelling must not reach the served paths or a file."""
    assert server.ask(good.spoilt(path=path))[0] == 404


BODIES = {
    "empty": b"",
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "nothing in it": b"{}",
    "a batch": b"[%b]" % message("ping"),
    "cut off": message("ping")[:-4],
    "NUL bytes": bytes(100),
    "no UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
    "half a character": b'{"jsonrpc":"2.0","id":1,"method":"\xe2\x82',
    "half a surrogate pair": b'{"jsonrpc":"2.0","id":"\\ud800","method":"\\ud800"}',
    "another JSON-RPC": message("ping").replace(b"2.0", b"1.0"),
    "no method": b'{"jsonrpc":"2.0","id":1}',
    "parameters in a list": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}',
    "parameters in a string": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}',
    **{f"id {id_[:12]}": b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % id_.encode()
       for id_ in ("null", "true", "1.5", "[]", "{}", "NaN", "1e999", "9" * 5000)},
    "deep": b"[" * 100_000,
    "deep parameters": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 100_000,
    "huge": b" " * 4_500_000,
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_no_request_is_refused(server: Server, good: Good, case: str) -> None:
    """The status is 413 if the body is too large, and 400 otherwise."""
    assert server.ask(good.spoilt(body=BODIES[case]))[0] == (413 if case == "huge" else 400)


@pytest.mark.parametrize("arguments", ["[]", '"x"', "1", "true", "[" * 100 + "]" * 100])
def test_arguments_that_are_no_object_are_refused(server: Server, arguments: str) -> None:
    """They are refused before the tool gets them."""
    body = GOOD_CALL.body.replace(b'"arguments": {}', f'"arguments": {arguments}'.encode())
    status, answer = server.ask(GOOD_CALL.spoilt(body=body))
    assert (status, json.loads(answer)["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"search":"\\ud800"}',
        '{"\\ud800":1}',
        '{"\\u0000":1}',
        '{"limit":NaN}',
        '{"limit":-Infinity}',
        '{"limit":1e999}',
        '{"limit":' + "9" * 4200 + "}",
        '{"cursor":"' + "9" * 100_000 + '"}',
        '{"search":' + "[" * 500 + "]" * 500 + "}",
    ],
)
def test_arguments_that_no_tool_takes_are_named(server: Server, arguments: str) -> None:
    """They are an error of the tool, because the model can read it."""
    body = GOOD_CALL.body.replace(b'"arguments": {}', f'"arguments": {arguments}'.encode())
    status, answer = server.ask(GOOD_CALL.spoilt(body=body))
    assert status == 200
    result = json.loads(answer)["result"]
    assert result["_meta"]["code"] == "invalid_arguments"
    assert len(result["content"][0]["text"]) < 500


NOT_HTTP: dict[str, dict[str, Any]] = {
    "negative length": {"Content_Length": "-1"},
    "length garbage": {"Content_Length": "abc"},
    "two lengths": {"more": b"Content-Length: 5\r\n"},
    "no colon": {"more": b"nonsense\r\n"},
    "NUL in a header": {"more": b"X: a\0b\r\n"},
    "no host": {"Host": None},
    "two hosts": {"more": b"Host: evil.example\r\n"},
    "a header of 200 kB": {"more": b"X: " + b"a" * 200_000 + b"\r\n"},
    "chunk garbage": {"Content_Length": None, "Transfer_Encoding": "chunked", "body": b"zz\r\nhello\r\n"},
    "endless chunk size": {"Content_Length": None, "Transfer_Encoding": "chunked", "body": b"F" * 100 + b"\r\nhello"},
    "unknown coding": {"Content_Length": None, "Transfer_Encoding": "smuggled"},
    "NUL in the path": {"path": "/mcp\0"},
    "no path": {"path": ""},
    "a space in the path": {"path": "/m cp"},
}


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_is_no_http_is_refused(server: Server, good: Good, case: str) -> None:
    """The server may answer with a 4xx or close the connection."""
    status, _ = server.send(good.spoilt(**NOT_HTTP[case]))
    assert status in {DROPPED, 400, 413}


@pytest.mark.parametrize(
    "raw",
    [b"", b"\r\n" * 100, b"\x16\x03\x01\x02\x00" * 20, b"\0" * 10_000, b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
)
def test_other_protocols_are_dropped(server: Server, raw: bytes) -> None:
    """Clients may send TLS, HTTP/2, random bytes or nothing."""
    assert server.send(raw)[0] in {DROPPED, 400, 404}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_that_ends_too_early_is_dropped(server: Server, good: Good, chunked: bool) -> None:
    """The server must not wait for a client that left while it was sending."""
    if chunked:
        request = good.spoilt(Content_Length=None, Transfer_Encoding="chunked", body=b"FFFF\r\n" + good.body)
    else:
        request = good.spoilt(Content_Length="99999")
    assert server.send(request)[0] in {DROPPED, 400}


def test_a_body_in_chunks_over_the_limit_is_refused(server: Server, good: Good) -> None:
    """A chunked request has no length, but the limit still applies."""
    chunks = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    request = good.spoilt(Content_Length=None, Transfer_Encoding="chunked", body=chunks * 5)
    assert server.send(request)[0] in {413, DROPPED}


def test_a_length_over_the_limit_is_refused_at_once(server: Server, good: Good) -> None:
    """The server does not wait for the body."""
    assert server.ask(good.spoilt(Content_Length="99999999999", body=b""))[0] == 413


def test_half_requests_hold_nobody_up(server: Server, good: Good) -> None:
    """Connections that send nothing, or stop inside a head or a body, must not delay other clients."""
    whole = good.spoilt(Content_Length=str(len(good.body) + 1))
    with ExitStack() as stack:
        for cut in (0, 10, len(whole) // 2, len(whole)):
            for _ in range(50):
                stack.enter_context(server.connect()).sendall(whole[:cut])
        assert server.ask(good.spoilt())[0] == 200
        assert server.ask(GOOD_CALL.spoilt())[0] == 200


def test_sessions_and_streams_that_are_abandoned_hold_nobody_up(server: Server) -> None:
    """These clients shake hands, open a stream, and send nothing more."""
    with ExitStack() as stack:
        for _ in range(150):
            connection = stack.enter_context(server.connect())
            connection.sendall(GOOD["legacy"].spoilt())
            response = HTTPResponse(connection)
            response.begin()
            session = response.headers["Mcp-Session-Id"]
            response.close()
            stream = stack.enter_context(server.connect())
            stream.sendall(GOOD["legacy"].spoilt(verb="GET", Mcp_Session_Id=session, body=b""))
            answer = HTTPResponse(stream)
            answer.begin()
            assert answer.status == 200
            answer.close()
        assert server.ask(GOOD_CALL.spoilt())[0] == 200
    assert server.ask(GOOD_CALL.spoilt())[0] == 200


async def test_clients_of_both_eras_are_served_after_all_this(server: Server, era: str) -> None:
    """Earlier attacks must not affect a real client."""
    async with Client(f"http://127.0.0.1:{server.port}/mcp", mode=era) as client:
        agent = Agent(client)
        made = await agent.ask("create_mailbox", agent_handle="sales-agent")
        assert (await agent.ask("get_mailbox", email_address=made["email_address"]))["id"] == made["id"]
        await agent.ask("delete_mailbox", email_address=made["email_address"])


def test_no_request_was_the_servers_fault(server: Server) -> None:
    """Only a client that left while it was sending may cause a traceback in the log."""
    log = "".join(server.log)
    tracebacks = log.split("Traceback (most recent call last):")[1:]
    assert all("ClientDisconnect" in traceback for traceback in tracebacks)


PIECES = st.sampled_from(
    [b"\r\n", b"\r\n\r\n", b"\0", b":", b" ", b"{", b"}", b'"', b"\xff", b"chunked", b"Content-Length: 3\r\n", b"1e999"]
)
PLACES = st.tuples(st.integers(0, 1000), st.integers(0, 20), PIECES | st.binary(max_size=30))


def attack(server: Server, name: str, changes: list[tuple[int, int, bytes]]) -> None:
    """Send a good request with some of its bytes replaced."""
    request = bytearray(GOOD_CALL.spoilt() if name == "call" else GOOD[name].spoilt())
    for place, length, piece in changes:
        start = place * len(request) // 1000
        request[start : start + length] = piece
    status, _ = server.send(bytes(request))
    assert status < 500, bytes(request)


NAMES = st.sampled_from([*GOOD, "call"])
CHANGES = st.lists(PLACES, min_size=1, max_size=4)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, changes=CHANGES)
@example(name="modern", changes=[(0, 0, b"")])
def test_a_request_that_was_tampered_with_is_never_the_servers_fault(
    server: Server, name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    """The status is below 500, or the connection is closed."""
    attack(server, name, changes)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, changes=CHANGES)
def test_no_amount_of_tampering_is_the_servers_fault(
    server: Server, name: str, changes: list[tuple[int, int, bytes]]
) -> None:
    """More examples find rarer requests."""
    attack(server, name, changes)
