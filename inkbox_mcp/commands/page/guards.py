"""What guards the page: who may ask for it, and what a browser may do with its answers.

A web page of another site must neither read nor write here, nor show this page in a frame. What a stranger wrote into a
mail runs nothing and loads nothing.
"""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
_POLICY_OF_MAIL = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'"
)
HEADERS_OF_MAIL = {
    "Content-Security-Policy": _POLICY_OF_MAIL,
    # Chromium would open a connection, although without a request, for a frame or link that the policy then blocks.
    "Connection-Allowlist": "()",
}
"""Of the HTML of a mail."""

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def problem(detail: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for what went wrong, in a sentence."""
    return JSONResponse({"detail": detail}, status, headers)


def only_own(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application: what another page caused is refused, even one of this machine on another port.

    Only the first page may be opened by a link of another site.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        own = f"http://{headers.get('host', '')}".lower()
        is_foreign = any(origin.lower() != own for origin in headers.getlist("origin"))
        site = headers.get("sec-fetch-site", "none")
        if is_foreign or (site not in {"none", "same-origin"} and scope["path"] != "/"):
            await problem("Only the page itself may ask for this.", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return wrapped


def with_headers(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application whose answers get the headers that they have not set themselves."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await app(scope, receive, send_guarded)

    return wrapped
