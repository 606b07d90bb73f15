"""Mailboxes for the tests of mail."""

from collections.abc import AsyncIterator

import pytest

from inkbox_mcp.sandbox import Generation, Store
from tests.sandbox.mail.people import Person, people


@pytest.fixture
async def both(store: Store, generation: Generation) -> AsyncIterator[list[Person]]:
    """Alice and Bobby, on each generation."""
    async with people(store, generation, "alice", "bobby") as found:
        yield found


@pytest.fixture
async def alice(both: list[Person]) -> Person:
    """A mailbox."""
    return both[0]


@pytest.fixture
async def bobby(both: list[Person]) -> Person:
    """A mailbox of another organization."""
    return both[1]
