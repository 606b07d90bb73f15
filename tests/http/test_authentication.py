"""`Authentication`: which requests reach the HTTP server, and how the others are answered."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from inkbox_mcp.access.scopes import EVERYTHING, MAIL_READ, MAIL_SEND, READ, WRITE
from inkbox_mcp.http.authentication import Authentication, IssuerUnavailable, StaticToken
from inkbox_mcp.http.callers import caller
from tests.support.authentication import METADATA_URL, SECRET, scopes_for
from tests.support.authorization_server import serving


async def echo(request: Request) -> Response:
    """Return what reached the application."""
    user = request.scope.get("user")
    return JSONResponse(
        {
            "client": user.display_name if user else None,
            "authorization": request.headers.get("authorization"),
            "body": (await request.body()).decode("latin-1"),
        }
    )


METHODS = ["GET", "POST", "DELETE", "OPTIONS", "PUT"]


class Scoped:
    """Accepts a token whose text is its scopes, separated by plus signs."""

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return a caller with these scopes."""
        if token == "down":
            raise IssuerUnavailable
        return AccessToken(token="", client_id="someone", scopes=token.split("+"))


def door(judge: Any, *required: str, url: str | None = METADATA_URL) -> httpx2.AsyncClient:
    """Make a client of an application with `Authentication` around it."""
    app = Starlette(routes=[Route(path, echo, methods=METHODS) for path in ("/mcp", "/healthz", "/.well-known/x/mcp")])
    guarded = Authentication(app, judge, required_scopes=required, metadata_url=url, scopes_for=scopes_for)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(guarded), base_url="http://127.0.0.1")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", METHODS)
async def test_a_caller_without_a_token_is_told_how_to_get_one(method: str) -> None:
    """The challenge has no error code, because the request had no token (RFC 6750 section 3.1)."""
    async with door(Scoped(), "tenant") as http:
        answer = await http.request(method, "/mcp")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer scope="mailboxes:read mailboxes:write mail:read mail:send tenant", resource_metadata="{METADATA_URL}"'
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"error", "error_description"}


async def test_a_caller_with_a_bad_token_is_told_so() -> None:
    """The header has the error code of RFC 6750, so that programs can act on it."""
    async with door(StaticToken(SecretStr(SECRET))) as http:
        answer = await http.post("/mcp", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="The access token is invalid or has expired.", '
        f'scope="mailboxes:read mailboxes:write mail:read mail:send", resource_metadata="{METADATA_URL}"'
    )
    assert answer.json() == {
        "error": "invalid_token",
        "error_description": "The access token is invalid or has expired.",
    }


async def test_where_tokens_are_given_out_no_client_is_sent_to_an_authorization_server() -> None:
    """With a static token no authorization server exists."""
    async with door(StaticToken(SecretStr(SECRET)), url=None) as http:
        assert (await http.get("/mcp")).headers["WWW-Authenticate"] == 'Bearer realm="inkbox-mcp"'
        answer = await http.get("/mcp", headers={"Authorization": "Bearer wrong"})
        assert answer.headers["WWW-Authenticate"].endswith(', realm="inkbox-mcp"')


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"BEARER   {SECRET}"])
async def test_the_token_that_was_given_out_opens_the_door(header: str) -> None:
    """The scheme's case does not matter (RFC 9110 section 11.1); the application does not see the token."""
    async with door(StaticToken(SecretStr(SECRET))) as http:
        answer = await http.post("/mcp", headers={"Authorization": header}, content=b"hello")
    assert answer.json() == {"client": "token", "authorization": None, "body": "hello"}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", SECRET)],
        [("Authorization", f"Bearer{SECRET}")],
        [("Authorization", f"Bearer\t{SECRET}")],
        [("Authorization", f"Basic {SECRET}")],
        [("Authorization", f"Bearer Bearer {SECRET}")],
        [("Authorization", f"Bearer {SECRET}, Bearer {SECRET}")],
        [("Authorization", f"Bearer {SECRET} ,")],
        [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
        [("Authorization", f"Bearer {SECRET}"), ("AUTHORIZATION", "Basic x")],
        [("Authorization", "Basic x"), ("Authorization", f"Bearer {SECRET}")],
        [("Authorization", f"Bearer {SECRET[:-1]}")],
        [("Authorization", f"Bearer {SECRET}x")],
        [("Authorization", f"Bearer {SECRET.upper()}")],
        [("Authorization", "Bearer " + "x" * 40_000)],
        [(b"Authorization", b"Bearer \xff\xfe\x00")],
        [(b"Authorization", f"Bearer {SECRET}".encode() + b"\xc3\xa9")],
        [(b"Authorization", f"Bearer {SECRET}\u200b".encode())],
        [("Proxy-Authorization", f"Bearer {SECRET}")],
        [("X-Authorization", f"Bearer {SECRET}")],
        [("Cookie", f"access_token={SECRET}")],
    ],
    ids=range(24),
)
async def test_anything_but_one_bearer_token_is_refused(headers: Any) -> None:
    """Tokens in the query or the body do not count either, because URLs are logged."""
    async with door(StaticToken(SecretStr(SECRET))) as http:
        answer = await http.post(f"/mcp?access_token={SECRET}", headers=headers, data={"access_token": SECRET})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("token", ["", "é", "\ud800", "\0", "x" * 100_000])
