"""Who is calling over HTTP."""

import hashlib
import json

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.tenants import KEY_HEADER, LOCAL, Caller

_LEFT = "inkbox_mcp.left"


def caller(request: Request | None) -> Caller:
    """Tell who sent a request; without one it is the only client, over stdio."""
    if request is None:
        return LOCAL
    keys = tuple(request.headers.getlist(KEY_HEADER))
    return Caller(keys, tenant(request), request.headers.get("x-request-id"))


def tenant(request: Request) -> str:
    """Name the caller of a request for limits and logs; of a key or an account the name tells nothing."""
    keys, account = _identity(request)
    identity = keys or account
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12] if identity else "-"


def principal(request: Request | None) -> str | None:
    """Write out all that says who sent a request, key and account; None where nothing does."""
    keys, account = _identity(request) if request else ([], [])
    return json.dumps([keys, account]) if keys or account else None


def _identity(request: Request) -> tuple[list[str], list[str | None]]:
    user = request.scope.get("user")
    account = [*principal_components(user.access_token)] if isinstance(user, AuthenticatedUser) else []
    return request.headers.getlist(KEY_HEADER), account


def noticing_who_leaves(app: ASGIApp) -> ASGIApp:
    """Wrap the ASGI application whose calls ask `left`."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        gone = anyio.Event()
        try:
            await app({**scope, _LEFT: gone}, receive, send)
        finally:
            gone.set()

    return wrapped


async def left(request: Request | None) -> None:
    """Wait until nobody waits for the answer to a request any more; over stdio, where that ends the call, for ever."""
    gone: anyio.Event | None = request.scope.get(_LEFT) if request else None
    await (gone or anyio.Event()).wait()
