"""Makes a `Caller` of an HTTP request, with what its access token allows."""

import hashlib
import json

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken, principal_components
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inkbox_mcp.access.scopes import EVERYTHING, SCOPES, granted
from inkbox_mcp.access.tenants import KEY_HEADER, Caller

_GONE = "inkbox_mcp.gone"


def caller(request: Request) -> Caller:
    """Return who sent a request. Without authentication, everybody may do everything."""
    keys, account = _identity(request)
    user, gone = request.scope.get("user"), request.scope.get(_GONE)
    return Caller(
        tuple(keys),
        _name(keys or account),
        request.headers.get("x-request-id"),
        scopes=EVERYTHING if user is None else granted(user.scopes if isinstance(user, AuthenticatedUser) else ()),
        principal=json.dumps([keys, account]) if keys or account else None,
        left=gone and gone.wait,
    )


def _identity(request: Request) -> tuple[list[str], list[str | None]]:
    """Return the Inkbox keys in a request's headers, and the account of its access token."""
    user = request.scope.get("user")
    account = [*principal_components(user.access_token)] if isinstance(user, AuthenticatedUser) else []
    return request.headers.getlist(KEY_HEADER), account


def _name(identity: list[str] | list[str | None]) -> str:
    """Return a caller's name for limits and logs, which does not reveal the key or the account."""
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12] if identity else "-"


def noticing_who_leaves(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application so that `Caller.left` returns when the request ends."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        gone = anyio.Event()
        try:
            await app({**scope, _GONE: gone}, receive, send)
        finally:
            gone.set()

    return wrapped


def bound_to_keys(app: ASGIApp) -> ASGIApp:
    """Add the Inkbox key to the caller's account, because the SDK binds a session to the account that opened it."""

    async def bound(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            user = scope.get("user")
            anybody = AccessToken(token="", client_id="", scopes=[*SCOPES])
            account = user.access_token if isinstance(user, AuthenticatedUser) else anybody
            both = {"client_id": f"{account.client_id} {caller(Request(scope)).name}"}
            scope = {**scope, "user": AuthenticatedUser(account.model_copy(update=both))}
        await app(scope, receive, send)

    return bound
