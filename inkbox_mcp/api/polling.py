"""Asks the API again and again for what several calls wait for, once for all of them.

No task runs in the background. One of the waiting calls makes each request, and the others take its outcome. If that
call ends in between, another one makes the next request.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import anyio

from inkbox_mcp.calls import current
from inkbox_mcp.errors import InkboxError, Unreachable

T = TypeVar("T")

PACE = (1.0, 1.5, 2.0, 3.0)
"""Seconds between requests since the latest call began to wait; the last one repeats."""

SECONDS_TO_ASK = 10.0
"""Seconds that a request may take. Then there is another one, because the connection may be dead."""

LONGEST_PAUSE = 3600.0
"""The most seconds without a request when the API asks for patience."""


@dataclass(frozen=True, slots=True)
class Look(Generic[T]):
    """The outcome of a request.

    Attributes:
        began: when the request began, in seconds of the event loop's clock.
        found: the answer; None if the request failed.
        error: why it failed.
        clock: the seconds by which the API's clock is ahead of the event loop's, as in `Call`; None if it is not known.
    """

    began: float
    found: T | None = None
    error: InkboxError | None = None
    clock: float | None = None


class Polls:
    """The requests of one key, by name. When the API asks for patience, it means all of them."""

    def __init__(self) -> None:
        self._by_name: WeakValueDictionary[str, Poll[Any]] = WeakValueDictionary()
        self.patient_until = -inf
        self.refused: InkboxError | None = None

    def of(self, name: str) -> "Poll[Any]":
        """Return the requests for one thing. They are forgotten when no call waits for it."""
        return self._by_name.setdefault(name, Poll(self))


class Poll(Generic[T]):
    """The requests for one thing.

    Attributes:
        kept: what the calls that wait for it have read, so that each of them need not read it again.
        reading: is held by the call that reads something for all of them.

    Args:
        polls: of the key.
    """

    def __init__(self, polls: Polls) -> None:
        self._polls = polls
        self._latest: Look[T] = Look(-inf)
        self._asking = anyio.Lock()
        self._began = self._due = -inf
        self._looks = 0
        self.kept: dict[str, Any] = {}
        self.reading = anyio.Lock()

    def join(self) -> float:
        """Begin to wait: the requests come in quick succession again.

        Returns:
            The moment after which the first look must have begun: one that was just made will do.
        """
        self._looks = 0
        self._due = min(self._due, self._began + PACE[0])
        return anyio.current_time() - PACE[0]

    async def look(self, ask: Callable[[], Awaitable[T]], after: float, until: float) -> Look[T] | None:
        """Return the outcome of a request that began after a moment; make the request if it is due.

        Args:
            ask: makes the request, once.
            after: the moment of `join`, or when the latest look began that the call has seen.
            until: when the call stops waiting, in seconds of the event loop's clock. What is under way goes on.

        Returns:
            None if there is no time left, or the server is about to stop.
        """
        while self._latest.began <= after:
            now = anyio.current_time()
            if now >= until:
                return None
            due = max(self._due, self._polls.patient_until)
            if due > now:
                if not await current().pause(min(due, until) - now):
                    return None
                continue
            async with self._asking:
                # While this call waited for the lock, another one may have asked, or failed to.
                if self._latest.began <= after and self._is_due():
                    await self._ask(ask)
        return self._latest

    def obey(self, error: InkboxError) -> None:
        """Make no request before the API allows it again, also for other things.

        Args:
            error: the outcome of any request with the same key.
        """
        pause = min(error.retry_after or 0, LONGEST_PAUSE)
        until = anyio.current_time() + pause
        if pause and until >= self._polls.patient_until:
            self._polls.patient_until, self._polls.refused = until, error

    @property
    def refused(self) -> InkboxError | None:
        """The error by which the API asked for patience, as long as it does."""
        return self._polls.refused if self._polls.patient_until > anyio.current_time() else None

    def _is_due(self) -> bool:
        return max(self._due, self._polls.patient_until) <= anyio.current_time()

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._began = began = anyio.current_time()
        # Before the request: if its call ends, the next request is not sooner.
        self._due = began + PACE[min(self._looks, len(PACE) - 1)]
        self._looks += 1
        found, error = None, None
        try:
            with anyio.fail_after(SECONDS_TO_ASK):
                found = await ask()
        except TimeoutError:
            error = Unreachable(f"Inkbox did not answer for {SECONDS_TO_ASK:g} seconds.")
        except InkboxError as problem:
            error = problem
            self.obey(error)
        self._latest = Look(began, found, error, current().clock)
