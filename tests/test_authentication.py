"""Who may call the HTTP server: tokens good and bad, the issuer's keys, and the challenges that callers get."""

import base64
import gzip
import hmac
import json
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from joserfc.jwk import ECKey, OKPKey
from mcp import Client, MCPError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import (
    Authentication,
    IssuerUnavailable,
    StaticToken,
    metadata_routes,
    metadata_url,
)
from inkbox_mcp.scopes import READ, WRITE, may_write
from inkbox_mcp.server import build_server
from inkbox_mcp.settings import Settings
from inkbox_mcp.tools import all_operations
from tests.authorization_server import (
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    JWKS,
    METADATA,
    OPENID,
    Issuer,
    Key,
    rsa_key,
    serve_issuer,
    serving,
)
from tests.conftest import KEY, Agent

SECRET = "a token that was given out".replace(" ", "-")
METADATA_URL = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"


@pytest.fixture(scope="module")
def server() -> Generator[Issuer]:
    """An authorization server."""
    with serve_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(server: Issuer) -> Issuer:
    """An authorization server as it is at the start."""
    vars(server).update(vars(Issuer(server.origin)))
    return server


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def verifier(issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> JWTVerifier:
    """A verifier of this issuer's tokens; without TLS, which takes long to set up."""
    return JWTVerifier(issuer.url, AUDIENCE, partial(httpx2.AsyncHTTPTransport, verify=False), clock)


async def is_good(judge: JWTVerifier, token: str) -> bool:
    """Whether a token is accepted."""
    return await judge.verify_token(token) is not None


# Tokens


async def test_a_token_from_the_token_endpoint_says_who_calls(issuer: Issuer) -> None:
    """The token itself goes no further, and the principal is what sessions are bound to."""
    verified = await verifier(issuer).verify_token(await issuer.grant())
    assert verified is not None
    assert verified.expires_at is not None
    assert verified.expires_at > time.time()
    assert verified == AccessToken(
        token="",
        client_id=CLIENT_ID,
        scopes=[READ, WRITE],
        expires_at=verified.expires_at,
        subject=CLIENT_ID,
        claims={"iss": issuer.url},
        resource=AUDIENCE,
    )


def with_payload(token: str, **changes: Any) -> str:
    """Change the claims of a token and keep its signature."""
    header, _, signature = token.split(".")
    claims = {**jwt.decode(token, options={"verify_signature": False}), **changes}
    return ".".join((header, encoded(claims), signature))


def encoded(value: object) -> str:
    """Write JSON as a part of a token."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unsigned(issuer: Issuer, algorithm: str) -> str:
    """A token without a signature."""
    return ".".join((encoded({"alg": algorithm, "kid": "first"}), encoded(issuer.claims()), ""))


def confused(issuer: Issuer, secret: bytes, algorithm: str = "HS256") -> str:
    """A token signed with what everybody knows, as if it were a shared secret."""
    message = f"{encoded({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'first'})}.{encoded(issuer.claims())}"
    signature = hmac.digest(secret, message.encode(), f"sha{algorithm[2:]}")
    return f"{message}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def signed(issuer: Issuer, claims: str) -> str:
    """A genuine token of the issuer, whatever it says."""
    return jwt.PyJWS().encode(claims.encode(), issuer.keys[0].as_pem(private=True), "RS256", {"kid": "first"})


def public_pem(issuer: Issuer) -> bytes:
    """The issuer's public key, as whoever attacks it would write it down."""
    return issuer.keys[0].as_pem(private=False)


def embedded(issuer: Issuer) -> str:
    """A token that brings its own key."""
    mine = rsa_key("mine")
    return issuer.sign(issuer.claims(), mine, kid=None, jwk=mine.as_dict(private=False))


def now() -> int:
    """Seconds since the epoch when a test runs, not when it was collected."""
    return int(time.time())


BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "wrong audience": lambda issuer: issuer.token(aud="https://other.example.com/mcp"),
    "audience of a part": lambda issuer: issuer.token(aud=AUDIENCE + "/more"),
    "audience with a slash": lambda issuer: issuer.token(aud=AUDIENCE + "/"),
    "audience of an object": lambda issuer: issuer.token(aud={AUDIENCE: 1}),
    "no audience": lambda issuer: issuer.token(aud=None),
    "empty audience": lambda issuer: issuer.token(aud=[]),
    "wrong issuer": lambda issuer: issuer.token(iss="https://elsewhere.example.com"),
    "issuer with a slash": lambda issuer: issuer.token(iss=issuer.url + "/"),
    "list of issuers": lambda issuer: issuer.sign({**issuer.claims(), "iss": [issuer.url]}),
    "no issuer": lambda issuer: issuer.token(iss=None),
    "expired": lambda issuer: issuer.token(exp=now() - 120),
    "no expiry": lambda issuer: issuer.token(exp=None),
    "expiry in words": lambda issuer: issuer.token(exp="never"),
    "endless": lambda issuer: issuer.sign({**issuer.claims(), "exp": float("inf")}),
    "expiry of 5000 digits": lambda issuer: signed(
        issuer, json.dumps(issuer.claims(exp=1)).replace(": 1,", f": {'9' * 5000},")
    ),
    "expiry of 400 digits": lambda issuer: issuer.token(exp=10**400),
    "not yet valid": lambda issuer: issuer.token(nbf=now() + 300),
    "from the future": lambda issuer: issuer.token(iat=now() + 300),
    "nobody": lambda issuer: issuer.token(sub=None, client_id=None),
    "empty name": lambda issuer: issuer.token(sub="", client_id=""),
    "subject of a number": lambda issuer: issuer.token(sub=7),
    "client of a list": lambda issuer: issuer.token(client_id=["a"]),
    "half a character in a name": lambda issuer: signed(issuer, json.dumps(issuer.claims(client_id="\ud800"))),
    "scopes of a number": lambda issuer: issuer.token(scope=7),
    "unknown key": lambda issuer: issuer.token(rsa_key("unknown")),
    "another's key under a known id": lambda issuer: issuer.sign(issuer.claims(), rsa_key("other"), kid="first"),
    "another's key without id": lambda issuer: issuer.sign(issuer.claims(), rsa_key("other"), kid=None),
    "key of its own": embedded,
    "key id of a number": lambda issuer: ".".join(
        (encoded({"alg": "RS256", "kid": 1}), *issuer.token().split(".")[1:])
    ),
    "key id of a path": lambda issuer: issuer.sign(issuer.claims(), kid="../../dev/null"),
    "alg none": lambda issuer: unsigned(issuer, "none"),
    "alg NONE": lambda issuer: unsigned(issuer, "NONE"),
    "alg empty": lambda issuer: unsigned(issuer, ""),
    "alg RS256 without signature": lambda issuer: unsigned(issuer, "RS256"),
    "HS256 with the PEM": lambda issuer: confused(issuer, public_pem(issuer)),
    "HS512 with the PEM": lambda issuer: confused(issuer, public_pem(issuer), "HS512"),
    "HS256 with the key set": lambda issuer: confused(issuer, json.dumps(issuer.jwks()).encode()),
    "HS256 with nothing": lambda issuer: confused(issuer, b"\0" * 32),
    "alg of a list": lambda issuer: ".".join((encoded({"alg": ["RS256"]}), *issuer.token().split(".")[1:])),
    "tampered claims": lambda issuer: with_payload(issuer.token(), scope=f"{WRITE} admin"),
    "tampered signature": lambda issuer: issuer.token()[:-8] + "AAAAAAAA",
    "signature cut off": lambda issuer: issuer.token().rpartition(".")[0],
    "fourth part": lambda issuer: issuer.token() + ".more",
    "logout token": lambda issuer: issuer.sign(issuer.claims(), typ="logout+jwt"),
    "DPoP proof": lambda issuer: issuer.sign(issuer.claims(), typ="dpop+jwt"),
    "type of a number": lambda issuer: ".".join((encoded({"alg": "RS256", "typ": 1}), *issuer.token().split(".")[1:])),
    "ID token": lambda issuer: issuer.sign(issuer.claims(at_hash="x", aud=[CLIENT_ID, AUDIENCE]), typ="JWT"),
    "ID token of the code flow": lambda issuer: issuer.sign(issuer.claims(c_hash="x"), typ=None),
    "ID token of Keycloak": lambda issuer: issuer.sign(issuer.claims(typ="ID"), typ="JWT"),
    "refresh token of Keycloak": lambda issuer: issuer.sign(issuer.claims(typ="Refresh"), typ="JWT"),
    "ID token of Cognito": lambda issuer: issuer.sign(issuer.claims(token_use="id"), typ=None),
    "bound to a key": lambda issuer: issuer.token(cnf={"jkt": "x"}),
    "list as claims": lambda issuer: signed(issuer, json.dumps([issuer.claims()])),
    "deep claims": lambda issuer: signed(issuer, json.dumps(issuer.claims())[:-1] + ',"x":' + "[" * 5000),
    "unknown critical header": lambda issuer: ".".join(
        (encoded({"alg": "RS256", "kid": "first", "crit": ["x"], "x": 1}), *issuer.token().split(".")[1:])
    ),
    "payload elsewhere": lambda issuer: ".".join(
        (encoded({"alg": "RS256", "kid": "first", "b64": False, "crit": ["b64"]}), "", issuer.token().split(".")[2])
    ),
    "deep header": lambda issuer: ".".join((encoded("[" * 6000), *issuer.token().split(".")[1:])),
    "no JSON": lambda _: ".".join((encoded("header"), "payload", "signature")),
    "opaque": lambda _: "2YotnFZFEjr1zCsicMWpAA",
    "encrypted": lambda _: ".".join([encoded({"alg": "RSA-OAEP", "enc": "A128GCM"}), "a", "b", "c", "d"]),
    "empty": lambda _: "",
    "dots": lambda _: "..",
    "huge": lambda issuer: issuer.token(more="x" * 20_000),
    "other alphabets": lambda _: "é.ü.日",
    "half a character": lambda _: "\ud800.a.b",
    "a line break": lambda issuer: issuer.token() + "\n",
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_bad_token_is_refused(make: Callable[[Issuer], str], issuer: Issuer) -> None:
    """The same verifier takes a good one before and after."""
    judge = verifier(issuer)
    assert await is_good(judge, issuer.token())
    assert not await is_good(judge, make(issuer))
    assert await is_good(judge, issuer.token())


async def test_why_a_token_was_refused_is_logged_without_any_of_it(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever set up the audience wrongly can see that."""
    caplog.set_level("INFO", "inkbox_mcp")
    token = issuer.token(aud="https://other.example.com/mcp", sub="secretive")
    assert not await is_good(verifier(issuer), token)
    assert "InvalidAudienceError" in caplog.text
    for part in ("secretive", "other.example.com", *token.split(".")):
        assert part not in caplog.text


GOOD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "expired by a slow clock": lambda issuer: issuer.token(exp=now() - 30),
    "valid from a fast clock": lambda issuer: issuer.token(nbf=now() + 30),
    "issued by a fast clock": lambda issuer: issuer.token(iat=now() + 30),
    "expiry with a fraction": lambda issuer: issuer.token(exp=now() + 600.5),
    "several audiences": lambda issuer: issuer.token(aud=["https://other.example.com", AUDIENCE]),
    "type of Keycloak": lambda issuer: issuer.token(typ="Bearer"),
    "use of Cognito": lambda issuer: issuer.token(token_use="access"),
    "nonce": lambda issuer: issuer.token(nonce="x"),
    "no time of issue": lambda issuer: issuer.token(iat=None),
}


@pytest.mark.parametrize("make", GOOD_TOKENS.values(), ids=GOOD_TOKENS)
async def test_what_real_issuers_write_is_accepted(make: Callable[[Issuer], str], issuer: Issuer) -> None:
    """Clocks that differ a little, several audiences, Keycloak's and Cognito's own claims."""
    assert await is_good(verifier(issuer), make(issuer))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
async def test_types_of_access_tokens_are_accepted(kind: str | None, issuer: Issuer) -> None:
    """Many issuers came before RFC 9068."""
    assert await is_good(verifier(issuer), issuer.sign(issuer.claims(), typ=kind))


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"client_id": None, "azp": "b"}, "b"),
        ({"client_id": None, "sub": "c"}, "c"),
        ({"client_id": "a", "sub": None}, "a"),
    ],
)
async def test_the_client_is_named_as_the_issuer_names_it(claims: dict[str, Any], client: str, issuer: Issuer) -> None:
    """`client_id`, `azp`, or else whom the token is about."""
    verified = await verifier(issuer).verify_token(issuer.token(**claims))
    assert verified is not None
    assert verified.client_id == client


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": f"{READ}  more"},
        {"scope": None, "scp": f"{READ} more"},
        {"scope": None, "scp": [READ, "more"]},
        {"scope": [READ, "more"]},
        {"scope": READ, "scp": ["more"]},
    ],
)
async def test_scopes_are_found_where_issuers_put_them(claims: dict[str, Any], issuer: Issuer) -> None:
    """RFC 9068 has one string; Okta and Entra have `scp`."""
    verified = await verifier(issuer).verify_token(issuer.token(**claims))
    assert verified is not None
    assert verified.scopes == [READ, "more"]


# Keys

STRONG: dict[str, Key] = {
    "RS512": rsa_key("first"),
    "PS256": rsa_key("first"),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "ec"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(("algorithm", "key"), STRONG.items(), ids=STRONG)
async def test_signatures_that_only_the_issuer_can_make_are_accepted(algorithm: str, key: Key, issuer: Issuer) -> None:
    """Every asymmetric algorithm that RFC 7518 and RFC 8037 recommend."""
    issuer.keys.append(key)
    assert await is_good(verifier(issuer), issuer.sign(issuer.claims(), key, alg=algorithm))


def published(issuer: Issuer, **changes: Any) -> Callable[[], Response]:
    """Answer with the issuer's key set, its last key changed."""

    def answer() -> Response:
        *others, last = issuer.jwks()["keys"]
        return JSONResponse({"keys": [*others, {**last, **changes}]})

    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"alg": "RS384"},
        {"alg": "HS256"},
        {"alg": "RSA-OAEP"},
        {"alg": 7},
        {"kty": "oct", "k": "AQAB"},
        {"kty": "DSA"},
        {"n": "!"},
        {"n": None},
        {"kid": 7},
    ],
    ids=str,
)
async def test_a_key_that_is_not_for_this_is_not_used(changes: dict[str, Any], issuer: Issuer) -> None:
    """The keys beside it are."""
    other = rsa_key("other")
    issuer.keys.append(other)
    issuer.answers[JWKS] = published(issuer, **changes)
    judge = verifier(issuer)
    assert not await is_good(judge, issuer.token(other))
    assert await is_good(judge, issuer.token())


