"""Real clients that authenticate with a token or with an authorization server that they discover."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import MCPError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from inkbox_mcp.access.scopes import READ, SCOPES, WRITE
from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import Authentication, StaticToken, metadata_routes, metadata_url
from tests.support.agents import Agent, connect_http, server_on
from tests.support.authentication import METADATA_URL, SECRET, scopes_for
from tests.support.authorization_server import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    JWKS,
    METADATA,
    Issuer,
    serving,
)
from tests.support.catalogue import SPEC
from tests.support.messages import HEADERS, INITIALIZE


class Upstream:
    """An Inkbox API without mailboxes that records its requests."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a list with an empty one, and any change with a conflict."""
        self.requests.append(request)
        return httpx2.Response(200, json=[]) if request.method == "GET" else httpx2.Response(409, json={"detail": "no"})


@asynccontextmanager
async def served(api: Upstream, issuer: Issuer | None = None) -> AsyncGenerator[str]:
    """Serve MCP for the tokens of an issuer, or for the static token; yield the endpoint's URL."""

    def app(origin: str) -> ASGIApp:
        server = server_on(api)
        if not issuer:
            return Authentication(server.streamable_http_app(), StaticToken(SecretStr(SECRET)), scopes_for=scopes_for)
        issuer.audience = f"{origin}/mcp"
        return Authentication(
            server.streamable_http_app(custom_starlette_routes=metadata_routes(issuer.audience, issuer.url)),
            JWTVerifier(issuer.url, issuer.audience),
            metadata_url=metadata_url(issuer.audience),
            scopes_for=scopes_for,
        )

    async with serving(app) as origin:
        yield f"{origin}/mcp"


@asynccontextmanager
async def agent(url: str, mode: str, token: str = "", auth: httpx2.Auth | None = None) -> AsyncGenerator[Agent]:
    """Connect an MCP client that sends this token, or gets one with `auth`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect_http(url, httpx2.AsyncClient(headers=headers, auth=auth, timeout=20), mode) as agent:
        yield agent


async def test_a_token_from_the_token_endpoint_opens_the_server(era: str, issuer: Issuer) -> None:
    """The token is not passed on to Inkbox, in any header, URL or body."""
    api = Upstream()
    async with served(api, issuer) as url:
        token = await issuer.grant()
        async with agent(url, era, token) as someone:
            assert len((await someone.client.list_tools()).tools) == len(SPEC)
            assert (await someone.ask("list_mailboxes"))["total"] == 0
            assert "409" in await someone.refused("create_mailbox", agent_handle="sales-agent")
    assert {request.method for request in api.requests} == {"GET", "POST"}
    for request in api.requests:
        assert "Authorization" not in request.headers
        assert token not in f"{request.url} {request.headers} {request.content!r}"
    assert issuer.asked == [METADATA, JWKS]


async def test_the_static_token_opens_the_server(era: str) -> None:
    """Another token is refused with 401, and the static one is not passed on to Inkbox."""
    api = Upstream()
    async with served(api) as url:
        async with agent(url, era, SECRET) as someone:
            assert (await someone.ask("list_mailboxes"))["total"] == 0
        assert all(SECRET not in f"{request.headers}" for request in api.requests)
        async with httpx2.AsyncClient() as http:
            assert (await http.post(url, json={}, headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_a_reader_reads_and_changes_nothing(era: str, issuer: Issuer) -> None:
    """This client cannot get more scopes, so its calls that change something fail."""
    api = Upstream()
    async with served(api, issuer) as url, agent(url, era, await issuer.grant(READ)) as someone:
        assert (await someone.ask("list_mailboxes"))["total"] == 0
        with pytest.raises(MCPError):
            await someone.call("create_mailbox", agent_handle="sales-agent")
    assert {request.method for request in api.requests} == {"GET"}


async def test_a_session_belongs_to_who_opened_it(issuer: Issuer) -> None:
    """Another caller with a good token gets 404 for this session."""
    async with served(Upstream(), issuer) as url, httpx2.AsyncClient() as http:
        mine = {**HEADERS, "Authorization": f"Bearer {await issuer.grant()}"}
        theirs = {**HEADERS, "Authorization": f"Bearer {await issuer.grant(client_id='other-service')}"}
        session = (await http.post(url, json=INITIALIZE, headers=mine)).headers["Mcp-Session-Id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        for caller, status in ((theirs, 404), (HEADERS, 401), (mine, 200)):
            answer = await http.post(url, json=listing, headers={**caller, "Mcp-Session-Id": session})
            assert answer.status_code == status


class Storage:
    """The tokens of an MCP client."""

    def __init__(self) -> None:
        self.token: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self.token = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return nothing: the client was registered by hand."""

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Ignore the client's registration."""


