"""The limit on a tenant's calls, kept in memory or shared by replicas through a real Redis."""

import logging
import math
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp import install_line
from inkbox_mcp.access.rate_limits import (
    MAX_TENANTS,
    STORE_PATIENCE,
    STORE_PAUSE,
    RateLimit,
)
from inkbox_mcp.settings.values import Rate, parse_store
from tests.support.clock import Clock
from tests.support.metrics import Losses
from tests.support.redis_server import redis_on_port, redis_on_socket

pytestmark = pytest.mark.linux


async def taken(limit: RateLimit, calls: int, tenant: str = "acme") -> int:
    """Make calls and return how many of them the limit allowed."""
    return [await limit.take(tenant) for _ in range(calls)].count(None)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", (10, 1)), ("600/m", (600, 60)), ("1000/h", (1000, 3600)), ("5/10s", (5, 10)), ("999999/9999h", None)],
)
def test_a_rate_is_calls_per_time(text: str, rate: tuple[int, int] | None) -> None:
    """The time may be any number of seconds, minutes or hours."""
    assert astuple(Rate.parse(text)) == (*(rate or (999999, 9999 * 3600)), text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "0/s",
        "10/0s",
        "-1/s",
        "1.5/s",
        "10/d",
        "10 / s",
        "10/s\n",
        "１０/s",
        "10/S",
        "1e9/s",
        "9" * 5000 + "/s",
    ],
)
def test_what_is_no_rate_is_refused_in_one_sentence(text: str) -> None:
    """The sentence begins with a verb because the caller puts the option's name before it."""
    with pytest.raises(ValueError, match=r"^must be a call rate, such as 10/s, 600/m, 1000/h or 5/10s$"):
        Rate.parse(text)


@pytest.mark.parametrize(
    "url",
    ["redis://localhost", "redis://:p@h:1/0", "rediss://u:p@host:6380", "unix:///run/redis.sock", "redis://[::1]:6379"],
)
def test_the_store_is_a_redis(url: str) -> None:
    """The URL may use TLS or plain TCP, or name a Unix socket."""
    assert parse_store(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://h:1",
        "redis://",
        "redis:///0",
        "unix://",
        "redis://u:hunter2@h:x",
        "redis://[hunter2",
    ],
)
def test_what_is_no_store_is_refused_without_repeating_it(url: str) -> None:
    """The URL may contain a password."""
    with pytest.raises(ValueError, match=r"^must be a URL such as redis://localhost") as refusal:
        parse_store(url)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_what_only_the_library_refuses_is_not_repeated_either() -> None:
    """The URL's query may contain connection options, and redis-py quotes a wrong one."""
    with pytest.raises(ValueError, match=r"^must be a URL that redis-py understands$"):
        RateLimit(Rate.parse("1/s"), "redis://:hunter2@localhost?socket_timeout=hunter2")


async def test_a_burst_up_to_the_limit_goes_through_and_the_next_call_waits() -> None:
    """All calls are at the start of the window, so the wait lasts until the window ends."""
    clock = Clock()
    limit = RateLimit(Rate.parse("10/m"), clock=clock)
    clock.now = 1200  # a window begins
    assert await taken(limit, 10) == 10
    assert await limit.take("acme") == 60.1
    clock.now += 30.05
    assert await limit.take("acme") == 30.0


async def test_the_window_slides() -> None:
    """A client cannot make twice the allowed calls around the border of two windows."""
    clock = Clock()
    limit = RateLimit(Rate.parse("10/m"), clock=clock)
    clock.now = 1259.9
    assert await taken(limit, 20) == 10
    clock.now = 1260.1
    assert await taken(limit, 20) == 1
    clock.now = 1290
    assert await taken(limit, 20) == 4
    clock.now = 1320 + 60
    assert await taken(limit, 20) == 10


@given(st.integers(1, 50), st.integers(1, 100), st.lists(st.floats(0, 30), min_size=1, max_size=60))
async def test_whoever_waits_as_told_is_let_through(calls: int, seconds: int, pauses: list[float]) -> None:
    """A wait is at least 0.1 seconds, has one decimal, and is too long by little more than a tenth of a second."""
    clock = Clock()
    limit = RateLimit(Rate.parse(f"{calls}/{seconds}s"), clock=clock)
    for pause in pauses:
        clock.now += pause
        while (wait := await limit.take("acme")) is None:
            pass
        assert 0.1 <= wait <= seconds + 0.1
        assert wait == round(wait, 1)
        if wait > 0.2:
            clock.now += wait - 0.12
            assert await limit.take("acme")
            wait = 0.12
        clock.now += wait
        assert await limit.take("acme") is None