async def test_a_key_whose_private_half_is_published_is_not_used(issuer: Issuer) -> None:
    """Everybody can sign with it."""
    issuer.answers[JWKS] = published(issuer, **issuer.keys[0].as_dict(private=True))
    with pytest.raises(IssuerUnavailable):
        await verifier(issuer).verify_token(issuer.token())


@pytest.mark.filterwarnings("ignore:key size:joserfc.errors.SecurityWarning", "ignore:Key size")
async def test_a_key_that_is_too_weak_is_not_used(issuer: Issuer) -> None:
    """RSA keys of 1024 bits can be broken (RFC 7518 section 3.3)."""
    issuer.keys.insert(0, rsa_key("weak", 1024))
    judge = verifier(issuer)
    assert not await is_good(judge, issuer.token())
    assert await is_good(judge, issuer.sign(issuer.claims(), rsa_key("first"), kid=None))


async def test_a_token_that_names_no_key_is_tried_with_all(issuer: Issuer) -> None:
    """And keys of one id are told apart by what they are for."""
    ec = ECKey.generate_key("P-256", {"kid": "first"})
    issuer.keys += [rsa_key("second"), ec]
    judge = verifier(issuer)
    assert await is_good(judge, issuer.sign(issuer.claims(), rsa_key("second"), kid=None))
    assert await is_good(judge, issuer.token())
    assert await is_good(judge, issuer.sign(issuer.claims(), ec, alg="ES256"))


