"""The drain of a server over HTTP finishes calls, and does not wait for calls that wait."""

import signal
from pathlib import Path

import anyio
import pytest

from inkbox_mcp.http.drain import Drain
from tests.support.extra_tools import serve_extra, wait_over_http
from tests.support.processes import PATIENCE


@pytest.mark.parametrize(
    ("arguments", "era"),
    [
        pytest.param((), "auto", marks=pytest.mark.slow),
        ((), "legacy"),
        pytest.param(("--stateless",), "auto", marks=pytest.mark.slow),
        pytest.param(("--stateless",), "legacy", marks=pytest.mark.slow),
    ],
)
async def test_a_drain_does_not_wait_for_a_call_that_waits(
    arguments: tuple[str, ...], era: str, tmp_path: Path
) -> None:
    """The call returns early with its last state, and the process ends long before the timeout of ten minutes."""
    async with serve_extra("--drain-timeout", "600", *arguments, home=tmp_path) as (server, origin):
        with anyio.fail_after(PATIENCE):
            async with wait_over_http(origin, era, 3600.0) as messages:
                await anext(messages)
                server.signal(signal.SIGTERM)
                told = [message async for message in messages]
            assert (await server.end()).status == 0
    assert told[-1]["result"]["structuredContent"]["ended_early"] is True


async def test_calls_that_wait_go_on_until_nothing_new_can_come() -> None:
    """If they ended earlier, clients would call again at once and reach the same server."""
    order: list[str] = []
    drain = Drain("/mcp", 1.0, lambda: order.append("end the waits"))
    drain.watched = True
    await drain.finish(lambda: order.append("stop listening"), lambda: order.append("stop reading"))
    assert order[:3] == ["stop listening", "stop reading", "end the waits"]


async def test_calls_that_wait_learn_of_the_end_however_little_time_there_is() -> None:
    """They are notified even with a timeout of 0, so that they can still answer in the last second."""
    ending = anyio.Event()
    drain = Drain("/mcp", 0, ending.set)
    drain.watched = True
    await drain.finish(lambda: None, lambda: None)
    assert ending.is_set()
