"""The cost of a page of 50 if the API returns all: `python -m benchmarks.listing` writes ms by the list's length.

For comparison, it also measures a page for which every item of the answer is validated.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

from benchmarks.faked import SETTINGS, FakedInkbox, identities, mailboxes
from inkbox_mcp.access.tenants import Tenants
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.calls import begin
from inkbox_mcp.toolkit.operation import Result
from inkbox_mcp.toolkit.rows import row
from inkbox_mcp.tools.mailboxes import ListMailboxes
from inkbox_mcp.tools.spec_generation.identities import Identity
from inkbox_mcp.tools.spec_generation.mailboxes import ROW, Mailbox, MailboxPage, list_mailboxes

SIZES = (100, 10_000, 20_000)
LIMIT = 50
SECONDS = 0.6
"""Seconds for each size and each way."""

Way = Callable[[InkboxAPI], Awaitable[Result]]


async def paged(api: InkboxAPI) -> Result:
    """Request a page as a client does."""
    return await list_mailboxes.run(api, ListMailboxes(limit=LIMIT))


async def validated(api: InkboxAPI) -> Result:
    """Validate all objects of both lists and take the newest."""
    found = [parse(item, Mailbox) for item in await api.get_list(path(MAILBOXES))]
    identities = [parse(item, Identity) for item in await api.get_list(path(IDENTITIES))]
    handles = {identity.email_address: identity.agent_handle for identity in identities}
    found.sort(key=lambda mailbox: (mailbox.sent("created_at"), mailbox.id), reverse=True)
    rows = [mailbox.model_dump() | {"agent_handle": handles.get(mailbox.email_address)} for mailbox in found[:LIMIT]]
    more = "more" if found[LIMIT:] else None
    shown = [row(each, ROW) for each in rows]
    return parse({"mailboxes": shown, "total": len(found), "of": len(found), "next_cursor": more}, MailboxPage)


WAYS: dict[str, Way] = {"paged": paged, "validated": validated}


async def measure(size: int, seconds: float = SECONDS, ways: dict[str, Way] = WAYS) -> dict[str, float]:
    """Return the median milliseconds of both ways, taken in turns.

    Args:
        size: the number of mailboxes.
        seconds: the time for each way.
        ways: functions that return a page, by name.

    Raises:
        AssertionError: the pages contain different mailboxes.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    bodies = mailboxes(size), identities(size)
    async with Tenants(SETTINGS, lambda: FakedInkbox(*bodies)) as tenants:
        end = time.perf_counter() + seconds * len(ways)
        while min(map(len, taken.values())) < 5 or time.perf_counter() < end:
            shown: list[object] = []
            for name, way in ways.items():
                began = time.perf_counter()
                with begin(30):
                    result = await way(tenants.api())
                written = result.model_dump_json(exclude_unset=True)
                taken[name].append((time.perf_counter() - began) * 1000)
                shown.append(json.loads(written)["mailboxes"])
            if shown[0] != shown[1]:
                raise AssertionError(f"{size} mailboxes: {shown}"[:500])
    return {name: median(values[1:]) for name, values in taken.items()}


if __name__ == "__main__":
    gc.freeze()  # as the server does when it has loaded everything
    sys.stdout.write(json.dumps({size: asyncio.run(measure(size)) for size in SIZES}) + "\n")
