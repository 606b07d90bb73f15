"""The issuer's keys: where the verifier finds them, which it uses, and for how long."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest
from joserfc.jwk import ECKey, OKPKey
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.http.authentication import IssuerUnavailable
from tests.support.authentication import is_good, verifier
from tests.support.authorization_server import AUDIENCE, JWKS, METADATA, OPENID, Issuer, Key, rsa_key
from tests.support.clock import Clock
from tests.support.metrics import Losses

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
    """These are all asymmetric algorithms that RFC 7518 and RFC 8037 recommend."""
    issuer.keys.append(key)
    assert await is_good(verifier(issuer), issuer.sign(issuer.claims(), key, alg=algorithm))


def published(issuer: Issuer, **changes: Any) -> Callable[[], Response]:
    """Answer with the issuer's key set, with changes to its last key."""

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
    """The other keys of the same set still count."""
    other = rsa_key("other")
    issuer.keys.append(other)
    issuer.answers[JWKS] = published(issuer, **changes)
    judge = verifier(issuer)
    assert not await is_good(judge, issuer.token(other))
    assert await is_good(judge, issuer.token())


async def test_a_key_whose_private_half_is_published_is_not_used(issuer: Issuer) -> None:
    """Anyone could sign tokens with this key."""
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
    """Keys that share an id are told apart by their algorithm."""
    ec = ECKey.generate_key("P-256", {"kid": "first"})
    issuer.keys += [rsa_key("second"), ec]
    judge = verifier(issuer)
    assert await is_good(judge, issuer.sign(issuer.claims(), rsa_key("second"), kid=None))
    assert await is_good(judge, issuer.token())
    assert await is_good(judge, issuer.sign(issuer.claims(), ec, alg="ES256"))


async def test_concurrent_requests_share_one_look_at_the_issuer(issuer: Issuer) -> None:
    """Fifty concurrent requests cause one request for the metadata and one for the keys."""
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
    """A revoked key must soon stop counting."""
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
    """The new key counts from its first tokens on, and the old key until it leaves the key set."""
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
    """The first token of the new key makes the verifier fetch the set again."""
    judge, old = verifier(issuer), issuer.token()
    assert await is_good(judge, old)
    issuer.keys[:] = [rsa_key("second")]
    assert await is_good(judge, await issuer.grant())
    assert not await is_good(judge, old)


async def test_invented_key_ids_do_not_hammer_the_issuer(issuer: Issuer) -> None:
    """Unknown key ids cause at most one request in ten seconds, and good tokens still count."""
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


def failing() -> Response:
    """Answer as a proxy does whose server is down."""
    return PlainTextResponse("down", 503)


async def test_without_keys_no_token_is_judged(issuer: Issuer) -> None:
    """The verifier asks the issuer again after ten seconds."""
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


async def test_each_failure_of_the_issuer_is_counted(issuer: Issuer) -> None:
    """Each failed request counts once, even if several callers needed the keys."""
    clock, losses = Clock(), Losses()
    judge = verifier(issuer, clock, losses)
    issuer.answers = {METADATA: failing, OPENID: failing}
    for passed in (0, 1, 10):
        clock.now += passed
        with pytest.raises(IssuerUnavailable):
            await judge.verify_token(issuer.token())
    assert losses.of == ["issuer"] * 2
    issuer.answers.clear()
    clock.now += 10
    assert await is_good(judge, issuer.token())
    assert losses.of == ["issuer"] * 2


async def test_known_keys_outlive_the_issuer_for_an_hour(issuer: Issuer) -> None:
    """Tokens of unknown keys raise meanwhile, because a 401 would make clients discard them."""
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
    """A refused connection raises the same error as an issuer that fails."""
    judge = JWTVerifier("http://127.0.0.1:9", AUDIENCE)
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("http://127.0.0.1:9").token())


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("x"), httpx2.RemoteProtocolError("x"), TimeoutError(), OSError()])
async def test_however_the_way_to_the_issuer_fails_it_is_down(error: Exception) -> None:
    """Every failure of the connection raises `IssuerUnavailable`, the only error that callers handle."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        raise error

    judge = JWTVerifier("https://issuer.example.com", AUDIENCE, lambda: httpx2.MockTransport(answer))
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("https://issuer.example.com").token())


async def test_a_proxy_that_cannot_be_used_is_an_issuer_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """One proxy needs a package that is missing, the other has an unknown scheme."""
    for proxy in ("socks5://127.0.0.1:1", "ftp://127.0.0.1:1"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        judge = JWTVerifier("https://issuer.example.com", AUDIENCE)
        with pytest.raises(IssuerUnavailable):
            await judge.verify_token(Issuer("https://issuer.example.com").token())


async def test_certificates_that_cannot_be_read_are_an_issuer_that_is_down(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the variable, because nobody else can see what is wrong."""
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    with pytest.raises(IssuerUnavailable):
        await JWTVerifier(issuer.url, AUDIENCE).verify_token(issuer.token())
    assert f"cannot fetch the keys of {issuer.url}: the certificates that SSL_CERT_FILE names" in caplog.text


class Held(httpx2.AsyncHTTPTransport):
    """Delays the requests of a verifier, and signals that they came."""

    def __init__(self) -> None:
        super().__init__(verify=False)
        self.came, self.goes = anyio.Event(), anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.came.set()
        await self.goes.wait()
        return await super().handle_async_request(request)


async def test_an_issuer_that_does_not_answer_holds_up_nobody_who_has_a_key(issuer: Issuer) -> None:
    """One request waits for the new keys; the others use the known ones."""
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
    """The second request joins a fetch that the first one began."""
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
    """The verifier tries the paths in the order that the MCP specification gives."""
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
    """The log names the mistake, and redirects are not followed."""
    issuer.answers[path] = lambda: answer(issuer)
    with pytest.raises(IssuerUnavailable):
        await verifier(issuer).verify_token(issuer.token())
    assert "/elsewhere" not in issuer.asked
    assert f"cannot fetch the keys of {issuer.url}: " in caplog.text
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
    """An attacker who can change the keys in transit can make any token."""
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json={"issuer": "https://issuer.example.com", "jwks_uri": uri})

    judge = JWTVerifier("https://issuer.example.com", AUDIENCE, lambda: httpx2.MockTransport(answer))
    with pytest.raises(IssuerUnavailable):
        await judge.verify_token(Issuer("https://issuer.example.com").token())
    assert asked == [f"https://issuer.example.com{path}" for path in (METADATA, OPENID)]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_an_issuer_on_this_machine_is_never_asked_through_a_proxy(
    variable: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy's operator could put other keys into the answer."""
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    assert await is_good(JWTVerifier(issuer.url, AUDIENCE), issuer.token())
