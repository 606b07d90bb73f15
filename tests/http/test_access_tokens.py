"""Access tokens, good and bad."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from mcp.server.auth.provider import AccessToken

from inkbox_mcp.access.scopes import READ, SCOPES, WRITE
from tests.support.authentication import is_good, verifier
from tests.support.authorization_server import AUDIENCE, CLIENT_ID, Issuer, rsa_key


async def test_a_token_from_the_token_endpoint_says_who_calls(issuer: Issuer) -> None:
    """The verified token carries no token text, and its principal is what sessions are bound to."""
    verified = await verifier(issuer).verify_token(await issuer.grant())
    assert verified is not None
    assert verified.expires_at is not None
    assert verified.expires_at > time.time()
    assert verified == AccessToken(
        token="",
        client_id=CLIENT_ID,
        scopes=[*SCOPES],
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
    """Encode JSON as one part of a token."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unsigned(issuer: Issuer, algorithm: str) -> str:
    """Make a token without a signature."""
    return ".".join((encoded({"alg": algorithm, "kid": "first"}), encoded(issuer.claims()), ""))


def confused(issuer: Issuer, secret: bytes, algorithm: str = "HS256") -> str:
    """Make a token that is signed with public data, as if it were a shared secret."""
    message = f"{encoded({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'first'})}.{encoded(issuer.claims())}"
    signature = hmac.digest(secret, message.encode(), f"sha{algorithm[2:]}")
    return f"{message}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def signed(issuer: Issuer, claims: str) -> str:
    """Sign these claims with the issuer's own key, even if they are malformed."""
    return jwt.PyJWS().encode(claims.encode(), issuer.keys[0].as_pem(private=True), "RS256", {"kid": "first"})


def public_pem(issuer: Issuer) -> bytes:
    """Return the issuer's public key as PEM, as an attacker can get it."""
    return issuer.keys[0].as_pem(private=False)


def embedded(issuer: Issuer) -> str:
    """Make a token that carries its own key."""
    mine = rsa_key("mine")
    return issuer.sign(issuer.claims(), mine, kid=None, jwk=mine.as_dict(private=False))


def now() -> int:
    """Return the time of the running test, not of its collection."""
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
    """The same verifier accepts a good token before and after it."""
    judge = verifier(issuer)
    assert await is_good(judge, issuer.token())
    assert not await is_good(judge, make(issuer))
    assert await is_good(judge, issuer.token())


async def test_why_a_token_was_refused_is_logged_without_any_of_it(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the reason, so that an operator can find a wrong audience in the settings."""
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
    """Clocks differ a little, tokens may have several audiences, and Keycloak and Cognito add claims."""
    assert await is_good(verifier(issuer), make(issuer))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
async def test_types_of_access_tokens_are_accepted(kind: str | None, issuer: Issuer) -> None:
    """Issuers that are older than RFC 9068 use other types or no type."""
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
    """The client's name is `client_id`, else `azp`, else `sub`."""
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
    """RFC 9068 uses one string, `scope`; Okta and Entra use `scp`."""
    verified = await verifier(issuer).verify_token(issuer.token(**claims))
    assert verified is not None
    assert verified.scopes == [READ, "more"]


async def test_tokens_that_cannot_be_good_do_not_reach_the_issuer(issuer: Issuer) -> None:
    """The verifier refuses them before it has fetched any key."""
    judge = verifier(issuer)
    for name in ("alg none", "HS256 with the PEM", "logout token", "opaque", "huge", "deep header", "encrypted"):
        assert not await is_good(judge, BAD_TOKENS[name](issuer))
    assert issuer.asked == []