async def test_the_static_token_compares_with_anything(token: str) -> None:
    """The comparison must not raise for any text."""
    assert await StaticToken(SecretStr(SECRET)).verify_token(token) is None


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp%0A", "/mcp/more", "/mcp;a=b", "/mcp%2F", "/mcpx"])
@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
async def test_no_path_that_the_router_might_take_for_the_endpoint_is_open(path: str, root: str) -> None:
    """The router matches `/mcp` with a line break after it, and removes a proxy's prefix."""
    app = Starlette(routes=[Route("/mcp", echo, methods=METHODS)])
    guarded = Authentication(app, Scoped(), scopes_for=scopes_for)
    transport = httpx2.ASGITransport(guarded, root_path=root)  # pyright: ignore[reportArgumentType]
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.post(root + path)).status_code == 401
        assert (await http.post(path)).status_code == 401


async def test_a_huge_token_is_not_even_looked_at() -> None:
    """It is refused by its length, before the verifier sees it."""
    async with door(Scoped()) as http:
        for size, status in ((16_384, 200), (16_385, 401)):
            answer = await http.get("/mcp", headers={"Authorization": f"Bearer {WRITE}+".ljust(size + 7, "x")})
            assert answer.status_code == status


async def test_other_paths_are_open() -> None:
    """Probes and metadata answer even while the authorization server is down."""
    async with door(Scoped()) as http:
        for path in ("/healthz", "/.well-known/x/mcp"):
            assert (await http.get(path, headers={"Authorization": "Bearer down"})).status_code == 200
        assert (await http.get("/")).status_code == 404
        assert (await http.get("//mcp")).status_code == 404


