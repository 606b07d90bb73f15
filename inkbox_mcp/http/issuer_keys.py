"""Discovers, fetches and caches the public keys of an authorization server."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2
import jwt
from pydantic import BaseModel, ValidationError

from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.api.network import over_the_network
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.http.authentication import SECONDS_TO_RETRY, IssuerUnavailable
from inkbox_mcp.http.hosts import LOOPBACK_NAMES
from inkbox_mcp.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

FRESH = 5 * 60
"""Seconds for which cached keys are used without a refresh."""
KEPT = 60 * 60
"""Seconds for which cached keys are used while the issuer is unreachable; a revoked key may count for so long."""
SECONDS_TO_FETCH = 5
MAX_DOCUMENT = 256 * 1024

# Asymmetric only: with HS256, anybody who knows a public key could sign with it.
ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}


class _Metadata(BaseModel):
    """The members of an authorization server's metadata that are read here."""

    issuer: str
    jwks_uri: str


class _KeySet(BaseModel):
    keys: list[dict[str, Any]]


class _KeyData(BaseModel):
    """The members of a JSON Web Key that are read here; PyJWT reads the numbers."""

    kty: str
    crv: str | None = None
    kid: str | None = None
    use: str = "sig"
    key_ops: list[str] = ["verify"]
    alg: str | None = None
    d: None = None  # a published private key is not private any more

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that the key may verify."""
        if self.use != "sig" or "verify" not in self.key_ops:
            return frozenset()
        fitting = ALGORITHMS.get((self.kty, self.crv), frozenset[str]())
        return fitting if self.alg is None else fitting & {self.alg}


@dataclass(frozen=True)
class Key:
    """A public key for signatures, and the algorithms it may be used with."""

    id: str | None
    algorithms: frozenset[str]
    public: Any


class IssuerKeys:
    """The keys of an authorization server, fetched when needed and cached for all requests.

    Callers can cause a request to the issuer, by tokens with invented key ids or while the issuer is down. There is at
    most one such request in ten seconds.
    """

    def __init__(
        self, issuer: str, transport: TransportFactory | None, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._issuer = issuer
        self._transport = transport
        self._clock = clock
        self._metrics = metrics
        self._lock = anyio.Lock()
        self._keys: list[Key] = []
        self._fetched = -math.inf
        self._quiet_until = -math.inf
        self._is_down = False

    async def find(self, key_id: str | None) -> list[Key]:
        """Return the keys with this id, or all keys for a token without one.

        Raises:
            IssuerUnavailable: the issuer cannot be reached, and no such key is cached.
        """
        # A caller whose key is cached does not wait for the refresh; others wait for the request that fetches it.
        if self._lacks(key_id) or self._is_due(key_id):
            async with self._lock:
                if self._is_due(key_id):
                    await self._refresh()
        if self._age() > KEPT or (self._is_down and self._lacks(key_id)):
            raise IssuerUnavailable
        return [key for key in self._keys if key_id in {None, key.id}]

    def _age(self) -> float:
        return self._clock() - self._fetched

    def _lacks(self, key_id: str | None) -> bool:
        return not any(key_id in {None, key.id} for key in self._keys)

    def _is_due(self, key_id: str | None) -> bool:
        return self._clock() >= self._quiet_until and (self._age() >= FRESH or self._lacks(key_id))

    async def _refresh(self) -> None:
        """Fetch the keys; if that fails, the cached ones stay."""
        is_forced = self._age() < FRESH
        self._quiet_until = self._clock() + SECONDS_TO_RETRY
        self._is_down = True
        try:
            with anyio.fail_after(2 * SECONDS_TO_FETCH):
                self._keys = await self._fetch()
        except _FAILURES as error:
            reason = str(error) if isinstance(error, _UnusableError | NotConfigured) else type(error).__name__
            self._metrics.dependency_failed("issuer")
            logger.warning("cannot fetch the keys of %s: %s", self._issuer, reason)
            return
        self._is_down = False
        self._fetched = self._clock()
        if not is_forced:
            self._quiet_until = self._fetched  # a new key may be fetched right after a successful refresh

    async def _fetch(self) -> list[Key]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        transport = self._transport() if self._transport else None
        # A proxy could read and change what plain http fetches from this machine.
        here = over_the_network("http://localhost")
        mounts = {f"all://{host}": here for host in LOOPBACK_NAMES} if transport is None else None
        client = httpx2.AsyncClient(transport=transport, mounts=mounts, timeout=SECONDS_TO_FETCH, headers=headers)
        async with client as http:
            jwks_uri = await self._discover(http)
            found = [_key(data) for data in (await _read(http, jwks_uri, _KeySet)).keys]
        if not (keys := [key for key in found if key]):
            raise _UnusableError("the key set has no key for signatures")
        return keys

    async def _discover(self, http: httpx2.AsyncClient) -> str:
        """Return the URL of the keys, from metadata that is tried in the order of MCP clients."""
        reasons: list[str] = []
        for url in _documents(self._issuer):
            try:
                return self._jwks_uri(await _read(http, url, _Metadata))
            except _UnusableError as error:
                reasons.append(f"{url} {error}")
        raise _UnusableError("; ".join(reasons))

    def _jwks_uri(self, metadata: _Metadata) -> str:
        # RFC 8414 section 3.3: otherwise one tenant of a host could impersonate another.
        if metadata.issuer != self._issuer:
            raise _UnusableError(f"names the issuer {metadata.issuer[:200]!a}")
        if not _is_private(metadata.jwks_uri):
            raise _UnusableError("has a jwks_uri without https")
        return metadata.jwks_uri


class _UnusableError(ValueError):
    """A document is invalid; the message is ours."""


# Also those of a proxy, and of the certificates that the environment names.
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, ImportError, OSError, ValueError, NotConfigured)


def _documents(issuer: str) -> list[str]:
    """Return the possible URLs of an issuer's metadata (RFC 8414 sections 3.1 and 5, OpenID Connect Discovery)."""
    url = urlsplit(issuer)
    origin, path = f"{url.scheme}://{url.netloc}/.well-known", url.path.rstrip("/")
    documents = [f"{origin}/oauth-authorization-server{path}", f"{origin}/openid-configuration{path}"]
    return [*documents, f"{issuer.rstrip('/')}/.well-known/openid-configuration"] if path else documents


def _is_private(url: str) -> bool:
    """Whether nobody on the network can change what is read from this URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1"})


D = TypeVar("D", bound=BaseModel)


async def _read(http: httpx2.AsyncClient, url: str, model: type[D]) -> D:
    """GET a JSON document of bounded size, without following redirects."""
    body = b""
    async with http.stream("GET", url, follow_redirects=False) as response:
        if response.status_code != HTTPStatus.OK:
            raise _UnusableError(f"answered {response.status_code}")
        if "Content-Encoding" in response.headers:
            raise _UnusableError("is compressed, which was not requested")  # a small body could fill the memory
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_DOCUMENT:
                raise _UnusableError("is too large")
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise _UnusableError("is not the JSON document it should be") from None


def _key(data: dict[str, Any]) -> Key | None:
    """Return a key, or None if it cannot verify signatures."""
    try:
        about = _KeyData.model_validate(data)
        return Key(about.kid, about.algorithms, jwt.PyJWK(data).key) if about.algorithms else None
    except (ValidationError, jwt.PyJWTError):
        return None
