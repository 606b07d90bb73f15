"""Reads and writes a client's pipes on the event loop, line by line.

The SDK's own transport reads stdin in a thread that cannot be stopped, and each message crosses threads. Here nothing
blocks when a signal comes, and a call takes two thirds of the time. Terminals, files and Windows need the SDK's
transport; see `inkbox_mcp.stdio.warm_start.pipes_available`.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio

CHUNK = 1 << 18
MAX_LINE = 1 << 24
MAX_UNSENT = 1 << 22
"""The most bytes of unread answers before reading of requests pauses."""
SECONDS_TO_FINISH = 1
"""Seconds that running calls have after the client closed stdin."""

Line = bytes | bytearray | None
"""A line without its line break; None stands for one that was too long."""


class Pipes:
    """A client's two pipes.

    Attributes:
        before_end: called when the client closed stdin, before running calls get their time to finish.
        hung_up: whether nothing more is written.
    """

    def __init__(self, stdin: int, stdout: int, cancel: Callable[[], None], unread: bytes = b"") -> None:
        """Use two non-blocking descriptors.

        Args:
            stdin: to read requests from.
            stdout: to write answers to.
            cancel: cancels the user of the pipes.
            unread: bytes that were read before.
        """
        self._stdin, self._stdout, self._cancel = stdin, stdout, cancel
        self._lines: deque[Line] = deque()
        self._begun = bytearray()
        self._skipping = False
        self._reading = False
        self._arrived = asyncio.Event()
        self._ended = False
        self._unsent = bytearray()
        self._sending = anyio.Lock(fast_acquire=True)
        self._under_way = 0
        self._all_settled = asyncio.Event()
        self.before_end: Callable[[], None] = lambda: None
        self.hung_up = False
        self._cut(unread)

    def hang_up(self) -> None:
        """Stop at once without writing more, so that a client that does not read cannot delay the end."""
        self.hung_up = True
        self._cancel()

    async def line(self) -> Line:
        """Return the next line that is not blank.

        Raises:
            anyio.EndOfStream: the client closed stdin, and running calls have finished or run out of time.
        """
        if len(self._unsent) > MAX_UNSENT:
            await self.send_all()
        while True:
            while not self._lines:
                await self._wait_for_lines()
            line = self._lines.popleft()
            if line is None or line.strip():
                return line

    def begun(self) -> None:
        """Count a request as running; the end of stdin waits for it."""
        self._under_way += 1

    def settled(self) -> None:
        """Count a request as finished: answered, or cancelled."""
        self._under_way -= 1
        if self._ended and not self._under_way:
            self._all_settled.set()

    def write(self, line: bytes) -> None:
        """Queue a line, with its line break, for `send_all`."""
        self._unsent += line

    async def send_all(self) -> None:
        """Write all queued lines. After a cancellation, the rest of a line stays queued."""
        async with self._sending:
            while self._unsent and not self.hung_up:
                try:
                    del self._unsent[: os.write(self._stdout, self._unsent)]
                except BlockingIOError:
                    await anyio.wait_writable(self._stdout)
                except OSError:
                    self.hang_up()

    def close(self) -> None:
        """Stop reading. The pipes stay open: their opener closes them."""
        self._read_on(False)

    async def _wait_for_lines(self) -> None:
        if self._ended:
            self.before_end()
            with anyio.move_on_after(SECONDS_TO_FINISH):
                if self._under_way:
                    await self._all_settled.wait()
                await self.send_all()
            raise anyio.EndOfStream
        self._read_on(True)
        self._arrived.clear()
        await self._arrived.wait()

    def _read_on(self, reading: bool) -> None:
        if reading != self._reading:
            self._reading = reading
            loop = asyncio.get_running_loop()
            loop.add_reader(self._stdin, self._read) if reading else loop.remove_reader(self._stdin)

    def _read(self) -> None:
        if self._lines:  # stop reading until these are processed
            self._read_on(False)
            return
        try:
            data = os.read(self._stdin, CHUNK)
        except BlockingIOError:  # another process read from the same pipe
            return
        except OSError:
            data = b""
        if not data:
            self._ended = True
            self._read_on(False)
        self._cut(data or b"\n")
        self._arrived.set()

    def _cut(self, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        self._begun += first
        if len(self._begun) > MAX_LINE:
            self._begun = bytearray()
            if not self._skipping:
                self._lines.append(None)
            self._skipping = True
        if rest:
            if not self._skipping:
                self._lines.append(self._begun)
            self._skipping = False
            self._begun = bytearray(rest.pop())
            self._lines += rest


@contextmanager
def taken_over() -> Generator[tuple[int, int]]:
    """Yield non-blocking descriptors of stdin and stdout. Meanwhile 0 reads nothing, and 1 writes to stderr.

    At the end both are restored, because the parent process may use the same pipes afterwards.
    """
    own, blocked = (os.dup(0), os.dup(1)), (os.get_blocking(0), os.get_blocking(1))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        for fd in own:
            os.set_blocking(fd, False)
        yield own
    finally:
        for fd in (0, 1):
            os.set_blocking(own[fd], blocked[fd])
            os.dup2(own[fd], fd)
            os.close(own[fd])