def login(url: str, issuer: Issuer, storage: Storage) -> httpx2.Auth:
    """Return the SDK's OAuth client, which knows only its own name and secret and the issuer."""
    return ClientCredentialsOAuthProvider(url, storage, CLIENT_ID, CLIENT_SECRET, issuer=issuer.url)


async def test_a_client_finds_the_authorization_server_by_itself(era: str, issuer: Issuer) -> None:
    """The client follows the challenge to the metadata and the issuer, gets a token and calls a tool."""
    storage = Storage()
    async with served(Upstream(), issuer) as url, agent(url, era, auth=login(url, issuer, storage)) as someone:
        assert (await someone.ask("list_mailboxes"))["total"] == 0
    assert storage.token is not None
    assert storage.token.scope == " ".join(SCOPES)


async def test_a_client_gets_more_scopes_when_it_needs_them(era: str, issuer: Issuer) -> None:
    """MCP's step-up: a client with a reader's token gets another token on its first change."""
    storage, api = Storage(), Upstream()
    async with served(api, issuer) as url:
        storage.token = OAuthToken(access_token=await issuer.grant(READ), scope=READ)
        async with agent(url, era, auth=login(url, issuer, storage)) as someone:
            assert (await someone.ask("list_mailboxes"))["total"] == 0
            assert storage.token.scope == READ
            assert "409" in await someone.refused("create_mailbox", agent_handle="sales-agent")
    assert set(str(storage.token.scope).split()) == {READ, WRITE}


@pytest.mark.parametrize("root", ["", "/mcp"])
async def test_the_metadata_names_the_issuer_to_the_letter(root: str) -> None:
    """With an added slash it would name another issuer, which clients refuse."""
    routes = metadata_routes(AUDIENCE, "https://issuer.example.com", ["tenant"])
    transport = httpx2.ASGITransport(Starlette(routes=routes))  # pyright: ignore[reportArgumentType]
    async with httpx2.AsyncClient(transport=transport, base_url="https://mcp.example.com") as http:
        answer = await http.get(f"/.well-known/oauth-protected-resource{root}", headers={"Origin": "https://web.app"})
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": ["https://issuer.example.com"],
        "scopes_supported": [*SCOPES, "tenant"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Inkbox mailboxes",
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("audience", "url"),
    [
        (AUDIENCE, METADATA_URL),
        ("https://mcp.example.com", "https://mcp.example.com/.well-known/oauth-protected-resource"),
        (
            "https://mcp.example.com:8443/a/mcp",
            "https://mcp.example.com:8443/.well-known/oauth-protected-resource/a/mcp",
        ),
    ],
)
async def test_the_metadata_is_where_clients_look_for_it(audience: str, url: str) -> None:
    """RFC 9728 section 3.1 names the path; clients that saw no challenge look at the root."""
    assert metadata_url(audience) == url
    paths = [route.path for route in metadata_routes(audience, "https://issuer.example.com")]
    assert paths == list(dict.fromkeys([httpx2.URL(url).path, "/.well-known/oauth-protected-resource"]))
