"""A real OAuth authorization server on a loopback port: Authlib, on Starlette."""

# pyright: reportUnknownMemberType=false

import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import anyio
import httpx2
import uvicorn
from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from inkbox_mcp.access.scopes import SCOPES

AUDIENCE = "https://mcp.example.com/mcp"
CLIENT_ID, CLIENT_SECRET = "reporting-service", "a-secret-of-the-client"
METADATA, OPENID, JWKS, TOKEN = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/jwks",
    "/token",
)

Key = RSAKey | ECKey | OKPKey


@cache
def rsa_key(name: str, bits: int = 2048) -> RSAKey:
    """Return the key with this id; it is cached, because making a key takes long."""
    return RSAKey.generate_key(bits, {"kid": name})


@dataclass
class Issuer:
    """An authorization server that a test can change.

    Attributes:
        origin: the origin at which it listens.
        path: the path of the issuer identifier, for servers with several tenants.
        discovery: the path of its metadata.
        audience: the `aud` of tokens from the token endpoint.
        keys: the keys of its JWK Set; the first one signs.
        answers: answers that replace the usual ones, by path.
        asked: the paths of the GET requests that it received.
    """

    origin: str
    path: str = ""
    discovery: str = METADATA
    audience: str = AUDIENCE
    keys: list[Key] = field(default_factory=lambda: [rsa_key("first")])
    answers: dict[str, Callable[[], Response]] = field(default_factory=dict[str, Callable[[], Response]])
    asked: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        """The issuer identifier."""
        return self.origin + self.path

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of the token endpoint with these changes; None removes a claim."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": self.audience,
            "exp": now + 600,
            "iat": now,
            "sub": "user-1",
            "client_id": CLIENT_ID,
            "scope": " ".join(SCOPES),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any], key: Key | None = None, **header: Any) -> str:
        """Sign claims; a header of None is left out."""
        key = key or self.keys[0]
        headers = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid, **header}
        headers = {name: value for name, value in headers.items() if value is not None}
        return jwt.encode(headers, claims, key, algorithms=[headers["alg"]])

    def token(self, key: Key | None = None, **claims: Any) -> str:
        """Sign a token with these changes to its claims."""
        return self.sign(self.claims(**claims), key)

    async def grant(self, scope: str = " ".join(SCOPES), client_id: str = CLIENT_ID) -> str:
        """Get a token from the token endpoint."""
        form = {"grant_type": "client_credentials", "scope": scope}
        async with httpx2.AsyncClient() as http:
            answer = await http.post(self.origin + TOKEN, data=form, auth=(client_id, CLIENT_SECRET))
        return answer.raise_for_status().json()["access_token"]

    def metadata(self) -> dict[str, Any]:
        """Return its RFC 8414 metadata."""
        metadata = AuthorizationServerMetadata(
            issuer=self.url,
            authorization_endpoint=f"{self.origin}/authorize",
            token_endpoint=self.origin + TOKEN,
            jwks_uri=self.origin + JWKS,
            response_types_supported=["code"],
            grant_types_supported=["client_credentials"],
            token_endpoint_auth_methods_supported=["client_secret_basic"],
        )
        metadata.validate()
        return metadata

    def jwks(self) -> dict[str, Any]:
        """Return its public keys."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


class _Client(ClientMixin):
    """A service that may request every scope."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: Collection[str] | str) -> str:
        return scope if isinstance(scope, str) else " ".join(scope)

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method, endpoint) == ("client_secret_basic", "token")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class _Request(OAuth2Request):
    def __init__(self, request: Request, form: dict[str, str]) -> None:
        super().__init__(request.method, str(request.url), headers=request.headers)
        self.payload = BasicOAuth2Payload(form)
        self._form = form

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Tokens(JWTBearerTokenGenerator):
    def __init__(self, issuer: Issuer) -> None:
        super().__init__(issuer.url)
        self.server = issuer

    def get_jwks(self) -> KeySet:
        return KeySet([self.server.keys[0]])

    def get_audiences(self, client: _Client, user: None, scope: str) -> str:
        return self.server.audience


class _Authlib(AuthorizationServer):
    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self.register_grant(grants.ClientCredentialsGrant)
        self.register_token_generator("default", _Tokens(issuer))

    def query_client(self, client_id: str) -> _Client:
        return _Client(client_id)

    def save_token(self, token: Mapping[str, Any], request: OAuth2Request) -> None:
        """Store nothing, because the tokens contain all data."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, Any]:
        return status, body, headers

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Ignore the signal, because no code receives it."""


def _app(issuer: Issuer) -> ASGIApp:
    async def get(request: Request) -> Response:
        path = request.url.path
        issuer.asked.append(path)
        if path in issuer.answers:
            return issuer.answers[path]()
        documents = {issuer.discovery: issuer.metadata, JWKS: issuer.jwks}
        return JSONResponse(documents[path]()) if path in documents else Response(status_code=404)

    async def token(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        status, body, headers = _Authlib(issuer).create_token_response(_Request(request, form))
        return JSONResponse(body, status, dict(headers))

    return Starlette(routes=[Route(TOKEN, token, methods=["POST"]), Route("/{path:path}", get)])


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Leave signals to the test runner.
        yield


def _uvicorn(app: ASGIApp, lifespan: Literal["on", "off"]) -> _Uvicorn:
    return _Uvicorn(uvicorn.Config(app, lifespan=lifespan, log_config=None, timeout_graceful_shutdown=1))


@contextmanager
def _listening() -> Generator[tuple[socket.socket, str]]:
    """Listen on a free port; connections wait until a server accepts them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Without this, answers would wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def serving(make_app: Callable[[str], ASGIApp]) -> AsyncGenerator[str]:
    """Serve an application, which is made for its origin, on a free port; yield the origin."""
    with _listening() as (listener, origin):
        server = _uvicorn(make_app(origin), "on")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(server.serve, sockets=[listener]))
            yield origin
            server.should_exit = True


@contextmanager
def serve_issuer() -> Generator[Issuer]:
    """Serve an authorization server in a thread, for many tests, because starting one takes long."""
    with _listening() as (listener, origin):
        issuer = Issuer(origin)
        server = _uvicorn(_app(issuer), "off")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield issuer
        finally:
            server.should_exit = True
            thread.join()
