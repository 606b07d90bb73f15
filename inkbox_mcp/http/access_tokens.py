"""The access tokens (JWT) of an authorization server: which of them are good here, and what they say."""

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
"""Seconds by which the issuer's clock may differ; tokens live for minutes at least, and machines drift by less."""


TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


def _no_id_token(kind: object) -> object:
    """Keycloak and Cognito tell with a claim what a token is for."""
    if isinstance(kind, str) and kind.lower() in {"id", "refresh", "offline", "logout"}:
        raise ValueError("is no access token")
    return kind


_Name = Annotated[str | None, Field(min_length=1)]
_Scopes = str | list[str]
_Kind = Annotated[object, AfterValidator(_no_id_token)]


class _Claims(BaseModel):
    """What is used of a token's claims, beyond those that PyJWT checks."""

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
    cnf: None = None  # the token is bound to a key (RFC 8705, RFC 9449), and nobody shows here that they have it

    @property
    def client(self) -> str:
        """The client, or who else the token is about."""
        if found := self.client_id or self.azp or self.sub:
            return found
        raise ValueError("the token names nobody")

    @property
    def scopes(self) -> list[str]:
        """The scopes, whichever way the issuer writes them."""
        lists = [found.split() if isinstance(found, str) else found for found in (self.scope, self.scp)]
        return [scope for found in lists for scope in found]


class JWTVerifier:
    """Accepts the access tokens that an authorization server signed for this server (RFC 9068 and its forerunners).

    Args:
        issuer: as it stands in the tokens' `iss`, to the letter.
        audience: what a token must name as `aud`, to the letter.
        transport: makes another way to reach the issuer than over the network.
        clock: seconds that only grow.
        metrics: where failures of the issuer are counted.
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
        """Return the caller if the token is good for this server.

        Raises:
            IssuerUnavailable: the issuer's keys are not known, and cannot be had now.
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
            # The kind alone: texts of errors repeat parts of the token.
            logger.info("an access token was refused: %s", type(error).__name__)
            return None

    async def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that is genuine, current, and meant for this server."""
        if len(token) > MAX_TOKEN:
            raise ValueError("the token is too long")
        header = jwt.get_unverified_header(token)
        algorithm, kind = header.get("alg"), header.get("typ", "JWT")
        # Before the issuer is asked for anything.
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
                    pass  # a token that names no key may be signed with the next one
        raise jwt.InvalidSignatureError
