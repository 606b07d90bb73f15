"""Fixtures and helpers of the tests of authentication."""

from collections.abc import Generator

import pytest

from tests.support.authorization_server import Issuer, serve_issuer


@pytest.fixture(scope="module")
def server() -> Generator[Issuer]:
    """Run an authorization server."""
    with serve_issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer(server: Issuer) -> Issuer:
    """The shared authorization server, reset to its initial state."""
    vars(server).update(vars(Issuer(server.origin)))
    return server
