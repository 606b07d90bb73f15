"""Answers plain calls over HTTP without the SDK's transport.

The SDK makes a transport, task groups and streams for each request, which takes longer than the call. So plain calls
(see `inkbox_mcp.protocol.plain`) are answered here, with exactly the bytes that the SDK would write: those of clients
of 2026-07-28, and of earlier ones where there are no sessions. The SDK handles all other requests, also those that it
refuses: its own functions judge headers and envelopes here.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import anyio
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import (
    MCP_PARAM_HEADER_PREFIX,
    InboundModernRoute,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp.types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    DEFAULT_NEGOTIATED_VERSION,
    PROTOCOL_VERSION_META_KEY,
    JSONRPCMessage,
    JSONRPCRequest,
    RequestId,
)
from mcp_types.methods import validate_client_request
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from inkbox_mcp.http.callers import caller
from inkbox_mcp.protocol.plain import Members, PlainCall
from inkbox_mcp.service import Service
from inkbox_mcp.telemetry.tracing import is_recording

QUICK = 0.1
"""Seconds in which most calls end. Only in longer ones, the client is watched for leaving."""
SILENCE = 15.0
"""Seconds after which a connection needs a sign of life, so that no proxy closes it."""

# Other members, such as those of a trace, are the SDK's.
ENVELOPE = {PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY}
PARAMETER = MCP_PARAM_HEADER_PREFIX.lower()
SIGN_OF_LIFE = b": ping\r\n\r\n"
STREAM = [
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),
]


class Reply:
    """The answer to one call: to clients of 2026-07-28 JSON, or events if it takes long; to earlier ones events.

    Args:
        send: sends it.
        request: the call's id.
        is_modern: whether the client is one of 2026-07-28.
    """

    def __init__(self, send: Send, request: RequestId, *, is_modern: bool) -> None:
        self._send, self._request, self._is_modern = send, request, is_modern
        self._is_stream = False

    async def wait_for(self, outcome: Awaitable[Members], receive: Receive) -> None:
        """Wait for the outcome of a call, and send it. Cancel the call when the client leaves before.

        Args:
            outcome: of the call.
            receive: notices that the client leaves.
        """
        loop, companions = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        ended: Members | None = None
        with anyio.CancelScope() as call:
            # A task for every call would take longer than all checks together.
            timer = loop.call_later(
                QUICK, lambda: companions.append(loop.create_task(self._accompany(receive, call.cancel)))
            )
            try:
                ended = await outcome
            finally:
                timer.cancel()
                for companion in companions:
                    companion.cancel()
        if companions:
            await asyncio.wait(companions)
        if ended is not None:
            await self._finish(ended)

    async def _accompany(self, receive: Receive, client_left: Callable[[], None]) -> None:
        """Keep the connection alive until the client leaves."""
        if not self._is_modern:
            await self._begin()
        while True:
            with anyio.move_on_after(SILENCE):
                while (await receive())["type"] != "http.disconnect":
                    pass
                return client_left()
            await self._begin()
            await self._send({"type": "http.response.body", "body": SIGN_OF_LIFE, "more_body": True})

    async def _finish(self, outcome: Members) -> None:
        message = {"jsonrpc": "2.0", "id": self._request, **outcome}
        # As the SDK writes it in each era.
        text = json.dumps(message, separators=(",", ":")).encode() if self._is_modern else to_json(message)
        if self._is_modern and not self._is_stream:
            headers = [(b"content-length", str(len(text)).encode()), (b"content-type", b"application/json")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        else:
            await self._begin()
            text = b"event: message\r\ndata: " + text + b"\r\n\r\n"
        await self._send({"type": "http.response.body", "body": text})

    async def _begin(self) -> None:
        if not self._is_stream:
            await self._send({"type": "http.response.start", "status": 200, "headers": STREAM})
            self._is_stream = True


class DirectCalls:
    """Answers plain calls.

    Args:
        service: runs the calls.
        stamp: the `_meta` of each result for clients of 2026-07-28.
        has_sessions: whether earlier clients have sessions, whose requests are all the SDK's.
    """

    def __init__(self, service: Service, stamp: Members, *, has_sessions: bool) -> None:
        self._service, self._stamp, self._has_sessions = service, stamp, has_sessions

    async def answer(self, message: JSONRPCMessage, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request if it is a plain call, and return whether it is.

        Args:
            message: the request's body.
            scope: of the request, with its headers as the SDK reads them.
            receive: notices that the client leaves.
            send: sends the answer.
        """
        if not isinstance(message, JSONRPCRequest) or message.method != "tools/call" or is_recording():
            return False
        request = Request(scope)
        version = request.headers.get("mcp-protocol-version", DEFAULT_NEGOTIATED_VERSION)
        is_modern = version in MODERN_PROTOCOL_VERSIONS
        if self._has_sessions and not is_modern:
            return False
        plain = PlainCall.of(message.params, self._service, caller(request))
        if not (plain and _is_accepted(plain, version, message, request)):
            return False
        outcome = plain.outcome(self._service, self._stamp if is_modern else {})
        await Reply(send, message.id, is_modern=is_modern).wait_for(outcome, receive)
        return True


def _is_accepted(plain: PlainCall, version: str, message: JSONRPCRequest, request: Request) -> bool:
    """Whether the SDK accepts the headers and the envelope of a call, and sees nothing in them to act on."""
    headers = request.headers
    is_usual = (
        headers.getlist("content-type") == ["application/json"]
        and all(check_accept_headers(request))
        and not any(name == "mcp-session-id" or name.startswith(PARAMETER) for name in headers)
    )
    if not is_usual or not plain.envelope.keys() <= (ENVELOPE if version in MODERN_PROTOCOL_VERSIONS else set[str]()):
        return False
    if version in MODERN_PROTOCOL_VERSIONS:
        body = {"method": message.method, "params": message.params}
        route = classify_inbound_request(body, headers=headers)
        if find_duplicated_routing_header(headers.items()) or not isinstance(route, InboundModernRoute):
            return False
    try:
        # Arguments may be large, and any are valid.
        validate_client_request(message.method, version, {**(message.params or {}), "arguments": {}})
    except ValidationError:
        return False
    return True
