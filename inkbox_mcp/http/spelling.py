"""Normalizes the endpoint's path, so that no other spelling of it can bypass a later check."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class OneSpelling:
    """ASGI middleware after which a request for the endpoint has exactly the endpoint's path.

    `/mcp/` becomes `/mcp`. A proxy's prefix (`root_path`) and line breaks at the end, which the router ignores, are
    removed. A target that is no path is answered 404: the full URL that clients send to a proxy has a host of its own,
    which may differ from `Host`.

    Args:
        app: the application that compares paths.
        path: of the endpoint.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path, prefix = scope["path"], scope.get("root_path", "")
        if prefix and path.startswith(f"{prefix}/"):
            path = path.removeprefix(prefix)
        path = path.rstrip("\n")
        if path == f"{self._path}/":
            path = self._path
        if path.startswith("/"):
            await self._app({**scope, "path": path, "root_path": ""}, receive, send)
        else:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)
