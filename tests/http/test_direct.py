"""Plain calls are answered without the SDK's transport, with the same bytes; the SDK answers everything else."""

import json
import random
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from inkbox_mcp.http.app import MCP_PATH
from inkbox_mcp.http.asgi_server import listening, origin, server_of_app
from tests.support.alike_servers import LEGACY, MODERN, app_of, body_of, both, request_of, service
from tests.support.messages import ENVELOPE, NOT_PLAIN, STRANGE
from tests.support.messages import LIST_MAILBOXES as LIST

VERSIONS = [*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS]
SHOWN = {"text": 'Ünï 😀 "\u2028\u0085\x00\x7f', "name": "é.pdf", "title": "<&>", "size": 10**12}

PLAIN: list[dict[str, Any]] = [
    {"id": 1, "params": LIST},
    {"id": -(10**30), "params": {"name": "list_mailboxes"}},
    {"id": '😀 \u2028 \x7f "', "params": LIST},
    {"id": "", "params": {**LIST, "arguments": {"limit": "many", "no_such": [{}, None, 1e400]}}},
    {"id": 5, "params": {"name": "get_mailbox", "arguments": {"email_address": "nobody@inkboxmail.com"}}},
    {"id": 6, "params": {"name": "show_all", "arguments": SHOWN}},
    {"id": 7, "params": {"name": "show_all", "arguments": {"times": 3}}},
    {"id": 8, "params": {**LIST, "_meta": {"progressToken": 4}}},
    {"id": 9, "params": {**LIST, "_meta": {"progressToken": "five"}}},
    {"id": 10, "params": {"name": "count_steps", "arguments": {"steps": 2}}},
    {"id": 11, "params": {"name": "wait_for_nothing", "arguments": {}}},
    {"id": 12, "params": {"name": "get_mailbox", "arguments": {"email_address": "bug@inkboxmail.com"}}},
    {"id": 13, "params": LIST, "more": {"method": "ping"}},
    {"id": 14, "params": {**LIST, "_meta": {"progressToken": True}}},
]
OTHER: list[dict[str, Any]] = [
    *NOT_PLAIN,
    {"id": 14, "params": {**LIST, "_meta": {"io.modelcontextprotocol/logLevel": "debug"}}},
    {"id": 15, "params": {**LIST, "requestState": "x"}},
    {"id": 16, "params": {**LIST, "inputResponses": {}}},
    {"id": 12, "params": {"name": "delete_mailbox", "arguments": {"email_address": "a@inkboxmail.com"}}},
    {"id": 13, "params": {"name": "count_steps", "_meta": {"progressToken": 1}}},
    {"id": 17, "params": []},
    {"id": 18, "params": None},
    {"id": 19},
    {"params": LIST},
    {"id": 20, "method": "ping"},
    {"id": 22, "method": "no/such"},
    {"id": 23, "method": "server/discover"},
    {"id": 24, "method": "initialize", "params": {"protocolVersion": LEGACY}},
    {"id": 25, "method": "resources/list"},
    {"method": "notifications/cancelled", "params": {"requestId": 1}},
    {"id": 26, "result": {}},
    {"id": 27, "result": {}, "params": LIST},
    {"id": 28, "params": LIST, "jsonrpc": "1.0"},
    {"id": 29, "params": LIST, "jsonrpc": 2.0},
]

OTHER_ENVELOPES: list[Any] = [
    None,
    [],
    "",
    {},
    *({name: value for name, value in ENVELOPE.items() if name != missing} for missing in ENVELOPE),
    *({**ENVELOPE, name: value} for name in ENVELOPE for value in [*STRANGE, "", {"x": 1}, LEGACY]),
    {**ENVELOPE, "io.modelcontextprotocol/clientInfo": {"name": "test"}},
    {**ENVELOPE, "io.modelcontextprotocol/clientInfo": {"name": 1, "version": "1"}},
    {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": 1}},
    {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "x": 1}},
    {**ENVELOPE, "io.modelcontextprotocol/other": 1},
    {**ENVELOPE, "progressToken": 1.5},
]

OTHER_BODIES: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"{}",
    b"{",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf%s",
    b"%s%s",
    b"%s\x00",
    b"%s,",
    b"[%s]",
    b"[%s,%s]",
    b" \r\n\t%s\n",
    b"\xff%s",
    b'{"id":1,%s',
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":%p}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"params":%p}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"params":{}}',
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%p}'.replace(b"%d", b"9" * 5000),
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%p}'.replace(b"%d", b"9" * 4000),
    b'{"jsonrpc":"2.0","id":1e2,"method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":-0,"method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":"\\u0000","method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":"\\ud83d\\ude00","method":"tools/call","params":%p}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"more":NaN}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"more":-Infinity}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"more":%d}'.replace(b"%d", b"9" * 5000),
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"more":%d}'.replace(b"%d", b"[" * 300 + b"]" * 300),
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%p,"more":"\xed\xa0\xbd"}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools\\/call","params":%p}',
]
"""In these, %s is a good call and %p its params."""

