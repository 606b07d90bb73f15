"""Checks requests to the endpoint before the SDK does.

The SDK opens a session before it reads the request, and sends the session's id even with a refusal. It never answers a
`GET` with `Last-Event-ID`. Its refusals of malformed messages describe its own classes.
"""

import re
from collections.abc import Sequence

from mcp.types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    PARSE_ERROR,
    UNSUPPORTED_PROTOCOL_VERSION,
    InitializeRequestParams,
    JSONRPCMessage,
    JSONRPCRequest,
    UnsupportedProtocolVersionErrorData,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS, SUPPORTED_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp.http.direct import DirectCalls
from inkbox_mcp.protocol.messages import Received, Refused, id_in, received

SESSION, VERSION, LENGTH = b"mcp-session-id", b"mcp-protocol-version", b"content-length"
METHODS = ("GET", "POST", "DELETE")

RawHeaders = list[tuple[bytes, bytes]]

NO_SESSION = (
    "The request names no session. Begin with initialize, and send the Mcp-Session-Id of its answer with every later "
    "request."
)
NO_INITIALIZE = (
    "initialize needs the params protocolVersion (a string), capabilities (an object) and clientInfo (an object with "
    "name and version)."
)


class Endpoint:
    """ASGI middleware in front of the SDK's transport.

    Args:
        app: the SDK's application.
        path: of the MCP endpoint; requests for other paths are passed on.
        direct: answers plain calls.
        has_sessions: whether clients of 2025-11-25 and earlier open sessions.
    """

    def __init__(self, app: ASGIApp, path: str, direct: DirectCalls, *, has_sessions: bool) -> None:
        self._app = app
        self._path = path
        self._direct = direct
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

        async def without_session(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                headers = [(name, value) for name, value in message["headers"] if name.lower() != SESSION]
                message = {**message, "headers": headers}
            await send(message)

        try:
            headers = tidied(scope["headers"])
            sent = self._check(scope["method"], headers, body)
        except Refused as refused:
            await _refusal(refused, scope["method"], body)(scope, replay, send)
            return
        if sent and sent.rewritten is not None:
            rewritten = sent.rewritten.encode()
            first = [{"type": "http.request", "body": rewritten, "more_body": False}]
            headers = [(name, value) for name, value in headers if name != LENGTH]
            headers.append((LENGTH, str(len(rewritten)).encode()))
        scope = {**scope, "headers": headers}
        if sent and sent.rewritten is None and await self._direct.answer(sent.message, scope, receive, send):
            return
        await self._app(scope, replay, without_session)

    def _check(self, method: str, headers: RawHeaders, body: bytes) -> Received | None:
        """Refuse what the SDK drops, refuses only after opening a session, or refuses in words that help nobody.

        Returns:
            The message of a POST.
        """
        if method not in METHODS:
            raise Refused(f"This path takes {', '.join(METHODS)}.")
        sessions = [value for name, value in headers if name == SESSION]
        version = _version(headers)
        is_modern = version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS
        if len(sessions) > 1:
            raise Refused("The request names two sessions.")
        sent = _received(body) if method == "POST" else None
        if self._has_sessions and not sessions and not is_modern:
            _check_opening(sent and sent.message)
        return sent


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


def _received(body: bytes) -> Received:
    """Parse a body.

    Raises:
        Refused: it is no message, or the SDK cannot read it.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            f"The message is no JSON: {error.reason} at byte {error.start}, where UTF-8 is needed.", PARSE_ERROR
        ) from None
    return received(text)


def _check_opening(message: JSONRPCMessage | None) -> None:
    """Refuse a request that has no session and does not open one."""
    if not (isinstance(message, JSONRPCRequest) and message.method == "initialize"):
        raise Refused(NO_SESSION)
    try:
        InitializeRequestParams.model_validate(message.params, by_name=False)
    except ValidationError:
        raise Refused(NO_INITIALIZE, INVALID_PARAMS) from None


def _refusal(refused: Refused, method: str, body: bytes) -> Response:
    """Return a JSON-RPC error, with the request's id if it can be read."""
    request_id = refused.request_id
    if request_id is None:
        request_id = id_in(body.decode(errors="replace"))
    error = {"jsonrpc": "2.0", "id": request_id, "error": refused.error}
    if method in METHODS:
        return JSONResponse(error, 400)
    return JSONResponse(error, 405, {"Allow": ", ".join(METHODS)})