async def test_concurrent_requests_share_one_look_at_the_issuer(issuer: Issuer) -> None:
    """However many clients come at once."""
    judge, verdicts = verifier(issuer), list[bool]()
    token = await issuer.grant()

    async def judge_once() -> None:
        verdicts.append(await is_good(judge, token))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(judge_once)
    assert verdicts == [True] * 50
    assert issuer.asked == [METADATA, JWKS]


async def test_keys_are_looked_up_again_after_five_minutes(issuer: Issuer) -> None:
    """So that a key which was taken back soon counts no more."""
    clock = Clock()
    judge, token = verifier(issuer, clock), issuer.token()
    assert await is_good(judge, token)
    clock.now += 299
    assert await is_good(judge, token)
    assert issuer.asked.count(JWKS) == 1
    issuer.keys[:] = [rsa_key("second")]
    clock.now += 1
    assert not await is_good(judge, token)
    assert issuer.asked.count(JWKS) == 2


async def test_rotated_keys_count_at_once(issuer: Issuer) -> None:
    """The new one with its first tokens, however many come together; the old one until it has left the key set."""
    judge, old = verifier(issuer), issuer.token()
    assert await is_good(judge, old)
    issuer.keys.insert(0, rsa_key("second"))
    verdicts: list[bool] = []

    async def judge_once() -> None:
        verdicts.append(await is_good(judge, issuer.token()))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(judge_once)
    assert verdicts == [True] * 20
    assert issuer.asked.count(JWKS) == 2
    assert await is_good(judge, old)