OTHER_HEADERS: list[dict[str, str | None]] = [
    *({name: value} for name in ("Accept",) for value in (None, "", "*/*", "application/json", "text/event-stream")),
    {"Accept": "text/*;q=0.1, APPLICATION/*"},
    {"Accept": "application/json;q=0, text/event-stream;q=0"},
    {"Accept": "application/json text/event-stream"},
    *(
        {"Content-Type": value}
        for value in (None, "", "text/plain", "application/json; charset=utf-16", "APPLICATION/JSON")
    ),
    {"Content-Type": "application/json, text/plain"},
    {"Content-Type": "application/jsonx"},
    *(
        {"MCP-Protocol-Version": value}
        for value in (None, "", *VERSIONS, "2026-07-29", "1", f"{MODERN} ", f"{MODERN},{MODERN}")
    ),
    *({"Mcp-Method": value} for value in (None, "", "tools/list", "TOOLS/CALL", "tools/call ", "\xff")),
    *({"Mcp-Name": value} for value in (None, "", "get_mailbox", "LIST_MAILBOXES", "list_mailboxes ", "\xff")),
    {"Mcp-Name": "=?base64?bGlzdF9tYWlsYm94ZXM=?="},
    {"Mcp-Name": "=?base64?bGlzdF9tYWlsYm94ZXM?="},
    {"Mcp-Param-Limit": "1"},
    {"Mcp-Session-Id": ""},
    {"Mcp-Session-Id": "0" * 32},
    {"Last-Event-ID": "1"},
    {"Content-Encoding": "gzip"},
    {"Origin": "https://evil.example"},
    {"Host": "evil.example"},
    {"X-Inkbox-API-Key": "ApiKey_x"},
    {"Authorization": "Bearer x"},
    {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
]
FURTHER_HEADERS = [
    "Accept: application/json",
    "Content-Type: application/json",
    "Mcp-Method: tools/call",
    "Mcp-Name: list_mailboxes",
    *(f"MCP-Protocol-Version: {version}" for version in (LEGACY, MODERN)),
    "Mcp-Session-Id: 1\r\nMcp-Session-Id: 2",
]


@pytest.mark.parametrize("version", VERSIONS)
async def test_plain_calls_are_answered_directly_with_the_bytes_of_the_sdk(version: str) -> None:
    """Status, headers and body are the same; the calls include some that fail."""
    async with both() as servers:
        for message in PLAIN:
            answer, directly = await servers.ask(request_of(version, body_of(version, message)))
            assert directly, message
            assert b"HTTP/1.1 200 OK" in answer
            assert (b'"error"' in answer) == (message["id"] == 12)
        body = body_of(version, PLAIN[0])
        for request in (request_of(version, body, http="1.0"), request_of(version, body, chunked=True)):
            assert (await servers.ask(request))[1]


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_whatever_is_more_than_a_plain_call_is_answered_by_the_sdk(version: str) -> None:
    """The smallest difference from a plain call is enough."""
    async with both() as servers:
        for message in OTHER:
            _, directly = await servers.ask(request_of(version, body_of(version, message)))
            assert not directly, message


async def test_envelopes_are_judged_as_the_sdk_judges_them() -> None:
    """What the SDK refuses, is refused with its words."""
    async with both() as servers:
        for meta in OTHER_ENVELOPES:
            for version in (LEGACY, MODERN):
                call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**LIST, "_meta": meta}}
                await servers.ask(request_of(version, json.dumps(call).encode()))


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_bodies_are_read_as_the_sdk_reads_them(version: str) -> None:
    """Parsers differ in such bodies."""
    good = body_of(version, PLAIN[0])
    params = json.dumps(json.loads(good)["params"]).encode()
    async with both() as servers:
        for body in OTHER_BODIES:
            await servers.ask(request_of(version, body.replace(b"%s", good).replace(b"%p", params)))


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_headers_are_judged_as_the_sdk_judges_them(version: str) -> None:
    """A wrong one, a missing one, one that contradicts the body, and one that is there twice."""
    body = body_of(version, PLAIN[0])
    async with both() as servers:
        for headers in OTHER_HEADERS:
            await servers.ask(request_of(version, body, changed=headers))
        for line in FURTHER_HEADERS:
            await servers.ask(request_of(version, body, line))


@pytest.mark.parametrize("version", [LEGACY, MODERN])
async def test_spoilt_calls_are_answered_as_the_sdk_answers_them(version: str) -> None:
    """Bytes of good calls are changed, dropped and repeated at random."""
    chance, directly = random.Random(version), 0
    async with both() as servers:
        for _ in range(300):
            body = bytearray(body_of(version, chance.choice(PLAIN)))
            for _ in range(chance.choice([1, 1, 1, 2, 8])):
                place = chance.randrange(len(body))
                part = chance.choice(
                    [b"", bytes([chance.randrange(256)]), b'"', b"{}", b",", b"0", b"null", body[place:]]
                )
                body[place : place + chance.choice([0, 1, 1, 5])] = part
            directly += (await servers.ask(request_of(version, bytes(body))))[1]
    assert directly


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_calls_in_sessions_are_answered_by_the_sdk(era: str) -> None:
    """A session can be notified beside an answer, and only the SDK knows it."""
    app, direct = app_of(service(stateless=False))
    with listening("127.0.0.1", 0) as listener:
        server = server_of_app(app, listener)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run_to_the_end)
            async with Client(f"{origin('127.0.0.1', listener)}{MCP_PATH}", mode=era) as client:
                await client.call_tool("list_mailboxes", {})
            server.should_exit = True
    assert any(direct.answered) == (era == "auto")
