"""Authenticates HTTP callers by bearer tokens, checks scopes, and sends challenges to callers without a token.

Answers follow the authorization page of the MCP specification (2025-11-25 and 2026-07-28). `Authentication` puts the
caller into `scope["user"]` and removes the token.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE, RequestBodyLimitMiddleware
from pydantic import AnyHttpUrl, ConfigDict, SecretStr, TypeAdapter
from starlette.authentication import AuthCredentials
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkbox_mcp.access.scopes import CHANGING, EVERYTHING, MAIL_READ, READ, SCOPES, granted, shortest

CONNECTING = frozenset({READ, MAIL_READ})
"""The scopes that a challenge names where any one would do: those that allow no changes."""
ALL = {frozenset({scope}) for scope in CHANGING}
"""What a body needs that may ask for anything."""

MAX_TOKEN = 16 * 1024
SECONDS_TO_RETRY = 10

# By default AnyHttpUrl adds a slash to `https://issuer.example`, which then names another issuer.
_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))


class IssuerUnavailable(Exception):
    """The authorization server cannot be reached, so tokens cannot be checked."""


def metadata_url(audience: str) -> str:
    """Return the URL of the RFC 9728 document about the server at this URL."""
    return str(build_resource_metadata_url(_URL.validate_python(audience)))


def metadata_routes(audience: str, issuer: str, required_scopes: Sequence[str] = ()) -> list[Route]:
    """Serve the RFC 9728 document that names the authorization server.

    Args:
        audience: the URL at which clients reach the MCP endpoint.
        issuer: the authorization server.
        required_scopes: see `Authentication`.
    """
    (route,) = create_protected_resource_routes(
        _URL.validate_python(audience),
        [_URL.validate_python(issuer)],
        scopes_supported=[*SCOPES, *required_scopes],
        resource_name="Inkbox mailboxes",
    )
    # Clients that got no challenge look here too (2025-11-25, protected resource metadata discovery).
    root = Route("/.well-known/oauth-protected-resource", route.endpoint, methods=["GET", "OPTIONS"])
    return [route] if route.path == root.path else [route, root]


class Authentication:
    """ASGI middleware that passes only requests whose token allows them.

    Args:
        app: the guarded application.
        verifier: checks tokens; raises `IssuerUnavailable` when it cannot.
        path: of the MCP endpoint. All paths that begin with it are guarded, others are open.
        required_scopes: OAuth scopes that a token needs besides one of `inkbox_mcp.access.scopes`.
        metadata_url: of the document that names the authorization server; None if clients get tokens otherwise.
        scopes_for: returns what a call of the tool of this name needs: of each set of scopes one.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        *,
        path: str = "/mcp",
        required_scopes: Sequence[str] = (),
        metadata_url: str | None = None,
        scopes_for: Callable[[str], frozenset[frozenset[str]]],
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._path = path
        self._required = frozenset(required_scopes)
        self._metadata_url = metadata_url
        self._scopes_for = scopes_for
        self._read_body_first = RequestBodyLimitMiddleware(self._authorize, DEFAULT_MAX_REQUEST_BODY_SIZE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._guards(scope):
            await self._app(scope, receive, send)
            return
        caller = await self._authenticate(scope)
        if isinstance(caller, JSONResponse):
            await caller(scope, receive, send)
            return
        # The application does not need the token, so it cannot log it or send it on.
        headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"authorization"]
        scope = {**scope, "headers": headers, "user": caller, "auth": AuthCredentials(caller.scopes)}
        if self._required.union(EVERYTHING) <= granted(caller.scopes).union(caller.scopes):
            await self._app(scope, receive, send)
        else:
            await self._read_body_first(scope, receive, send)

    def _guards(self, scope: Scope) -> bool:
        """Whether a request could reach the MCP endpoint."""
        # A prefix, because the router matches more than the exact path, such as one that ends with a newline.
        path, prefix = scope.get("path", ""), scope.get("root_path", "")
        return scope["type"] != "lifespan" and any(
            candidate.startswith(self._path) for candidate in (path, path.removeprefix(prefix))
        )

    async def _authenticate(self, scope: Scope) -> AuthenticatedUser | JSONResponse:
        """Return the caller, or the answer that refuses the request."""
        headers = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        tokens = [token for header in headers if (token := _bearer(header))]
        if not tokens:
            return self._refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", "Send Authorization: Bearer and a token.")
        # With two headers, a proxy in front might have checked one, and this server would use the other.
        if len(headers) == 1 and len(tokens[0]) <= MAX_TOKEN and tokens[0].isascii():
            try:
                verified = await self._verifier.verify_token(tokens[0].decode("ascii"))
            except IssuerUnavailable:
                # Not 401: clients would discard a good token and start a login that cannot work now.
                return _answer(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    "The authorization server cannot be reached. Try again later.",
                    {"Retry-After": str(SECONDS_TO_RETRY)},
                )
            if verified:
                return AuthenticatedUser(verified)
        return self._refusal(HTTPStatus.UNAUTHORIZED, "invalid_token", "The access token is invalid or has expired.")

    async def _authorize(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request if its caller has the scopes for it. Its whole body comes as one message."""
        first = [await receive()]
        own = cast("AuthenticatedUser", scope["user"]).scopes
        allowed = granted(own)
        lacking = [some for some in self._needs(first[0].get("body", b"")) if some.isdisjoint(allowed)]
        if lacking or not self._required <= set(own):
            description = "The access token does not allow this."
            # With those that the token has, because clients replace it by one that has what the challenge names.
            enough = allowed.union(*(CONNECTING if some == EVERYTHING else some for some in lacking))
            refusal = self._refusal(HTTPStatus.FORBIDDEN, "insufficient_scope", description, enough)
            await refusal(scope, receive, send)
            return

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, replay, send)

    def _needs(self, body: bytes) -> set[frozenset[str]]:
        """Return what a body needs: of each set of scopes one. An ambiguous body needs everything."""
        try:
            # Integers stay text: Python refuses very long ones, other parsers do not.
            message: object = json.loads(body, object_pairs_hook=_unambiguous, parse_int=str)
        except (_AmbiguousError, RecursionError):
            return ALL
        except ValueError:
            return {EVERYTHING}  # the server cannot parse it either
        batch = cast("list[object]", message) if isinstance(message, list) else [message]
        return set[frozenset[str]]().union(*map(self._needs_of, batch)) or {EVERYTHING}

    def _needs_of(self, message: object) -> set[frozenset[str]]:
        # A result may be the human's consent to a change, whatever else the message says.
        consent = {CHANGING} if isinstance(message, dict) and "result" in message else set[frozenset[str]]()
        match cast("object", message):
            case {"method": "tools/call", "params": {"name": str(name)}}:
                return consent | self._scopes_for(name)
            case {"method": "tools/call"}:
                return ALL
            case _:
                return consent

    def _refusal(
        self, status: HTTPStatus, error: str, description: str, enough: frozenset[str] | None = None
    ) -> JSONResponse:
        """Refuse with a challenge that names the scopes that are enough; None for all that there are."""
        challenge: dict[str, str] = {}
        # RFC 6750 section 3.1: no error code for a client that sent no token.
        if error != "unauthorized":
            challenge |= {"error": error, "error_description": description}
        if self._metadata_url:
            named = SCOPES if enough is None else shortest(enough)
            challenge |= {"scope": " ".join([*named, *sorted(self._required)]), "resource_metadata": self._metadata_url}
        else:
            challenge["realm"] = "inkbox-mcp"  # RFC 6750 section 3: at least one parameter
        header = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in challenge.items())
        return _answer(status, error, description, {"WWW-Authenticate": header})


def _answer(status: HTTPStatus, error: str, description: str, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse(
        {"error": error, "error_description": description}, status, headers={"Cache-Control": "no-store", **headers}
    )


def _bearer(header: bytes) -> bytes:
    """Return the token of an `Authorization` header; empty if it has none, or another scheme."""
    scheme, _, token = header.strip(b" ").partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


class _AmbiguousError(Exception):
    """A JSON object has a name twice. Parsers differ in which value they use."""


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(found := dict(pairs)) < len(pairs):
        raise _AmbiguousError
    return found


class StaticToken:
    """Accepts one token of the operator's, which allows everything."""

    def __init__(self, token: SecretStr) -> None:
        self._digest = _digest(token.get_secret_value())

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the caller if the token is the right one."""
        # Digests have one length, so that timing does not reveal the token's length.
        if not hmac.compare_digest(_digest(token), self._digest):
            return None
        return AccessToken(token="", client_id="token", scopes=[*SCOPES])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