async def test_an_old_key_is_refused_once_it_has_left_the_key_set(issuer: Issuer) -> None:
    """The first token of the new key shows that the set has changed."""
    judge, old = verifier(issuer), issuer.token()
    assert await is_good(judge, old)
    issuer.keys[:] = [rsa_key("second")]
    assert await is_good(judge, await issuer.grant())
    assert not await is_good(judge, old)


async def test_invented_key_ids_do_not_hammer_the_issuer(issuer: Issuer) -> None:
    """One look in ten seconds, whatever callers send, and good tokens go on being accepted."""
    clock = Clock()
    judge, invented = verifier(issuer, clock), rsa_key("invented")
    assert await is_good(judge, issuer.token())
    for second in range(30):
        clock.now += 1
        for number in range(5):
            token = issuer.sign(issuer.claims(), invented, kid=f"key-{second}-{number}")
            assert not await is_good(judge, token)
        assert await is_good(judge, issuer.token())
    assert issuer.asked.count(JWKS) == 1 + 3


async def test_tokens_that_cannot_be_good_do_not_reach_the_issuer(issuer: Issuer) -> None:
    """Not even the first time."""
    judge = verifier(issuer)
    for name in ("alg none", "HS256 with the PEM", "logout token", "opaque", "huge", "deep header", "encrypted"):
        assert not await is_good(judge, BAD_TOKENS[name](issuer))
    assert issuer.asked == []


def failing() -> Response:
    """The answer of a server that is down behind its proxy."""
    return PlainTextResponse("down", 503)


async def test_without_keys_no_token_is_judged(issuer: Issuer) -> None:
    """The issuer is asked again after ten seconds, and then all is well."""
    clock = Clock()
    judge, token = verifier(issuer, clock), issuer.token()
    issuer.answers = {METADATA: failing, OPENID: failing}
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            await judge.verify_token(token)
    assert issuer.asked == [METADATA, OPENID]
    issuer.answers.clear()
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(token)
    clock.now += 10
    assert await is_good(judge, token)


async def test_known_keys_outlive_the_issuer_for_an_hour(issuer: Issuer) -> None:
    """Tokens of keys that are not known are not judged meanwhile: a 401 would make clients throw them away."""
    clock = Clock()
    judge, token = verifier(issuer, clock), issuer.token()
    assert await is_good(judge, token)
    issuer.answers[JWKS] = failing
    clock.now += 3600
    assert await is_good(judge, token)
    assert await is_good(judge, token)
    assert issuer.asked.count(JWKS) == 2
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(issuer.token(rsa_key("second")))
    clock.now += 1
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(token)
    clock.now += 10
    issuer.answers.clear()
    assert await is_good(judge, token)