async def test_several_at_once_are_counted_whole_or_not_at_all() -> None:
    """What is refused uses up nothing, so that less still goes through."""
    clock = Clock()
    limit = RateLimit(Rate.parse("10/h"), clock=clock)
    assert await limit.take("acme", 8) is None
    for _ in range(3):
        assert await limit.take("acme", 3)
    assert await limit.take("acme", 2) is None
    assert await limit.take("acme")
    assert await limit.take("other", 10) is None


async def test_more_at_once_than_the_rate_has_can_never_be() -> None:
    """However long the caller waits; the answer costs nothing of the rate."""
    clock = Clock()
    limit = RateLimit(Rate.parse("10/h"), clock=clock)
    for _ in range(3):
        assert await limit.take("acme", 11) == math.inf
        clock.now += 7200
    assert await limit.take("acme", 10) is None


@given(
    st.integers(1, 50),
    st.integers(1, 100),
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), min_size=1, max_size=60),
)
async def test_whoever_waits_as_told_is_let_through_with_several(
    most: int, seconds: int, takes: list[tuple[float, int]]
) -> None:
    """The wait may last beyond the end of the window: then the old ones must have become few enough."""
    clock = Clock()
    limit = RateLimit(Rate.parse(f"{most}/{seconds}s"), clock=clock)
    for pause, count in takes:
        clock.now += pause
        wait = await limit.take("acme", count)
        assert (wait == math.inf) == (count > most)
        if wait is None or wait == math.inf:
            continue
        assert 0.1 <= wait <= 2 * seconds + 0.1
        if wait > 0.2:
            clock.now += wait - 0.12
            assert await limit.take("acme", count)
            wait = 0.12
        clock.now += wait
        assert await limit.take("acme", count) is None


@given(st.lists(st.floats(0, 3), max_size=200))
async def test_no_stretch_of_time_has_twice_the_calls(pauses: list[float]) -> None:
    """Two counters per tenant only estimate the rate; this bounds the error for any pattern of calls."""
    clock, times = Clock(), list[float]()
    limit = RateLimit(Rate.parse("5/10s"), clock=clock)
    for pause in pauses:
        clock.now += pause
        if await limit.take("acme") is None:
            times.append(clock.now)
    assert all(later - earlier > 10 for earlier, later in zip(times, times[10:], strict=False))


async def test_tenants_do_not_disturb_each_other() -> None:
    """One tenant's refused calls use up nothing of another tenant's limit."""
    limit = RateLimit(Rate.parse("3/h"))
    assert await taken(limit, 100, "greedy") == 3
    assert await taken(limit, 3, "modest") == 3


async def test_memory_is_bounded_however_many_tenants_there_are() -> None:
    """Invented tenants cannot fill the memory: the server forgets old tenants and still limits the current ones."""
    limit = RateLimit(Rate.parse("2/h"), clock=Clock())
    assert await taken(limit, 3, "early") == 2
    for number in range(MAX_TENANTS):
        assert await limit.take(str(number)) is None
    assert await taken(limit, 3, "late") == 2
    assert await taken(limit, 3, "early") == 2


async def test_time_that_jumps_is_no_excuse() -> None:
    """A machine that was asleep starts with new windows, and the limit holds in them."""
    clock = Clock()
    limit = RateLimit(Rate.parse("2/s"), clock=clock)
    for now in (1000.0, 1e9, 1e12):
        clock.now = now
        assert await taken(limit, 5) == 2


