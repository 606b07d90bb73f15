"""Schemathesis tests the sandbox with good and bad requests from its OpenAPI document, alone and in series."""

# pyright: reportUnknownMemberType=false
# Parts of Schemathesis are annotated with bare generics.

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import settings

from inkbox_mcp.sandbox import Store, create_app
from tests.support.agents import KEY

pytestmark = pytest.mark.slow

# FastAPI makes a route of each method, and its 405 names only the methods of the path's first route.
CONFIG: dict[str, Any] = {"checks": {"allow_header_conformance": {"enabled": False}}}

# The schema of a send cannot say that inline images need an HTML body and ids of their own.
IDENTITY_CONFIG: dict[str, Any] = {"checks": {**CONFIG["checks"], "positive_data_acceptance": {"enabled": False}}}

store = Store(":memory:")
api: Any = schemathesis.openapi.from_asgi(
    "/openapi.json", create_app(store), config=schemathesis.Config.from_dict(CONFIG)
)
identity_api: Any = schemathesis.openapi.from_asgi(
    "/openapi.json", create_app(store, "identity"), config=schemathesis.Config.from_dict(IDENTITY_CONFIG)
)


@pytest.fixture(scope="module", autouse=True)
def _close() -> Iterator[None]:
    yield
    store.close()


@api.parametrize()
@settings(max_examples=100, derandomize=True, deadline=None)
def test_the_sandbox_does_what_its_document_says(case: schemathesis.Case[Any]) -> None:
    """No request makes it crash, and every answer has a documented status and shape."""
    case.call_and_validate(headers={"X-API-Key": KEY})


@identity_api.parametrize()
@settings(max_examples=50, derandomize=True, deadline=None)
def test_the_identity_generation_does_what_its_document_says(case: schemathesis.Case[Any]) -> None:
    """No request makes it crash, and every answer has a documented status and shape."""
    case.call_and_validate(headers={"X-API-Key": KEY})


class Series(api.as_state_machine()):
    """Requests that use values of earlier answers, in an organization of their own."""

    def setup(self) -> None:
        """Use a new key."""
        self.headers = {"X-API-Key": f"ApiKey_{uuid4()}.secret"}

    def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, Any]:
        """Add the key to each request."""
        return {"headers": self.headers}


def test_the_sandbox_does_what_its_document_says_in_series() -> None:
    """Created objects can be used, deleted ones cannot, and no request makes it crash."""
    Series.run(settings=settings(max_examples=30, derandomize=True, deadline=None))
