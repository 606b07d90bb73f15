"""A server that runs for long answers every call and keeps nothing of it, also where Inkbox fails."""

import gc
from itertools import count
from random import Random

import pytest
from pydantic import SecretStr

from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY
from tests.support.conversations import ACCEPTED, HELLO, Wire, served
from tests.support.faults import BUSY, FINE, LIMITED, LOSING, Fault, FaultyInkbox, faulty_inkbox
from tests.support.openings import call

pytestmark = [pytest.mark.posix, pytest.mark.slow]

AGENTS = 4
LIVES = 40
"""Mailboxes of each agent, one after another."""
CACHED = {"weakref", "httpx2", "httpx2._urlparse"}
"""Modules of types that do not count: the last thousand URLs are kept, and caches of classes have weak references."""


async def live(wire: Wire, ids: "count[int]", lives: range) -> int:
    """Let agents create, use and delete one mailbox after another, all at the same time; return how often they call."""
    called, listing = 0, dict[str, str]()
    for life in lives:
        handles, boxes = ([f"{name}-{number}" for number in range(AGENTS)] for name in ("agent", f"box-{life}"))
        for tool, arguments in (
            ("create_mailbox", [{"agent_handle": handles[n], "email_local_part": boxes[n]} for n in range(AGENTS)]),
            ("get_mailbox", [{"email_address": box} for box in boxes]),
            ("list_mailboxes", [listing] * AGENTS),
            ("update_mailbox", [{"email_address": box, "display_name": "Sales"} for box in boxes]),
            ("delete_mailbox", [{"email_address": box} for box in boxes]),
        ):
            asked = {next(ids): each for each in arguments}
            wire.say(*(call(number, name=tool, arguments=each) for number, each in asked.items()))
            answers = [await wire.hear() for _ in asked]
            assert {answer["id"] for answer in answers} == asked.keys()
            assert all("result" in answer for answer in answers), answers
            called += len(asked)
    return called


async def objects(inkbox: FaultyInkbox) -> int:
    """Count the objects of this process."""
    await inkbox.settle()
    inkbox.requests.clear()
    inkbox.served.clear()
    gc.collect()
    return sum(type(each).__module__ not in CACHED for each in gc.get_objects())


async def test_every_call_is_answered_and_nothing_is_kept_of_it() -> None:
    """Every tenth request to Inkbox fails, in one of the ways of networks and servers."""
    random, ids = Random(7), count(1)

    def usual() -> Fault:
        return random.choice([*LOSING, BUSY, LIMITED]) if random.random() < 0.1 else FINE

    async with faulty_inkbox() as inkbox:
        for agent in range(AGENTS):
            await inkbox.create("/api/v1/identities", KEY, agent_handle=f"agent-{agent}")
        inkbox.usual = usual
        settings = Settings(api_key=SecretStr(KEY), api_generation="spec", base_url=inkbox.url, timeout=0.1)
        async with served(Service(settings), [(HELLO, ACCEPTED)]) as wire:
            await live(wire, ids, range(LIVES // 4))
            before = await objects(inkbox)
            called = await live(wire, ids, range(LIVES // 4, LIVES))
            kept = await objects(inkbox) - before
            wire.leave()
    assert kept < called, "as many objects as calls, or more"
