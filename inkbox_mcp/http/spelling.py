"""One spelling for the endpoint's path, so that no guard behind this can be passed by another one."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class OneSpelling:
    """ASGI middleware after which a request that reaches the endpoint has the endpoint's path, to the letter.

    `/mcp/` is the endpoint, too. A proxy's prefix (`root_path`) and line breaks at the end, both of which the router
    passes over, are taken away. What is no path is not found: the URL that a client sends to a proxy names a host of
    its own, whatever `Host` says.

    Args:
        app: what compares paths.
        path: the endpoint's.
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