async def test_nobody_listening_is_an_issuer_that_is_down() -> None:
    """Connections are refused there."""
    judge = JWTVerifier("http://127.0.0.1:9", AUDIENCE)
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("http://127.0.0.1:9").token())


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("x"), httpx2.RemoteProtocolError("x"), TimeoutError(), OSError()])
async def test_however_the_way_to_the_issuer_fails_it_is_down(error: Exception) -> None:
    """And nothing is raised that callers do not know."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    judge = JWTVerifier("https://issuer.example.com", AUDIENCE, lambda: httpx2.MockTransport(answer))
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("https://issuer.example.com").token())


class Held(httpx2.AsyncHTTPTransport):
    """Keeps the requests of a verifier waiting, and tells that they came."""

    def __init__(self) -> None:
        super().__init__(verify=False)
        self.came, self.goes = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.came.set()
        await self.goes.wait()
        return await super().handle_async_request(request)


async def test_an_issuer_that_does_not_answer_holds_up_nobody_who_has_a_key(issuer: Issuer) -> None:
    """One request waits for the new keys, the others go on with those there are."""
    clock, held = Clock(), Held()
    transports = [held, httpx2.AsyncHTTPTransport(verify=False)]
    judge, token = JWTVerifier(issuer.url, AUDIENCE, transports.pop, clock), issuer.token()
    assert await is_good(judge, token)
    clock.now += 400
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(is_good, judge, token)
        await held.came.wait()
        assert await is_good(judge, token)
        held.goes.set()


async def test_who_has_no_key_waits_for_the_request_that_is_fetching_it(issuer: Issuer) -> None:
    """Even when that began before."""
    held, verdicts = Held(), list[bool]()
    judge, token = JWTVerifier(issuer.url, AUDIENCE, lambda: held), issuer.token()

    async def judge_once() -> None:
        verdicts.append(await is_good(judge, token))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(judge_once)
        await held.came.wait()
        tasks.start_soon(judge_once)
        await anyio.wait_all_tasks_blocked()
        assert verdicts == []
        held.goes.set()
    assert verdicts == [True, True]
    assert issuer.asked == [METADATA, JWKS]


# The issuer's metadata


@pytest.mark.parametrize(
    ("path", "discovery", "asked"),
    [
        ("", METADATA, [METADATA]),
        ("/", METADATA, [METADATA]),
        ("", OPENID, [METADATA, OPENID]),
        ("/a/b", f"{METADATA}/a/b", [f"{METADATA}/a/b"]),
        ("/a", f"{OPENID}/a", [f"{METADATA}/a", f"{OPENID}/a"]),
        ("/a/", f"/a{OPENID}", [f"{METADATA}/a", f"{OPENID}/a", f"/a{OPENID}"]),
    ],
)
async def test_metadata_is_found_where_issuers_put_it(
    path: str, discovery: str, asked: list[str], issuer: Issuer
) -> None:
    """In the order that the MCP specification gives clients."""
    issuer.path, issuer.discovery = path, discovery
    assert await is_good(verifier(issuer), await issuer.grant())
    assert issuer.asked == [*asked, JWKS]


BAD_DOCUMENTS: dict[str, tuple[str, Callable[[Issuer], Response]]] = {
    "redirect": (METADATA, lambda issuer: RedirectResponse(f"{issuer.origin}/elsewhere")),
    "redirect of the keys": (JWKS, lambda issuer: RedirectResponse(f"{issuer.origin}/elsewhere")),
    "HTML": (METADATA, lambda _: PlainTextResponse("<html>")),
    "HTML for keys": (JWKS, lambda _: PlainTextResponse("<html>")),
    "list": (METADATA, lambda issuer: JSONResponse([issuer.metadata()])),
    "no keys": (JWKS, lambda _: JSONResponse({"keys": []})),
    "keys of a string": (JWKS, lambda _: JSONResponse({"keys": "keys"})),
    "key of a string": (JWKS, lambda _: JSONResponse({"keys": ["key"]})),
    "deep": (JWKS, lambda _: PlainTextResponse('{"keys":' + "[" * 100_000)),
    "huge": (METADATA, lambda issuer: JSONResponse({**issuer.metadata(), "more": "x" * 300_000})),
    "huge keys": (JWKS, lambda issuer: JSONResponse({**issuer.jwks(), "more": "x" * 300_000})),
    "bytes": (JWKS, lambda _: Response(b"\xff\xfe\x00")),
    "other issuer": (METADATA, lambda issuer: JSONResponse({**issuer.metadata(), "issuer": "https://example.com"})),
    "issuer with a slash": (METADATA, lambda issuer: JSONResponse({**issuer.metadata(), "issuer": issuer.url + "/"})),
    "jwks_uri of no port": (
        METADATA,
        lambda issuer: JSONResponse({**issuer.metadata(), "jwks_uri": "https://issuer.example.com:port/jwks"}),
    ),
    "no jwks_uri": (METADATA, lambda issuer: JSONResponse({"issuer": issuer.url})),
    "missing": (JWKS, lambda _: Response(status_code=404)),
    "error with keys": (JWKS, lambda issuer: JSONResponse(issuer.jwks(), 500)),
    "compressed": (
        JWKS,
        lambda issuer: Response(
            gzip.compress(json.dumps(issuer.jwks()).encode()), headers={"Content-Encoding": "gzip"}
        ),
    ),
    "no content": (JWKS, lambda _: Response(status_code=204)),
}


@pytest.mark.parametrize(("path", "answer"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
async def test_a_bad_document_is_as_good_as_none(
    path: str, answer: Callable[[Issuer], Response], issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is wrong with it; nobody is sent elsewhere."""
    issuer.answers[path] = lambda: answer(issuer)
    with pytest.raises(IssuerUnavailable):
        await verifier(issuer).verify_token(issuer.token())
    assert "/elsewhere" not in issuer.asked
    assert f"the keys of {issuer.url} cannot be had: " in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "uri",
    [
        "http://issuer.example.com/jwks",
        "http://169.254.169.254/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://localhost@example.com/jwks",
        "http://[",
        "file:///etc/passwd",
        "//127.0.0.1/jwks",
        "/jwks",
        "",
    ],
)
async def test_keys_come_over_private_ways_only(uri: str) -> None:
    """Whoever can change the keys on their way can make any token."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json={"issuer": "https://issuer.example.com", "jwks_uri": uri})

    judge = JWTVerifier("https://issuer.example.com", AUDIENCE, lambda: httpx2.MockTransport(answer))
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("https://issuer.example.com").token())
    assert asked == [f"https://issuer.example.com{path}" for path in (METADATA, OPENID)]


# The door


async def echo(request: Request) -> Response:
    """Say what came through."""
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


def is_write(tool: str) -> bool:
    """Whether a tool changes something; those that do not exist might."""
    operation = all_operations().get(tool)
    return operation is None or not operation.hints.read_only


def door(judge: Any, *required: str, url: str | None = METADATA_URL) -> httpx2.AsyncClient:
    """A client of an application behind `Authentication`."""
    app = Starlette(routes=[Route(path, echo, methods=METHODS) for path in ("/mcp", "/healthz", "/.well-known/x/mcp")])
    guarded = Authentication(app, judge, required_scopes=required, metadata_url=url, is_write=is_write)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(guarded), base_url="http://127.0.0.1")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("method", METHODS)
async def test_a_caller_without_a_token_is_told_how_to_get_one(method: str) -> None:
    """No error code, because nothing was wrong (RFC 6750 section 3.1)."""
    async with door(Scoped(), "tenant") as http:
        answer = await http.request(method, "/mcp")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer scope="mailboxes:read mailboxes:write tenant", resource_metadata="{METADATA_URL}"'
    )
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"error", "error_description"}


async def test_a_caller_with_a_bad_token_is_told_so() -> None:
    """In the header's own words, for programs."""
    async with door(StaticToken(SecretStr(SECRET))) as http:
        answer = await http.post("/mcp", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="The access token is invalid or has expired.", '
        f'scope="mailboxes:read mailboxes:write", resource_metadata="{METADATA_URL}"'
    )
    assert answer.json() == {
        "error": "invalid_token",
        "error_description": "The access token is invalid or has expired.",
    }


