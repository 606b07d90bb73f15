"""What a request's body may hold, looked at before the SDK does: validating it can take a thousand times as long."""

from http import HTTPStatus

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp.bounds import MAX_VALUES, is_overloaded


def without_overload(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application that gets each body whole; those with too many values are answered 413."""

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
