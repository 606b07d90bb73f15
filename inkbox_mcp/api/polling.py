"""Asks the API again and again for what several calls wait for, once for all of them.

No task runs in the background. One of the waiting calls makes each request, and the others take its outcome. If that
call ends in between, another one makes the next request.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

import anyio

from inkbox_mcp.calls import current
from inkbox_mcp.errors import InkboxError

T = TypeVar("T")

PACE = (1.0, 1.5, 2.0, 3.0)
"""Seconds between requests since the latest call began to wait; the last one repeats."""

SECONDS_TO_LOOK = 4.0
"""Seconds that a request may take beyond the end of the wait."""


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """The outcome of a request.

    Attributes:
        number: larger for each later request.
        found: the answer; None if the request failed.
        error: why it failed.
    """

    number: int
    found: T | None = None
    error: InkboxError | None = None


class Poll(Generic[T]):
    """The requests for one thing.

    Attributes:
        latest: the latest outcome; its number is 0 before the first one.
    """

    def __init__(self) -> None:
        self.latest: Look[T] = Look(0)
        self._asking = anyio.Lock()
        self._began = self._due = -inf
        self._looks = 0

    def join(self) -> None:
        """Begin to wait: the requests come in quick succession again, unless the API has asked for patience."""
        self._looks = 0
        if self.latest.error is None:
            self._due = min(self._due, self._began + PACE[0])

    async def look(self, ask: Callable[[], Awaitable[T]], after: int, until: float) -> Look[T] | None:
        """Return the outcome of a request that was made after another one; make the request if it is due.

        Args:
            ask: makes the request.
            after: the number of the latest outcome that the call has seen; 0 if it has seen none.
            until: when the call stops waiting, in seconds of the event loop's clock. The first look is made even so.

        Returns:
            None if there is no time left, or the server is about to stop.
        """
        while not self._is_news(after):
            now = anyio.current_time()
            if after and now >= until:
                return None
            if self._due > now:
                due = min(self._due, until) if after else self._due
                if not await current().pause(due - now):
                    return None
                continue
            with anyio.move_on_after(max(until - now, 0) + SECONDS_TO_LOOK) as waiting:
                async with self._asking:
                    if not self._is_news(after) and self._due <= anyio.current_time():
                        await self._ask(ask)
            if waiting.cancelled_caught:
                return None
        return self.latest

    def _is_news(self, after: int) -> bool:
        """Whether the latest outcome is later than another one. For a call that begins to wait, it must be recent."""
        if after:
            return self.latest.number > after
        return self.latest.number > 0 and anyio.current_time() - self._began <= PACE[0]

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._began = anyio.current_time()
        # Before the request: if its call ends, the next request is not sooner.
        self._due = self._began + PACE[min(self._looks, len(PACE) - 1)]
        self._looks += 1
        number = self.latest.number + 1
        try:
            self.latest = Look(number, await ask())
        except InkboxError as error:
            self.latest = Look(number, error=error)
            self._due = max(self._due, anyio.current_time() + (error.retry_after or 0))