async def test_where_tokens_are_given_out_no_client_is_sent_to_an_authorization_server() -> None:
    """There is none."""
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
    """Nor are tokens taken from where they are logged, such as the query."""
    async with door(StaticToken(SecretStr(SECRET))) as http:
        answer = await http.post(f"/mcp?access_token={SECRET}", headers=headers, data={"access_token": SECRET})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("token", ["", "é", "\ud800", "\0", "x" * 100_000])
async def test_the_static_token_compares_with_anything(token: str) -> None:
    """Without a crash."""
    assert await StaticToken(SecretStr(SECRET)).verify_token(token) is None


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp%0A", "/mcp/more", "/mcp;a=b", "/mcp%2F", "/mcpx"])
@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
async def test_no_path_that_the_router_might_take_for_the_endpoint_is_open(path: str, root: str) -> None:
    """It does take `/mcp` with a line break after it, and takes a proxy's prefix away."""
    app = Starlette(routes=[Route("/mcp", echo, methods=METHODS)])
    guarded = Authentication(app, Scoped(), is_write=is_write)
    transport = httpx2.ASGITransport(guarded, root_path=root)  # pyright: ignore[reportArgumentType]
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.post(root + path)).status_code == 401
        assert (await http.post(path)).status_code == 401


async def test_a_huge_token_is_not_even_looked_at() -> None:
    """Whatever the verifier would say."""
    async with door(Scoped()) as http:
        for size, status in ((16_384, 200), (16_385, 401)):
            answer = await http.get("/mcp", headers={"Authorization": f"Bearer {WRITE}+".ljust(size + 7, "x")})
            assert answer.status_code == status


