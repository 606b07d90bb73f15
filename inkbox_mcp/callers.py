"""Who is calling over HTTP."""

import hashlib

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.requests import Request

from inkbox_mcp.tenants import KEY_HEADER, LOCAL, Caller


def caller(request: Request | None) -> Caller:
    """Tell who sent a request; without one it is the only client, over stdio."""
    if request is None:
        return LOCAL
    keys = tuple(request.headers.getlist(KEY_HEADER))
    return Caller(keys, tenant(request), request.headers.get("x-request-id"))


def tenant(request: Request) -> str:
    """Name the caller of a request for limits and logs; of a key or an account the name tells nothing."""
    identity: list[object] = [*request.headers.getlist(KEY_HEADER)]
    user = request.scope.get("user")
    if not identity and isinstance(user, AuthenticatedUser):
        identity += principal_components(user.access_token)
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:12] if identity else "-"
