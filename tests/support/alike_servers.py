"""Two HTTP servers alike, of which one answers plain calls directly, and the other has the SDK answer them."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from types import MappingProxyType
from typing import Any, cast

import anyio
import httpx2
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import SERVER_INFO_META_KEY, JSONRPCMessage
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.http.app import MCP_PATH
from inkbox_mcp.http.asgi_server import listening, server_of_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.direct import DirectCalls
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.http.middleware import layers
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from tests.support.extra_tools import offering
from tests.support.extra_tools.tools.trial import count_steps, show_all, wait_for_nothing
from tests.support.openings import envelope_of
from tests.support.processes import PATIENCE

MODERN, LEGACY = MODERN_PROTOCOL_VERSIONS[-1], HANDSHAKE_PROTOCOL_VERSIONS[-1]


class Noting(DirectCalls):
    """Notes which requests are answered directly; or lets the SDK answer all."""

    def __init__(self, service: Service, stamp: dict[str, Any], *, has_sessions: bool, by_the_sdk: bool) -> None:
        super().__init__(service, stamp, has_sessions=has_sessions)
        self.answered: list[bool] = []
        self._by_the_sdk = by_the_sdk

    async def answer(self, message: JSONRPCMessage, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request, or do not."""
        self.answered.append(not self._by_the_sdk and await super().answer(message, scope, receive, send))
        return self.answered[-1]


def app_of(service: Service, *, by_the_sdk: bool = False) -> tuple[ASGIApp, Noting]:
    """Make the application, in which the SDK may answer all requests."""
    server, stateless = server_of(service, caller), service.settings.stateless
    stamp = {SERVER_INFO_META_KEY: server.server_info_stamp}
    direct = Noting(service, stamp, has_sessions=not stateless, by_the_sdk=by_the_sdk)
    innermost: ASGIApp = server.streamable_http_app(
        streamable_http_path=MCP_PATH,
        stateless_http=stateless,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    around = reversed(list(layers(service, MCP_PATH, direct, Drain(MCP_PATH, 0), None)))
    return reduce(lambda inside, layer: layer(inside), around, innermost), direct


def inkbox(request: httpx2.Request) -> httpx2.Response:
    """Answer as an empty Inkbox, which no server expects to fail in one place."""
    if request.url.path.endswith("bug@inkboxmail.com"):
        raise RuntimeError
    return httpx2.Response(404 if "@" in request.url.path else 200, json=[])


def service(*, stateless: bool = True) -> Service:
    """Make a service with plain and other tools."""
    return offering(show_all, count_steps, wait_for_nothing, inkbox=inkbox, stateless=stateless)


class Both:
    """Two servers alike, of which one answers plain calls directly."""

    def __init__(self, ports: Sequence[int], direct: Noting) -> None:
        self._ports, self._direct = ports, direct

    async def ask(self, request: bytes) -> tuple[bytes, bool]:
        """Send a request to both, which must answer the same; return that, and whether one answered directly."""
        self._direct.answered.clear()
        answers = [await _exchange(port, request) for port in self._ports]
        assert answers[0] == answers[1], request
        return answers[0], any(self._direct.answered)


@asynccontextmanager
async def both() -> AsyncGenerator[Both]:
    """Serve both on ports of this machine."""
    async with anyio.create_task_group() as tasks:
        directly, direct = app_of(service())
        by_the_sdk, _ = app_of(service(), by_the_sdk=True)
        with listening("127.0.0.1", 0) as one, listening("127.0.0.1", 0) as other:
            servers = [server_of_app(app, listener) for app, listener in ((directly, one), (by_the_sdk, other))]
            ports = [listener.getsockname()[1] for listener in (one, other)]
            for server in servers:
                tasks.start_soon(server.run_to_the_end)
            try:
                yield Both(ports, direct)
            finally:
                for server in servers:
                    server.should_exit = True


async def _exchange(port: int, request: bytes) -> bytes:
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request)
            answer = b""
            try:
                while True:
                    answer += await stream.receive()
            except anyio.EndOfStream:
                lines = answer.split(b"\r\n")
                return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


def body_of(version: str, message: dict[str, Any]) -> bytes:
    """Write a message of a client of a protocol version. A message without a method is a tool call."""
    params = message.get("params")
    if version in MODERN_PROTOCOL_VERSIONS and isinstance(params, dict):
        own = cast("dict[str, Any]", params)
        message = {**message, "params": {**own, "_meta": {**envelope_of(version), **own.get("_meta", {})}}}
    kind = {} if "method" in message or "result" in message else {"method": "tools/call"}
    return json.dumps({"jsonrpc": "2.0", **kind, **message}).encode()


def request_of(
    version: str,
    body: bytes,
    *lines: str,
    http: str = "1.1",
    chunked: bool = False,
    changed: Mapping[str, str | None] = MappingProxyType({}),
) -> bytes:
    """Write a request of a client of a protocol version.

    Args:
        version: of the protocol.
        body: as it is.
        lines: further headers.
        http: the version of HTTP.
        chunked: whether the body comes in chunks.
        changed: headers with another value; None leaves one out.
    """
    try:
        message: Any = json.loads(body)
        named = message["params"]["name"]
    except (ValueError, LookupError, TypeError, RecursionError):
        message, named = {}, "list_mailboxes"
    routing = {"Mcp-Method": message.get("method") or "tools/call", "Mcp-Name": named}
    headers: dict[str, Any] = {
        "Host": "127.0.0.1",
        "Connection": "close",
        "X-Request-ID": "same-in-both",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": version,
        **(routing if version in MODERN_PROTOCOL_VERSIONS else {}),
        **({"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(body)}),
        **changed,
    }
    head = [f"{name}: {value}" for name, value in headers.items() if value is not None and str(value).isprintable()]
    if chunked:
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    first = f"POST {MCP_PATH} HTTP/{http}"
    return "\r\n".join([first, *head, *lines, "", ""]).encode("latin-1", "replace") + body
