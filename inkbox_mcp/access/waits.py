"""Limits how many calls of tools that wait each caller has at the same time.

Such a call may last a minute and holds no turn of others, so neither the time limit nor the limit of requests bounds
their number.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import anyio

from inkbox_mcp.errors import TooManyWaits

T = TypeVar("T")


class Waits:
    """The calls of a server that wait.

    Args:
        most: that one caller may have at the same time.
        shared: whether all callers have one name, and so share the limit.
    """

    def __init__(self, most: int, *, shared: bool) -> None:
        self._most, self._shared = most, shared
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_of(self, caller: str) -> Generator[None]:
        """Count a call as waiting while the context lasts, however it ends.

        Args:
            caller: the name of the caller.

        Raises:
            TooManyWaits: the caller has the most already.
        """
        if self._open[caller] >= self._most:
            raise TooManyWaits(self._most, shared=self._shared)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


async def unless(happens: Callable[[], Awaitable[None]], run: Callable[[], Awaitable[T]], error: type[Exception]) -> T:
    """Run something to its end, unless something else happens before.

    Args:
        happens: returns when it has happened.
        run: returns the result; is cancelled when the other thing happens.
        error: to raise then.
    """
    ended: list[T] = []
    failed: list[Exception] = [error()]

    async def to_the_end() -> None:
        try:
            ended.append(await run())
        except Exception as caught:  # noqa: BLE001 - raised below: a task group would wrap it
            failed[0] = caught
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(to_the_end)
        await happens()
        tasks.cancel_scope.cancel()
    if ended:
        return ended[0]
    raise failed[0]
