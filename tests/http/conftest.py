"""What the tests of authentication share."""

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
    """An authorization server as it is at the start."""
    vars(server).update(vars(Issuer(server.origin)))
    return server