def test_limits_in_memory_load_no_package() -> None:
    """Reading the options must not import `limits` or `redis` either: imports make the start slower."""
    program = (
        "import sys\nfrom inkbox_mcp.access.rate_limits import *\n"
        "from inkbox_mcp.settings.values import *\n"
        "parse_store('redis://h'), RateLimit(Rate.parse('1/s'))\n"
        "sys.exit(bool({'limits', 'redis'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("package", ["limits.aio.storage", "redis.asyncio"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells in one line what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    line = f"^--rate-limit-store needs an extra: {re.escape(install_line('rate-limit'))}$"
    with pytest.raises(ImportError, match=line):
        RateLimit(Rate.parse("1/s"), "redis://localhost")


async def test_a_store_that_is_not_there_leaves_a_limit_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server logs one warning without the URL, and no call fails."""
    caplog.set_level(logging.INFO, "inkbox_mcp")
    async with limit_of("3/h", f"unix://:hunter2@{tmp_path}/none.sock") as limit:
        assert await taken(limit, 10) == 3
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "the rate-limit store failed (ConnectionError)" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert "none.sock" not in caplog.text


async def test_each_failure_of_the_store_is_counted(tmp_path: Path) -> None:
    """The store is tried again after five seconds, and a second failure counts again."""
    clock, losses = Clock(), Losses()
    limit = RateLimit(Rate.parse("9/h"), f"unix://{tmp_path}/none.sock", metrics=losses, clock=clock)
    assert await taken(limit, 3) == 3
    assert losses.of == ["rate_limit_store"]
    clock.now += 5
    assert await taken(limit, 3) == 3
    assert losses.of == ["rate_limit_store"] * 2


async def test_a_store_that_is_no_redis_leaves_a_limit_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    """The port of the URL may belong to another program, such as an HTTP server."""

    async def answer(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n\xff\xfe")

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
        limit_of("3/h", f"redis://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}") as limit,
    ):
        tasks.start_soon(listener.serve, answer)
        assert await taken(limit, 10) == 3
        tasks.cancel_scope.cancel()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@asynccontextmanager
async def limit_of(rate: str, url: str, clock: Clock | None = None) -> AsyncGenerator[RateLimit]:
    """Make a limit that uses a store, and close its connections at the end."""
    limit = RateLimit(Rate.parse(rate), url, clock=clock or time.monotonic)
    try:
        yield limit
    finally:
        await limit.aclose()


@pytest.mark.slow
async def test_replicas_share_one_limit(tmp_path: Path) -> None:
    """The limit holds even when all replicas receive many calls at once."""
    with redis_on_socket(tmp_path) as (_, url):
        async with limit_of("50/h", url) as one, limit_of("50/h", url) as other, limit_of("50/m", url) as another_rate:
            through: list[int] = []

            async def use(limit: RateLimit) -> None:
                through.append(await taken(limit, 10))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(use, one)
                    tasks.start_soon(use, other)
            assert sum(through) == 50
            assert await taken(one, 1, "someone else") == 1
            assert await taken(another_rate, 60) == 50


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 3, 20])
async def test_the_wait_that_redis_tells_is_right(calls: int, tmp_path: Path) -> None:
    """The wait is right even just after the first call, when the window is less than a millisecond old."""
    with redis_on_socket(tmp_path) as (_, url):
        async with limit_of(f"{calls}/s", url) as limit:
            assert await taken(limit, calls) == calls
            wait = await limit.take("acme")
            assert wait
            assert 0 < wait <= 1.1
            await anyio.sleep(wait)
            assert await limit.take("acme") is None


@pytest.mark.slow
async def test_replicas_count_several_at_once_whole_or_not_at_all(tmp_path: Path) -> None:
    """And more than the rate has never, which is the same answer as without a store."""
    with redis_on_socket(tmp_path) as (_, url):
        async with limit_of("10/h", url) as one, limit_of("10/h", url) as other:
            assert await one.take("acme", 11) == math.inf
            assert await one.take("acme", 8) is None
            wait = await other.take("acme", 4)
            assert wait
            # The 8 must first be of the previous window, and then count as 6.
            assert 3600 < wait <= 4050.1
            assert await other.take("acme", 2) is None
            assert await one.take("acme")


@pytest.mark.slow
async def test_the_wait_for_several_that_redis_tells_is_right(tmp_path: Path) -> None:
    """It lasts longer than the window, because what is in it must count less first."""
    with redis_on_socket(tmp_path) as (_, url):
        async with limit_of("4/s", url) as limit:
            assert await limit.take("acme", 4) is None
            wait = await limit.take("acme", 3)
            assert wait
            assert 0 < wait <= 1.6
            await anyio.sleep(wait)
            assert await limit.take("acme", 3) is None


@pytest.mark.slow
async def test_what_is_counted_is_kept_apart_in_the_store(tmp_path: Path) -> None:
    """Two limits of one rate and for one tenant have nothing in common."""
    with redis_on_socket(tmp_path) as (_, url):
        things = RateLimit(Rate.parse("3/h"), url, counted="things")
        async with limit_of("3/h", url) as calls:
            assert await taken(calls, 9) == 3
            assert await taken(things, 9) == 3
            await things.aclose()


@pytest.mark.slow
async def test_redis_holds_two_short_keys_for_a_tenant_and_none_for_ever(tmp_path: Path) -> None:
    """Keys are short, expire, begin with this project's prefix and do not contain the tenant's name."""
    from redis.asyncio import Redis

    with redis_on_socket(tmp_path) as (_, url):
        client: Any = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        async with limit_of("2/s", url) as limit, client:
            tenants = ["acme", "a{b}/c\r\n*", "é" * 5000]
            for tenant in tenants:
                assert await taken(limit, 5, tenant) == 2
            keys = await client.keys()
            assert len(keys) == len(tenants)
            assert all(key.startswith(b"inkbox-mcp:") and len(key) < 100 and b"acme" not in key for key in keys)
            assert all([0 < await client.pttl(key) <= 2000 for key in keys])


@pytest.mark.slow
async def test_a_password_and_a_wrong_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password counts as a failed store, and the log contains neither password."""
    caplog.set_level(logging.DEBUG)
    with redis_on_port(tmp_path, "hunter2") as (_, url):
        async with limit_of("3/h", url) as one, limit_of("3/h", url) as other:
            assert await taken(one, 2) + await taken(other, 2) == 3
        assert "store failed" not in caplog.text
        async with limit_of("3/h", url.replace("hunter2", "hunter3")) as limit:
            assert await taken(limit, 5) == 3
        assert "store failed (AuthenticationError)" in caplog.text
    assert "hunter" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["dies", "hangs"])