async def test_other_paths_are_open() -> None:
    """Probes and metadata, also when the authorization server is down."""
    async with door(Scoped()) as http:
        for path in ("/healthz", "/.well-known/x/mcp"):
            assert (await http.get(path, headers={"Authorization": "Bearer down"})).status_code == 200
        assert (await http.get("/")).status_code == 404
        assert (await http.get("//mcp")).status_code == 404


async def test_while_no_token_can_be_judged_callers_are_asked_to_wait() -> None:
    """A 401 would send them to a login that does not work."""
    async with door(Scoped()) as http:
        answer = await http.get("/mcp", headers={"Authorization": "Bearer down"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "WWW-Authenticate" not in answer.headers
    assert answer.json()["error"] == "temporarily_unavailable"


def call(tool: Any, **more: Any) -> bytes:
    """A request that calls a tool."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}, **more}).encode()


@pytest.mark.parametrize(
    ("granted", "required", "body", "needed"),
    [
        ("other", (), b"", READ),
        (f"{READ}x", (), b"", READ),
        (READ.upper(), (), b"", READ),
        (READ, ("tenant",), b"", f"{READ} tenant"),
        (WRITE, ("tenant", "a"), b"", f"{READ} a tenant"),
        ("tenant", ("tenant",), b"", f"{READ} tenant"),
        (READ, (), call("delete_mailbox"), WRITE),
        ("other", (), call("delete_mailbox"), WRITE),
        (READ, ("tenant",), call("delete_mailbox"), f"{WRITE} tenant"),
    ],
)
async def test_a_caller_who_lacks_scopes_is_told_all_that_are_needed(
    granted: str, required: tuple[str, ...], body: bytes, needed: str
) -> None:
    """In one answer, so that one more login is enough."""
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
    "unknown tool": call("no_such_tool"),
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
    """Nor with a body that parsers read differently."""
    async with door(Scoped()) as http:
        answer = await http.post("/mcp", headers={"Authorization": f"Bearer {READ}"}, content=body)
        assert answer.status_code == 403
        for granted in (WRITE, f"{READ}+{WRITE}"):
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
        call("whoami") + b" " * 3_000_000,
        b"[" + call("list_mailboxes") + b"]",
    ],
    ids=range(13),
)
async def test_a_reader_may_ask_anything_else(body: bytes) -> None:
    """What cannot be read is the server's to refuse; what can be comes through as it was sent."""

    async def chunks() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with door(Scoped()) as http:
        answer = await http.post("/mcp", headers={"Authorization": f"Bearer {READ}"}, content=chunks())
    assert answer.json() == {"client": "someone", "authorization": None, "body": body.decode("latin-1")}


async def test_a_body_larger_than_the_server_takes_is_not_read() -> None:
    """Not for long, whether or not its length was announced."""
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
    """It sees what came, and then that nobody is there."""
    seen: list[Message] = []

    async def app(_: Scope, receive: Any, __: Any) -> None:
        seen.extend([await receive(), await receive()])

    sent: list[Message] = [{"type": "http.request", "body": b'{"me', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return sent.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    guarded = Authentication(app, Scoped(), is_write=is_write)
    headers = [(b"authorization", f"Bearer {READ}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    await guarded(scope, receive, send)
    assert seen == [{"type": "http.request", "body": b'{"me', "more_body": True}, {"type": "http.disconnect"}]


async def test_start_and_stop_of_the_application_are_not_guarded() -> None:
    """The server's own lifespan runs behind the door."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        events.append("start")
        yield
        events.append("stop")

    def app(_: str) -> ASGIApp:
        return Authentication(Starlette(lifespan=lifespan), Scoped(), is_write=is_write)

    async with serving(app) as origin, httpx2.AsyncClient() as http:
        assert (await http.get(f"{origin}/mcp")).status_code == 401
    assert events == ["start", "stop"]


def test_where_nobody_has_to_say_who_they_are_anybody_may_write() -> None:
    """A user of another kind is nobody we know."""
    assert may_write({})
    assert not may_write({"user": object()})
    for scopes, expected in (([READ], False), ([WRITE], True), ([], False)):
        caller = AuthenticatedUser(AccessToken(token="", client_id="someone", scopes=scopes))
        assert may_write({"user": caller}) is expected


# The whole way

Serve = Callable[[Issuer | None], Any]


class Upstream:
    """An Inkbox API without mailboxes that remembers the requests it got."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a list with an empty one, and any change with a conflict."""
        self.requests.append(request)
        return httpx2.Response(200, json=[]) if request.method == "GET" else httpx2.Response(409, json={"detail": "no"})


@asynccontextmanager
async def served(api: Upstream, issuer: Issuer | None = None) -> AsyncGenerator[str]:
    """Serve MCP for the tokens of an issuer, or for the static token; the endpoint's URL comes back."""

    def app(origin: str) -> ASGIApp:
        server = build_server(Settings(api_key=SecretStr(KEY)), transport=lambda: httpx2.MockTransport(api))
        if not issuer:
            return Authentication(server.streamable_http_app(), StaticToken(SecretStr(SECRET)), is_write=is_write)
        issuer.audience = f"{origin}/mcp"
        return Authentication(
            server.streamable_http_app(custom_starlette_routes=metadata_routes(issuer.audience, issuer.url)),
            JWTVerifier(issuer.url, issuer.audience),
            metadata_url=metadata_url(issuer.audience),
            is_write=is_write,
        )

    async with serving(app) as origin:
        yield f"{origin}/mcp"


@asynccontextmanager
async def agent(url: str, mode: str, token: str = "", auth: httpx2.Auth | None = None) -> AsyncGenerator[Agent]:
    """An MCP client that sends a token, or gets one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, auth=auth, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield Agent(client)


async def test_a_token_from_the_token_endpoint_opens_the_server(era: str, issuer: Issuer) -> None:
    """Inkbox gets nothing of it: neither the header nor the token anywhere else."""
    api = Upstream()
    async with served(api, issuer) as url:
        token = await issuer.grant()
        async with agent(url, era, token) as someone:
            assert len((await someone.client.list_tools()).tools) == len(all_operations())
            assert (await someone.ask("list_mailboxes"))["total"] == 0
            assert "409" in await someone.refused("create_mailbox", agent_handle="sales-agent")
    assert {request.method for request in api.requests} == {"GET", "POST"}
    for request in api.requests:
        assert "Authorization" not in request.headers
        assert token not in f"{request.url} {request.headers} {request.content!r}"
    assert issuer.asked == [METADATA, JWKS]


async def test_the_static_token_opens_the_server(era: str) -> None:
    """And nothing else does."""
    api = Upstream()
    async with served(api) as url:
        async with agent(url, era, SECRET) as someone:
            assert (await someone.ask("list_mailboxes"))["total"] == 0
        assert all(SECRET not in f"{request.headers}" for request in api.requests)
        async with httpx2.AsyncClient() as http:
            assert (await http.post(url, json={}, headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_a_reader_reads_and_changes_nothing(era: str, issuer: Issuer) -> None:
    """Where the client cannot get more scopes."""
    api = Upstream()
    async with served(api, issuer) as url, agent(url, era, await issuer.grant(READ)) as someone:
        assert (await someone.ask("list_mailboxes"))["total"] == 0
        with pytest.raises(MCPError):
            await someone.call("create_mailbox", agent_handle="sales-agent")
    assert {request.method for request in api.requests} == {"GET"}


async def test_a_session_belongs_to_who_opened_it(issuer: Issuer) -> None:
    """Another caller with a good token of their own finds no such session."""
    async with served(Upstream(), issuer) as url, httpx2.AsyncClient() as http:
        headers = {"Accept": "application/json, text/event-stream"}
        mine = {**headers, "Authorization": f"Bearer {await issuer.grant()}"}
        theirs = {**headers, "Authorization": f"Bearer {await issuer.grant(client_id='other-service')}"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        session = (await http.post(url, json=opening, headers=mine)).headers["Mcp-Session-Id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        for caller, status in ((theirs, 404), (headers, 401), (mine, 200)):
            answer = await http.post(url, json=listing, headers={**caller, "Mcp-Session-Id": session})
            assert answer.status_code == status


class Storage:
    """Where an MCP client keeps its tokens."""

    def __init__(self, token: OAuthToken | None = None) -> None:
        self.token = token

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep the tokens."""
        self.token = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """The client was registered by hand."""

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Nothing to keep."""


def login(url: str, issuer: Issuer, storage: Storage) -> httpx2.Auth:
    """The SDK's OAuth client, which is told nothing but its own name and secret."""
    return ClientCredentialsOAuthProvider(url, storage, CLIENT_ID, CLIENT_SECRET, issuer=issuer.url)


async def test_a_client_finds_the_authorization_server_by_itself(era: str, issuer: Issuer) -> None:
    """From the challenge to the metadata, the issuer, a token, and a tool that is called."""
    storage = Storage()
    async with served(Upstream(), issuer) as url, agent(url, era, auth=login(url, issuer, storage)) as someone:
        assert (await someone.ask("list_mailboxes"))["total"] == 0
    assert storage.token is not None
    assert storage.token.scope == f"{READ} {WRITE}"


async def test_a_client_gets_more_scopes_when_it_needs_them(era: str, issuer: Issuer) -> None:
    """The step-up of the MCP specification: with a reader's token it reads, and on the first change it gets another."""
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
    """A slash more would name another one, and clients would go away."""
    routes = metadata_routes(AUDIENCE, "https://issuer.example.com", ["tenant"])
    transport = httpx2.ASGITransport(Starlette(routes=routes))  # pyright: ignore[reportArgumentType]
    async with httpx2.AsyncClient(transport=transport, base_url="https://mcp.example.com") as http:
        answer = await http.get(f"/.well-known/oauth-protected-resource{root}", headers={"Origin": "https://web.app"})
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": ["https://issuer.example.com"],
        "scopes_supported": [READ, WRITE, "tenant"],
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
    """RFC 9728 section 3.1; and at the root, where those look that saw no challenge."""
    assert metadata_url(audience) == url
    paths = [route.path for route in metadata_routes(audience, "https://issuer.example.com")]
    assert paths == list(dict.fromkeys([httpx2.URL(url).path, "/.well-known/oauth-protected-resource"]))