async def test_while_no_token_can_be_judged_callers_are_asked_to_wait() -> None:
    """The answer is 503, because a 401 would send clients to a login that does not work."""
    async with door(Scoped()) as http:
        answer = await http.get("/mcp", headers={"Authorization": "Bearer down"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "WWW-Authenticate" not in answer.headers
    assert answer.json()["error"] == "temporarily_unavailable"


def call(tool: Any, **more: Any) -> bytes:
    """Write a request that calls a tool."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}, **more}).encode()


@pytest.mark.parametrize(
    ("granted", "required", "body", "needed"),
    [
        ("other", (), b"", f"{READ} {MAIL_READ}"),
        (f"{READ}x", (), b"", f"{READ} {MAIL_READ}"),
        (READ.upper(), (), b"", f"{READ} {MAIL_READ}"),
        (READ, ("tenant",), b"", f"{READ} tenant"),
        (MAIL_SEND, ("tenant",), b"", f"{MAIL_SEND} tenant"),
        (WRITE, ("tenant", "a"), b"", f"{WRITE} a tenant"),
        ("tenant", ("tenant",), b"", f"{READ} {MAIL_READ} tenant"),
        (READ, (), call("delete_mailbox"), WRITE),
        ("other", (), call("delete_mailbox"), WRITE),
        (READ, ("tenant",), call("delete_mailbox"), f"{WRITE} tenant"),
        (MAIL_READ, (), call("send_letter"), MAIL_SEND),
        ("other", (), call("get_letter"), MAIL_READ),
        (WRITE, (), call("get_letter"), f"{WRITE} {MAIL_READ}"),
        (WRITE, (), call("send_letter"), f"{WRITE} {MAIL_SEND}"),
        (MAIL_SEND, (), call("list_mailboxes"), f"{READ} {MAIL_SEND}"),
        (MAIL_SEND, (), call("delete_mailbox"), f"{WRITE} {MAIL_SEND}"),
        (f"{READ}+{MAIL_READ}", (), b'{"id": 1, "result": {}}', f"{WRITE} {MAIL_SEND}"),
        (WRITE, (), b"[" + call("delete_mailbox") + b"," + call("send_letter") + b"]", f"{WRITE} {MAIL_SEND}"),
        (READ, (), b'{"method": "tools/call"}', f"{WRITE} {MAIL_SEND}"),
        (MAIL_SEND, (), b'{"method": "tools/call"}', f"{WRITE} {MAIL_SEND}"),
    ],
)
async def test_a_caller_who_lacks_scopes_is_told_all_that_are_needed(
    granted: str, required: tuple[str, ...], body: bytes, needed: str
) -> None:
    """One answer names all of them and those that the token has, so that one more login is enough and loses nothing."""
    async with door(Scoped(), *required) as http:
        answer = await http.post("/mcp", headers={"Authorization": f"Bearer {granted}"}, content=body)
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope", error_description="The access token does not allow this.", '
        f'scope="{needed}", resource_metadata="{METADATA_URL}"'
    )
    assert answer.json()["error"] == "insufficient_scope"


NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
CHANGES = {
    "plain": call("create_mailbox"),
    "sending": call("send_letter"),
    "consent": b'{"jsonrpc": "2.0", "id": 1, "result": {"action": "accept"}}',
    "consent beside a question": call("list_mailboxes", result={"action": "accept"}),
    "name of a list": call(["list_mailboxes"]),
    "no name": b'{"method": "tools/call", "params": {}}',
    "no params": b'{"method": "tools/call"}',
    "params of a list": b'{"method": "tools/call", "params": ["list_mailboxes"]}',
    "name twice": b'{"method":"tools/call","params":{"name":"delete_mailbox","name":"list_mailboxes"}}',
    "name twice, the other way": b'{"method":"tools/call","params":{"name":"list_mailboxes","name":"delete_mailbox"}}',
    "params twice": b'{"method":"tools/call","params":{"name":"delete_mailbox"},"params":{"name":"list_mailboxes"}}',
    "method twice": b'{"method":"tools/call","method":"tools/list","params":{"name":"delete_mailbox"}}',
    "method twice, escaped": b'{"method":"tools/call","\\u006dethod":"tools/list","params":{"name":"delete_mailbox"}}',
    "escapes": b'{"method":"tools\\/call","params":{"name":"delete\\u005fmailbox"}}',
    "batch": b"[" + call("list_mailboxes") + b"," + call("delete_mailbox") + b"]",
    "UTF-16": call("delete_mailbox").decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + call("delete_mailbox"),
    "long number": call("delete_mailbox").replace(b'"id": 1', b'"id": ' + b"1" * 5000),
    "no number": call("delete_mailbox").replace(b'"id": 1', b'"id": NaN'),
    "nested": NESTED,
    "spaces": b" " * 100_000 + call("delete_mailbox"),
}


@pytest.mark.parametrize("body", CHANGES.values(), ids=CHANGES)
async def test_a_reader_cannot_change_anything(body: bytes) -> None:
    """A body that parsers read differently counts as a change, too."""
    async with door(Scoped()) as http:
        for granted in (READ, MAIL_READ, f"{READ}+{MAIL_READ}"):
            answer = await http.post("/mcp", headers={"Authorization": f"Bearer {granted}"}, content=body)
            assert answer.status_code == 403
        for granted in (f"{WRITE}+{MAIL_SEND}", "+".join(EVERYTHING)):
            answer = await http.post("/mcp", headers={"Authorization": f"Bearer {granted}"}, content=body)
            assert answer.json()["body"].encode("latin-1") == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"1",
        b"null",
        b"[]",
        b'"tools/call"',
        b'{"method": "tools/list"}',
        b'{"method": ["tools/call"]}',
        b'{"method": "initialize", "params": {"name": "delete_mailbox"}}',
        call("list_mailboxes"),
        call("no_such_tool"),
        call("whoami") + b" " * 3_000_000,
        b"[" + call("list_mailboxes") + b"]",
    ],
    ids=range(14),
)
async def test_a_reader_may_ask_anything_else(body: bytes) -> None:
    """Other bodies reach the server unchanged, and the server refuses those that it cannot read."""

    async def chunks() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with door(Scoped()) as http:
        answer = await http.post("/mcp", headers={"Authorization": f"Bearer {READ}"}, content=chunks())
    assert answer.json() == {"client": "someone", "authorization": None, "body": body.decode("latin-1")}


async def test_a_body_larger_than_the_server_takes_is_not_read() -> None:
    """Reading stops soon, whether or not the length was announced."""
    sent = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 1_000_000
            yield b" " * 1_000_000

    async with door(Scoped()) as http:
        for body in (endless(), b" " * 5_000_000):
            answer = await http.post("/mcp", headers={"Authorization": f"Bearer {READ}"}, content=body)
            assert answer.status_code == 413
    assert sent < 10_000_000


async def test_a_caller_who_goes_away_in_the_middle_is_the_servers_affair() -> None:
    """The server receives the part of the body that came, and then the disconnect."""
    seen: list[Message] = []

    async def app(_: Scope, receive: Any, __: Any) -> None:
        seen.extend([await receive(), await receive()])

    sent: list[Message] = [{"type": "http.request", "body": b'{"me', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return sent.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    guarded = Authentication(app, Scoped(), scopes_for=scopes_for)
    headers = [(b"authorization", f"Bearer {READ}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    await guarded(scope, receive, send)
    assert seen == [{"type": "http.request", "body": b'{"me', "more_body": True}, {"type": "http.disconnect"}]


async def test_start_and_stop_of_the_application_are_not_guarded() -> None:
    """The server's lifespan events must reach it without authentication."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        events.append("start")
        yield
        events.append("stop")

    def app(_: str) -> ASGIApp:
        return Authentication(Starlette(lifespan=lifespan), Scoped(), scopes_for=scopes_for)

    async with serving(app) as origin, httpx2.AsyncClient() as http:
        assert (await http.get(f"{origin}/mcp")).status_code == 401
    assert events == ["start", "stop"]


def test_where_nobody_has_to_say_who_they_are_anybody_may_do_everything() -> None:
    """Without authentication a request has no user; a user of an unknown type may do nothing."""

    def scopes(**scope: object) -> frozenset[str]:
        return caller(Request({"type": "http", "headers": [], **scope})).scopes

    assert scopes() == EVERYTHING
    assert scopes(user=object()) == set()
    for own, expected in (
        ([READ], {READ}),
        ([WRITE], {READ, WRITE}),
        ([MAIL_SEND, READ, "tenant"], {READ, MAIL_READ, MAIL_SEND}),
        ([MAIL_READ.upper(), "mail", "mail:*", ""], set[str]()),
        ([], set[str]()),
    ):
        user = AuthenticatedUser(AccessToken(token="", client_id="someone", scopes=own))
        assert scopes(user=user) == expected
