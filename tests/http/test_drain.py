"""The end of a server over HTTP: calls are finished, and those that wait are not waited for."""

import signal
from pathlib import Path

import anyio
import pytest

from inkbox_mcp.http.drain import Drain
from tests.support.extra_tools import serve_extra, wait_over_http
from tests.support.processes import PATIENCE


@pytest.mark.parametrize("arguments", [(), ("--stateless",)], ids=["sessions", "stateless"])
async def test_a_drain_does_not_wait_for_a_call_that_waits(
    arguments: tuple[str, ...], era: str, tmp_path: Path
) -> None:
    """The call answers what it knows, and the process ends long before its ten minutes are over."""
    async with serve_extra("--drain-timeout", "600", *arguments, home=tmp_path) as (server, origin):
        with anyio.fail_after(PATIENCE):
            async with wait_over_http(origin, era, 3600.0) as messages:
                await anext(messages)
                server.signal(signal.SIGTERM)
                told = [message async for message in messages]
            assert (await server.end()).status == 0
    assert told[-1]["result"]["structuredContent"]["ended_early"] is True


async def test_calls_that_wait_go_on_until_nothing_new_can_come() -> None:
    """Clients would call again at once, and would come to the same server."""
    order: list[str] = []
    drain = Drain("/mcp", 1.0, lambda: order.append("end the waits"))
    drain.watched = True
    await drain.finish(lambda: order.append("stop listening"), lambda: order.append("stop reading"))
    assert order[:3] == ["stop listening", "stop reading", "end the waits"]


async def test_calls_that_wait_learn_of_the_end_however_little_time_there_is() -> None:
    """So that they can answer in the second that is left to all calls."""
    ending = anyio.Event()
    drain = Drain("/mcp", 0, ending.set)
    drain.watched = True
    await drain.finish(lambda: None, lambda: None)
    assert ending.is_set()
