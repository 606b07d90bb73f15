"""Checks requests to the endpoint before the SDK does, and rewrites the SDK's refusals.

The SDK opens a session before it reads the request, and sends the session's id even with a refusal. It never answers a
`GET` with `Last-Event-ID`. Its refusals of malformed messages describe its own classes.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from mcp.types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    UNSUPPORTED_PROTOCOL_VERSION,
    InitializeRequestParams,
    UnsupportedProtocolVersionErrorData,
    jsonrpc_message_adapter,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS, SUPPORTED_PROTOCOL_VERSIONS
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION, VERSION = b"mcp-session-id", b"mcp-protocol-version"
METHODS = ("GET", "POST", "DELETE")

RawHeaders = list[tuple[bytes, bytes]]

BATCH = "This server takes no batches: send each JSON-RPC message as a request of its own."
NO_MESSAGE = (
    'The body is no JSON-RPC 2.0 message. It needs "jsonrpc": "2.0", a "method", "params" that are an object if there '
    'are any, and, where an answer is expected, an "id" that is a string or an integer.'
)
NO_SESSION = (
    "The request names no session. Begin with initialize, and send the Mcp-Session-Id of its answer with every later "
    "request."
)
NO_INITIALIZE = (
    "initialize needs the params protocolVersion (a string), capabilities (an object) and clientInfo (an object with "
    "name and version)."
)


class Refused(Exception):
    """The request is refused; the message says why, and what to send instead."""

    def __init__(self, message: str, code: int = INVALID_REQUEST, *, status: int = 400, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.status = status


class Endpoint:
    """ASGI middleware in front of the SDK's transport.

    Args:
        app: the SDK's application.
        path: of the MCP endpoint; requests for other paths are passed on.
        has_sessions: whether clients of 2025-11-25 and earlier open sessions.
    """

    def __init__(self, app: ASGIApp, path: str, *, has_sessions: bool) -> None:
        self._app = app
        self._path = path
        self._has_sessions = has_sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, whose whole body comes as one message."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        first = [await receive()] if scope["method"] == "POST" else []
        body: bytes = first[0].get("body", b"") if first else b""

        async def replay() -> Message:
            return first.pop() if first else await receive()

        try:
            scope = {**scope, "headers": tidied(scope["headers"])}
            self._check(scope, body)
        except Refused as refused:
            await _refusal(refused, body)(scope, replay, send)
        else:
            await self._app(scope, replay, _Answer(scope, replay, send, body).send)

    def _check(self, scope: Scope, body: bytes) -> None:
        """Refuse what the SDK would refuse only after opening a session, or in words that help nobody."""
        method: str = scope["method"]
        if method not in METHODS:
            raise Refused(f"This path takes {', '.join(METHODS)}.", status=405)
        sessions = [value for name, value in scope["headers"] if name == SESSION]
        version = _version(scope["headers"])
        is_modern = version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS
        if len(sessions) > 1:
            raise Refused("The request names two sessions.")
        if self._has_sessions and not sessions and not is_modern:
            _check_opening(method, body)


class _Answer:
    """Passes on an answer of the SDK."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        self._request = (scope, receive, send)
        self._send = send
        self._body = body
        self._is_replaced = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer. A refusal has no session id; that of a malformed message gets our text."""
        if self._is_replaced:
            return
        if message["type"] == "http.response.start" and message["status"] >= 400:
            if message["status"] == 400 and self._body:
                try:
                    _message(self._body)
                except Refused as refused:
                    self._is_replaced = True
                    await _refusal(refused, self._body)(*self._request)
                    return
            headers = [(name, value) for name, value in message["headers"] if name.lower() != SESSION]
            message = {**message, "headers": headers}
        await self._send(message)


def tidied(headers: Sequence[tuple[bytes, bytes]]) -> RawHeaders:
    """Rewrite headers into the form that the SDK understands.

    Media types are case-insensitive (RFC 9110 section 8.3.1), and several `Accept` headers are one list (section 5.3).
    `Last-Event-ID` is dropped: there are no events to replay, so a stream starts again.
    """
    accepts = [value for name, value in headers if name == b"accept"]
    found: RawHeaders = [(b"accept", b", ".join(accepts))] if accepts else []
    for name, value in headers:
        if name == b"content-type":
            is_json = re.fullmatch(rb"application/json[ \t]*(;.*)?", value.strip(b" \t").lower())
            found.append((name, b"application/json" if is_json else b"not/json"))
        elif name not in {b"accept", b"last-event-id"}:
            found.append((name, value))
    return found


def _version(headers: RawHeaders) -> str | None:
    """Return the protocol version of a request's header, if it has one.

    Raises:
        Refused: the version is not supported, or there are two headers.
    """
    versions = [value.decode("latin-1") for name, value in headers if name == VERSION]
    if len(versions) > 1:
        raise Refused("MCP-Protocol-Version header appears more than once.", HEADER_MISMATCH)
    if versions and versions[0] not in SUPPORTED_PROTOCOL_VERSIONS:
        known = ", ".join(SUPPORTED_PROTOCOL_VERSIONS)
        message = f"Unsupported protocol version {versions[0][:32]!a}. MCP-Protocol-Version can be: {known}."
        # Clients of 2026-07-28 choose another version from this list.
        data = UnsupportedProtocolVersionErrorData(supported=list(MODERN_PROTOCOL_VERSIONS), requested=versions[0][:32])
        raise Refused(message, UNSUPPORTED_PROTOCOL_VERSION, data=data.model_dump())
    return versions[0] if versions else None


def _check_opening(method: str, body: bytes) -> None:
    """Refuse a request that has no session and does not open one."""
    message = _message(body) if method == "POST" else {}
    if message.get("method") != "initialize" or "id" not in message:
        raise Refused(NO_SESSION)
    try:
        InitializeRequestParams.model_validate(message.get("params"), by_name=False)
    except ValidationError:
        raise Refused(NO_INITIALIZE, INVALID_PARAMS) from None


def _message(body: bytes) -> dict[str, Any]:
    """Parse a JSON-RPC message."""
    try:
        message: Any = from_json(body)
    except ValueError as error:
        raise Refused(f"The body is no JSON: {error}.", PARSE_ERROR) from None
    if isinstance(message, list):
        raise Refused(BATCH)
    try:
        jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        raise Refused(NO_MESSAGE) from None
    return cast("dict[str, Any]", message)


def _refusal(refused: Refused, body: bytes) -> Response:
    """Return a JSON-RPC error, with the request's id if it can be read."""
    request_id: int | str | None = None
    with suppress(ValueError, RecursionError):
        match json.loads(body):
            case {"id": bool()}:
                pass
            case {"id": int() | str() as found}:
                request_id = found
            case _:
                pass
    headers = {"Allow": ", ".join(METHODS)} if refused.status == 405 else None
    error = {"jsonrpc": "2.0", "id": request_id, "error": refused.error}
    # ASCII, because an id may have a lone surrogate, which UTF-8 cannot encode.
    return Response(json.dumps(error), refused.status, headers, "application/json")
