"""Progress reports: only for clients that ask, only increasing, and never able to break a call."""

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.calls import Call, begin, current
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Answer, Service
from inkbox_mcp.toolkit import progress
from inkbox_mcp.toolkit.operation import READ_ONLY, operation
from inkbox_mcp.toolkit.progress import MAX_MESSAGE, Progress
from tests.support.agents import KEY
from tests.support.alike import choices
from tests.support.extra_tools import extra_stdio, in_process, offering, wait_over_http
from tests.support.extra_tools.tools.trial import Counted, Counting, count_steps, wait_for_nothing
from tests.support.http_in_process import serve_service
from tests.support.processes import PATIENCE

Report = tuple[float, float | None, str | None]


class Listener:
    """A client that records its progress notifications."""

    def __init__(self) -> None:
        self.heard: list[Report] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append((progress, total, message))


@asynccontextmanager
async def extra_http(era: str, _: Path, **settings: Any) -> AsyncGenerator[Client]:
    """Connect a client over HTTP; one of 2025-11-25 has a session."""
    service = offering(count_steps, wait_for_nothing, http=True, **settings)
    async with serve_service(service) as origin, Client(f"{origin}/mcp", mode=era) as client:
        yield client


@asynccontextmanager
async def extra_stateless(era: str, home: Path) -> AsyncGenerator[Client]:
    """Connect a client over HTTP without sessions."""
    async with extra_http(era, home, stateless=True) as client:
        yield client


WAYS = [in_process, extra_stdio, extra_http, extra_stateless]


@pytest.mark.parametrize(
    ("way", "era"),
    [
        *product(WAYS, ["auto"]),
        *product([in_process, extra_http, extra_stateless], ["legacy"]),
        pytest.param(extra_stdio, "legacy", marks=pytest.mark.slow),
    ],
)
async def test_a_client_that_asks_hears_each_step_before_the_answer(way: Any, era: str, tmp_path: Path) -> None:
    """A client that does not ask receives only the answer."""
    ear = Listener()
    async with way(era, tmp_path) as client:
        silent = await client.call_tool("count_steps", {"steps": 3})
        result = await client.call_tool("count_steps", {"steps": 3}, progress_callback=ear)
        assert ear.heard == [(step, 3, f"step {step}") for step in (1, 2, 3)]
        assert silent.structured_content == result.structured_content == {"steps": 3}


@pytest.mark.parametrize("way", choices(WAYS, {extra_stdio}), ids=lambda way: way.__name__)
async def test_a_client_hears_of_a_call_that_waits_while_it_waits(way: Any, era: str, tmp_path: Path) -> None:
    """The client may cancel the call, and the server answers the next one."""
    async with way(era, tmp_path) as client:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:

                async def enough(progress: float, total: float | None, message: str | None) -> None:
                    if progress == 3:
                        tasks.cancel_scope.cancel()

                await client.call_tool("wait_for_nothing", {"seconds": 3600.0}, progress_callback=enough)
        result = await client.call_tool("count_steps", {"steps": 1})
    assert result.structured_content == {"steps": 1}


async def reported(*reports: tuple[Any, ...], key: str | None = KEY) -> list[Report]:
    """Make reports and return the ones that were sent."""
    ear = Listener()
    reporter = Progress(ear, Redaction(key))
    for report in reports:
        await reporter.report(*report)
    return ear.heard


async def test_progress_only_grows() -> None:
    """Reports that do not increase or are not valid JSON numbers are skipped, and such totals are omitted."""
    some = [(0,), (0,), (-1,), (0.5,), (math.nan,), (0.25,), (math.inf,), (2, math.inf), (3, math.nan), (4, 3)]
    assert await reported(*some) == [(0, None, None), (0.5, None, None), (2, None, None), (3, None, None), (4, 3, None)]


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ("looked", "looked"),
        ("", ""),
        ("a\nb\r\n\tc  d", "a b c d"),
        ("a\u200bb\u202e\U000e0041c", "abc"),
        (f"with {KEY} here", "with [API key] here"),
        ("with top\u200b-secret here", "with [API key] here"),
        ("x" * MAX_MESSAGE, "x" * MAX_MESSAGE),
        ("x" * (MAX_MESSAGE + 1), "x" * (MAX_MESSAGE - 1) + "…"),
        ("x" * (MAX_MESSAGE - 5) + f" {KEY}", "x" * (MAX_MESSAGE - 5) + " [AP…"),
        ("\ud800", ""),
    ],
    ids=lambda text: f"{len(text)} {text[-9:]!a}",
)
async def test_a_message_is_one_short_line_without_the_key(message: str, sent: str) -> None:
    """The message may contain text from other people."""
    assert await reported((1, None, message)) == [(1, None, sent)]


async def test_a_message_of_any_length_costs_no_more_than_a_short_one() -> None:
    """Only the part that is shown is processed."""
    ((_, _, line),) = await reported((1, None, "a " * 10**7))
    assert line
    assert len(line) <= MAX_MESSAGE


async def test_a_client_that_does_not_read_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call waits a short time for the client, continues, and does not wait for it again."""
    monkeypatch.setattr(progress, "SECONDS_TO_TAKE", 0.01)
    tried: list[float] = []

    async def never(done: float, total: float | None, message: str | None) -> None:
        tried.append(done)
        await anyio.sleep_forever()

    reporter = Progress(never, Redaction(None))
    with anyio.fail_after(PATIENCE):
        for step in range(100):
            await reporter.report(step)
    assert tried == [0]


async def test_nothing_is_sent_when_the_call_has_ended() -> None:
    """A task that the call started may still run and try to report."""
    ear = Listener()
    ended: list[Call] = []

    @operation(READ_ONLY, reports=True)
    async def count_once(api: object, args: Counting) -> Counted:
        """Report once and end."""
        ended.append(current())
        await current().report(1)
        return Counted(steps=1)

    service = offering(count_once)
    assert isinstance(await service.call(count_once, {}, LOCAL, report=ear), Answer)
    await ended[0].report(2)
    assert ear.heard == [(1, None, None)]


async def test_a_call_whose_client_did_not_ask_reports_nothing() -> None:
    """A tool can report without checking whether the client asked."""
    with begin(1) as call:
        await call.report(1, 2, "nobody hears")


async def test_only_a_tool_that_is_declared_to_report_does() -> None:
    """The server treats other tools as plain calls, whose reports it drops."""

    @operation(READ_ONLY)
    async def count_secretly(api: object, args: Counting) -> Counted:
        """Report without being declared to report."""
        await current().report(1)
        return Counted(steps=1)

    ear = Listener()
    service: Service = offering(count_secretly)
    async with Client(server_of(service)) as client:
        await client.call_tool("count_secretly", {}, progress_callback=ear)
    await service.call(count_secretly, {}, LOCAL, report=ear)
    assert ear.heard == []


@pytest.mark.parametrize("stateless", [False, True], ids=["sessions", "stateless"])
async def test_a_client_that_leaves_while_it_is_told_harms_nobody(stateless: bool, era: str) -> None:
    """The server still answers the next client and reports its progress."""
    async with serve_service(offering(wait_for_nothing, http=True, stateless=stateless)) as origin:
        with anyio.fail_after(PATIENCE):
            async with wait_over_http(origin, era, 3600.0) as messages:
                assert (await anext(messages))["params"]["progress"] == 1
            async with wait_over_http(origin, era, 0.1) as messages:
                told = [message async for message in messages]
    assert [message["params"]["progress"] for message in told[:2]] == [1, 2]
    assert told[-1]["result"]["structuredContent"]["ended_early"] is False
