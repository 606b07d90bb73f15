"""An event loop whose time jumps: where nothing is left to do before the next timer, it is that time at once.

A test with hours of waiting takes milliseconds. Real time passes only while a thread works.
"""

import asyncio
import selectors
from typing import Any

from anyio.to_thread import current_default_thread_limiter


class Jumping(selectors.DefaultSelector):  # pyright: ignore[reportUntypedBaseClass]
    """Waits for nothing but threads.

    Attributes:
        now: the time, in seconds.
        threads: the limiter of the threads that work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.threads: Any = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if that is nothing, let the time pass."""
        if ready := super().select(0):
            return ready
        if timeout is None or (self.threads and self.threads.borrowed_tokens):
            return super().select(timeout)
        self.now += timeout
        return []


class TimeLapse(asyncio.SelectorEventLoop):
    """The event loop."""

    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        """Return the seconds since some moment."""
        return self.jumping.now


async def heed_threads() -> None:
    """Let threads of AnyIO finish before time passes; call this once in each loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TimeLapse)
    loop.jumping.threads = current_default_thread_limiter()


TIME_LAPSE = ("asyncio", {"loop_factory": TimeLapse})
"""What the fixture `anyio_backend` returns for it."""
