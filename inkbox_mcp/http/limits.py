"""Limits the bodies of requests: time, size, compression, and the number of values."""

import math
from http import HTTPStatus

import anyio
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp.protocol.overload import MAX_VALUES, is_overloaded

CLOSE = {"Connection": "close"}
TOO_LARGE = "Request body too large"
TOO_SLOW = "Request Timeout"
NOT_DECODED = "Send the body as it is, without Content-Encoding: this server decompresses nothing."


class BodyLimits:
    """ASGI middleware that limits the time and size of a request's body.

    An unfinished body is dropped (408), because it would be kept as long as its connection. A body that is too large is
    refused (413), and a compressed one (415), because it could decompress to any size.

    Args:
        app: the application that reads the body.
        seconds: for the whole body, from the first read.
        size: the most bytes of a body.
    """

    def __init__(self, app: ASGIApp, seconds: float, size: int = DEFAULT_MAX_REQUEST_BODY_SIZE) -> None:
        self._app = app
        self._seconds = seconds
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refusal := self._refusal(Headers(scope=scope)):
            await refusal(scope, receive, send)
            return
        taken, is_begun = 0, False

        async def limited() -> Message:
            nonlocal taken, is_begun
            if not is_begun:
                is_begun = True
                reading.deadline = anyio.current_time() + self._seconds
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._size:
                reading.cancel()
                await anyio.lowlevel.checkpoint()
            if not message.get("more_body"):
                reading.deadline = math.inf
            return message

        with anyio.CancelScope() as reading:
            await self._app(scope, limited, send)
        if reading.cancelled_caught:
            is_large = taken > self._size
            answer = PlainTextResponse(TOO_LARGE, 413) if is_large else PlainTextResponse(TOO_SLOW, 408, CLOSE)
            await answer(scope, receive, send)

    def _refusal(self, headers: Headers) -> PlainTextResponse | None:
        """Refuse a body by its headers."""
        codings = ",".join(headers.getlist("content-encoding")).lower()
        if any(coding.strip() not in {"", "identity"} for coding in codings.split(",")):
            # Accept-Encoding names an accepted encoding (RFC 9110 section 15.5.16).
            return PlainTextResponse(NOT_DECODED, 415, {"Accept-Encoding": "identity"})
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._size):
            return PlainTextResponse(TOO_LARGE, 413)
        return None


def without_overload(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application: a body with too many values is answered 413. Each body must come as one message."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        first = [await receive()]
        if is_overloaded(first[0].get("body", b"")):
            what = f"The request has more than {MAX_VALUES:,} values beside a tool's arguments"
            await PlainTextResponse(what, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)(scope, receive, send)
            return

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await app(scope, replay, send)

    return wrapped
