"""Tokens and their verification."""

import time
from collections.abc import Callable
from functools import partial

import httpx2

from inkbox_mcp.access.scopes import needed
from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.telemetry.metrics import Metrics
from tests.support.authorization_server import AUDIENCE, Issuer
from tests.support.catalogue import EVERY
from tests.support.extra_tools.tools.letters import get_letter, send_letter

LETTERS = {tool.name: tool for tool in (get_letter, send_letter)}

SECRET = "a token that was given out".replace(" ", "-")
METADATA_URL = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"


def verifier(
    issuer: Issuer, clock: Callable[[], float] = time.monotonic, metrics: Metrics | None = None
) -> JWTVerifier:
    """Make a verifier of this issuer's tokens. It has no TLS, which is slow to set up."""
    return JWTVerifier(issuer.url, AUDIENCE, partial(httpx2.AsyncHTTPTransport, verify=False), clock, metrics)


async def is_good(judge: JWTVerifier, token: str) -> bool:
    """Return whether a token is accepted."""
    return await judge.verify_token(token) is not None


def scopes_for(tool: str) -> frozenset[frozenset[str]]:
    """Return what a call by this name needs, of a tool of this server or of one for letters: of each set one scope."""
    operation = {**EVERY, **LETTERS}.get(tool)
    return frozenset({needed(operation)} if operation else ())
