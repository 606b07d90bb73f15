"""Verifies the access tokens (JWT) of an authorization server."""

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

import jwt
from mcp.server.auth.provider import AccessToken
from pydantic import AfterValidator, BaseModel, Field

from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.http.authentication import MAX_TOKEN
from inkbox_mcp.http.issuer_keys import ALGORITHMS, IssuerKeys
from inkbox_mcp.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

LEEWAY = 60
"""Seconds by which the issuer's clock may differ: more than machines drift, less than tokens live."""


TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


def _no_id_token(kind: object) -> object:
    """Refuse ID and refresh tokens: Keycloak and Cognito mark them with a claim."""
    if isinstance(kind, str) and kind.lower() in {"id", "refresh", "offline", "logout"}:
        raise ValueError("is no access token")
    return kind


_Name = Annotated[str | None, Field(min_length=1)]
_Scopes = str | list[str]
_Kind = Annotated[object, AfterValidator(_no_id_token)]


class _Claims(BaseModel):
    """The claims that are read here, beyond those that PyJWT checks."""

    exp: float
    sub: _Name = None
    client_id: _Name = None
    azp: _Name = None
    scope: _Scopes = ""
    scp: _Scopes = ""
    typ: _Kind = None
    token_use: _Kind = None
    at_hash: None = None  # OpenID Connect: in ID tokens only
    c_hash: None = None
    cnf: None = None  # bound to a key (RFC 8705, RFC 9449), and callers here do not prove that they have it

    @property
    def client(self) -> str:
        """The client's id, or else the subject."""
        if found := self.client_id or self.azp or self.sub:
            return found
        raise ValueError("the token names nobody")

    @property
    def scopes(self) -> list[str]:
        """The scopes, from `scope` or `scp`, as a string or a list."""
        lists = [found.split() if isinstance(found, str) else found for found in (self.scope, self.scp)]
        return [scope for found in lists for scope in found]


class JWTVerifier:
    """Accepts access tokens that an authorization server signed for this server (RFC 9068 and earlier practice).

    Args:
        issuer: exactly as in the tokens' `iss`.
        audience: exactly as tokens must have it in `aud`.
        transport: makes the HTTP transport to the issuer; None for the network.
        clock: monotonic seconds.
        metrics: counts failures of the issuer.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        transport: TransportFactory | None = None,
        clock: Callable[[], float] = time.monotonic,
        metrics: Metrics | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = IssuerKeys(issuer, transport, clock, metrics or Metrics())

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return the caller if the token is valid for this server.

        Raises:
            IssuerUnavailable: the issuer's keys are unknown and cannot be fetched now.
        """
        try:
            claims = _Claims.model_validate(await self._verified(token))
            return AccessToken(
                token="",
                client_id=claims.client,
                scopes=claims.scopes,
                expires_at=int(claims.exp),
                subject=claims.sub,
                claims={"iss": self._issuer},
                resource=self._audience,
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            # Only the type: messages of these errors repeat parts of the token.
            logger.info("an access token was refused: %s", type(error).__name__)
            return None

    async def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that is genuine, current, and for this server."""
        if len(token) > MAX_TOKEN:
            raise ValueError("the token is too long")
        header = jwt.get_unverified_header(token)
        algorithm, kind = header.get("alg"), header.get("typ", "JWT")
        # Checked before the issuer is asked for keys.
        if not isinstance(algorithm, str) or not any(algorithm in fitting for fitting in ALGORITHMS.values()):
            raise jwt.InvalidAlgorithmError
        if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
            raise ValueError("the token is no access token")
        for key in await self._keys.find(header.get("kid")):
            if algorithm in key.algorithms:
                try:
                    return jwt.decode(
                        token,
                        key.public,
                        algorithms=[algorithm],
                        audience=self._audience,
                        issuer=self._issuer,
                        leeway=LEEWAY,
                        options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
                    )
                except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                    pass  # a token without a key id may be signed with another key
        raise jwt.InvalidSignatureError
