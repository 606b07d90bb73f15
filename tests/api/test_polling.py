"""The requests that several waiting calls share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

import anyio
import pytest

from inkbox_mcp.api import polling
from inkbox_mcp.api.polling import Look, Poll, Polls
from inkbox_mcp.calls import Ending, begin, current
from inkbox_mcp.errors import RateLimited, Unavailable, Unreachable
from tests.support.time_lapse import TIME_LAPSE


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


class Asked:
    """Counts requests, and says when they came."""

    def __init__(self, seconds: float = 0.0, *errors: Exception) -> None:
        self.seconds, self.errors = seconds, list(errors)
        self.moments: list[float] = []

    async def __call__(self) -> int:
        self.moments.append(anyio.current_time())
        await anyio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return len(self.moments)

    def pauses(self) -> list[float]:
        """Return the seconds between the requests."""
        return [round(later - earlier, 3) for earlier, later in zip(self.moments, self.moments[1:], strict=False)]


async def follow(poll: Poll[int], asked: Asked, seconds: float) -> list[Look[int]]:
    """Wait, and return all that was seen."""
    seen: list[Look[int]] = []
    with begin(seconds + 5):
        after, until = poll.join(), anyio.current_time() + seconds
        while look := await poll.look(asked, after, until):
            seen.append(look)
            after = look.began
    return seen


async def test_requests_become_rarer_and_begin_anew_with_each_call() -> None:
    """The pauses are 1, 1.5, 2 and then 3 seconds; a call that begins later finds the quick ones again."""
    poll, asked = Polls().of("inbound sales"), Asked()
    before = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, poll, asked, 20.0)
        await anyio.sleep(14)
        before = len(asked.moments)
        tasks.start_soon(follow, poll, asked, 6.0)
    assert asked.pauses()[:5] == [1.0, 1.5, 2.0, 3.0, 3.0]
    assert asked.pauses()[before : before + 3] == [1.0, 1.5, 2.0]


async def test_many_calls_make_one_request_at_a_time() -> None:
    """Each call sees each outcome, also if an answer takes longer than the pause."""
    for seconds in (0.0, 1.7):
        poll, asked = Polls().of("inbound sales"), Asked(seconds)
        seen: list[int] = []

        async def wait(poll: Poll[int] = poll, asked: Asked = asked, seen: list[int] = seen) -> None:
            seen.append(len(await follow(poll, asked, 10)))

        async with anyio.create_task_group() as tasks:
            for _ in range(300):
                tasks.start_soon(wait)
        assert min(asked.pauses()) >= 1.0
        assert set(seen) == {len(asked.moments)}


async def test_calls_that_come_one_after_another_share_what_was_just_asked() -> None:
    """A request that began within the last second is recent enough for a call that begins."""
    poll, asked = Polls().of("inbound sales"), Asked()
    for _ in range(50):
        assert len(await follow(poll, asked, 0.0)) <= 1
        with begin(9):
            assert await poll.look(asked, poll.join(), inf)
        await anyio.sleep(0.1)
    assert min(asked.pauses()) >= 1.0
    assert len(asked.moments) == 5


async def test_a_cancelled_leader_stops_nobody() -> None:
    """Another call asks when the next request is due, and none of them sooner."""
    poll, asked, seen = Polls().of("inbound sales"), Asked(0.5), list[Look[int]]()

    async def wait() -> None:
        seen.extend(await follow(poll, asked, 2.0))

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0.25):
            await follow(poll, asked, 50)
        tasks.start_soon(wait)
    assert asked.pauses()[0] == 1.0
    assert [look.found for look in seen] == [2, 3]


async def test_a_request_that_hangs_is_given_up_and_repeated() -> None:
    """The connection may be dead; the other calls learn that it failed."""
    poll, asked = Polls().of("inbound sales"), Asked(3600)
    seen = await follow(poll, asked, 25)
    assert [type(look.error) for look in seen] == [Unreachable] * 3
    assert asked.pauses() == [polling.SECONDS_TO_ASK] * 2


@pytest.mark.parametrize("error", [RateLimited(429, None, 30.0), Unavailable(503, None, 30.0)])
async def test_the_api_gets_the_pause_that_it_asks_for(error: Exception) -> None:
    """It holds for everything that is asked for with the key, and although the first call has ended meanwhile."""
    polls = Polls()
    asked, others, alien = Asked(0.0, error), Asked(), Asked()
    began = anyio.current_time()
    assert len(await follow(polls.of("inbound sales"), asked, 5.0)) == 1
    await follow(polls.of("inbound sales"), asked, 60.0)
    assert asked.pauses()[0] == 30.0
    asked.errors.append(error)
    await follow(polls.of("inbound sales"), asked, 1.0)
    refused = asked.moments[-1]
    assert await follow(polls.of("inbound billing"), others, 60.0)
    assert others.moments[0] >= refused + 30.0 > began + 60.0
    await follow(Polls().of("inbound sales"), alien, 0.5)
    assert len(alien.moments) == 1


async def test_a_pause_of_years_ends_after_an_hour() -> None:
    """A wrong header must not end all waiting for good."""
    polls, asked = Polls(), Asked(0.0, RateLimited(429, None, 999_999_999.0))
    await follow(polls.of("inbound sales"), asked, 5.0)
    assert await follow(polls.of("inbound sales"), asked, 4000.0)
    assert asked.pauses()[0] == polling.LONGEST_PAUSE


async def test_the_clock_of_the_call_that_asked_comes_with_the_outcome() -> None:
    """The others have no answer of their own to know it from."""
    poll = Polls().of("inbound sales")

    async def ask() -> int:
        current().clock = 7.0
        return 1

    with begin(9):
        assert (await poll.look(ask, poll.join(), inf)) == Look(anyio.current_time(), 1, None, 7.0)
    with begin(9):
        assert (await poll.look(ask, poll.join(), inf)) == Look(anyio.current_time(), 1, None, 7.0)
        assert current().clock is None


async def test_a_server_that_stops_ends_the_pause() -> None:
    """A call that waits for the next request returns at once."""

    @asynccontextmanager
    async def waiting() -> AsyncGenerator[Ending]:
        ending = Ending()
        poll = Polls().of("inbound sales")

        async def wait() -> None:
            with begin(0) as call:
                call.begin_to_wait(3600, ending)
                look = await poll.look(Asked(), poll.join(), inf)
                assert look
                assert await poll.look(Asked(), look.began, inf) is None

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.5)
            yield ending

    began = anyio.current_time()
    async with waiting() as ending:
        ending.set()
    assert anyio.current_time() == began + 0.5


async def test_what_nobody_waits_for_is_forgotten() -> None:
    """Two calls for one thing share it, and other names are other things."""
    polls = Polls()
    poll = polls.of("inbound sales")
    assert polls.of("inbound sales") is poll
    assert polls.of("inbound billing") is not poll
    asked = Asked()
    await follow(poll, asked, 0.5)
    del poll
    await follow(polls.of("inbound sales"), asked, 0.5)
    assert len(asked.moments) == 2
