"""What the tests of authentication share."""

import time
from collections.abc import Callable, Generator
from functools import partial

import httpx2
import pytest

from inkbox_mcp.http.access_tokens import JWTVerifier
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.tools import all_operations
from tests.support.authorization_server import AUDIENCE, Issuer, serve_issuer

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


def verifier(
    issuer: Issuer, clock: Callable[[], float] = time.monotonic, metrics: Metrics | None = None
) -> JWTVerifier:
    """A verifier of this issuer's tokens; without TLS, which takes long to set up."""
    return JWTVerifier(issuer.url, AUDIENCE, partial(httpx2.AsyncHTTPTransport, verify=False), clock, metrics)


async def is_good(judge: JWTVerifier, token: str) -> bool:
    """Whether a token is accepted."""
    return await judge.verify_token(token) is not None


def is_write(tool: str) -> bool:
    """Whether a tool changes something; those that do not exist might."""
    operation = all_operations().get(tool)
    return operation is None or not operation.hints.read_only
