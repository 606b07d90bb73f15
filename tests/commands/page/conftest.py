"""What the tests of the page share."""

from collections.abc import AsyncIterator

import pytest

from inkbox_mcp.sandbox import Generation, Store
from tests.sandbox.mail.people import Person, people
from tests.support.looking import Onlooker, looking_at


@pytest.fixture
async def alice(store: Store, generation: Generation) -> AsyncIterator[Person]:
    """A mailbox, on each generation."""
    async with people(store, generation, "alice") as (found,):
        yield found


@pytest.fixture
async def onlooker(store: Store, generation: Generation) -> AsyncIterator[Onlooker]:
    """Somebody who looks at the store."""
    async with looking_at(store, generation) as found:
        yield found
