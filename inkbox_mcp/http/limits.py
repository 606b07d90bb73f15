"""What a request's body may take: time, room, and no compression."""

import math

import anyio
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOT_DECODED = "Send the body as it is, without Content-Encoding: this server decompresses nothing.\n"


class BodyLimits:
    """ASGI middleware that reads a request's whole body, in time, and hands it on as one message.

    A body that does not come to its end is given up (408): it would be kept for as long as its connection. One that is
    too large is refused (413), and one that is compressed (415), which a small body of any size could be.

    Args:
        app: what is behind it.
        seconds: in which the body must come.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._limited = RequestBodyLimitMiddleware(app, DEFAULT_MAX_REQUEST_BODY_SIZE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        codings = ",".join(Headers(scope=scope).getlist("content-encoding")).lower()
        if any(coding.strip() not in {"", "identity"} for coding in codings.split(",")):
            # Accept-Encoding says which one would do (RFC 9110 section 15.5.16).
            refusal = PlainTextResponse(NOT_DECODED, 415, {"Accept-Encoding": "identity", "Connection": "close"})
            await refusal(scope, receive, send)
            return

        async def receive_in_time() -> Message:
            message = await receive()
            if not message.get("more_body"):
                reading.deadline = math.inf
            return message

        with anyio.move_on_after(self._seconds) as reading:
            await self._limited(scope, receive_in_time, send)
        if reading.cancelled_caught:
            answer = PlainTextResponse("Request Timeout", 408, headers={"Connection": "close"})
            await answer(scope, receive, send)