async def test_calls_go_on_without_redis_and_with_it_again(
    failure: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """During the failure each process limits alone, logs its start and end once, and delays no call for long."""
    caplog.set_level(logging.INFO, "inkbox_mcp")
    clock = Clock()
    with redis_on_socket(tmp_path) as (server, url):
        async with limit_of("3/h", url, clock) as limit:
            assert await taken(limit, 2) == 2
            server.kill() if failure == "dies" else server.hang()
            begin = time.perf_counter()
            assert await taken(limit, 100) == 3
            clock.now += STORE_PAUSE
            assert await taken(limit, 100) == 0
            assert time.perf_counter() - begin < 2 * STORE_PATIENCE + 0.5
            server.start() if failure == "dies" else server.go_on()
            assert await taken(limit, 1, "newcomer") == 1
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            clock.now += STORE_PAUSE
            # Redis may count calls after the hang that were sent before the server noticed it.
            assert await taken(limit, 100) in ({3} if failure == "dies" else {0, 1})
            assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.slow
async def test_while_redis_hangs_one_call_waits_for_it_and_the_others_do_not(tmp_path: Path) -> None:
    """Only the one call that tests the connection waits; the others use the limit in memory."""
    clock = Clock()
    with redis_on_socket(tmp_path) as (server, url):
        async with limit_of("1000/h", url, clock) as limit:
            assert await taken(limit, 1) == 1
            server.hang()
            assert await taken(limit, 1) == 1
            clock.now += STORE_PAUSE
            durations: list[float] = []

            async def use() -> None:
                begin = time.perf_counter()
                assert await limit.take("acme") is None
                durations.append(time.perf_counter() - begin)

            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(use)
            assert len([seconds for seconds in durations if seconds > STORE_PATIENCE / 2]) == 1


@pytest.mark.slow
async def test_redis_that_has_restarted_is_asked_again_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead pooled connection alone must not make the server fall back to memory: it connects again."""
    with redis_on_socket(tmp_path) as (server, url):
        async with limit_of("3/h", url) as limit:
            assert await taken(limit, 3) == 3
            server.kill()
            server.start()
            assert await taken(limit, 5) == 3
    assert not caplog.records


@pytest.mark.slow
async def test_calls_that_are_cancelled_leave_no_mixed_up_answers(tmp_path: Path) -> None:
    """The next call must not read the answer that belongs to a cancelled one."""
    with redis_on_socket(tmp_path) as (_, url):
        async with limit_of("1000/h", url) as limit, limit_of("1/h", url) as strict:
            assert await taken(limit, 1) == 1
            for number in range(300):
                with anyio.move_on_after(number % 30 / 20_000):
                    await limit.take("acme")
                    await strict.take("acme")
            assert await taken(strict, 3) <= 1
            assert await taken(strict, 3) == 0
            assert await taken(limit, 600, "other") == 600
