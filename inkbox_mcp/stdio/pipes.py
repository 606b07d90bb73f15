"""A client's pipes, read and written on the event loop, line by line.

The SDK's own transport has a thread that waits for stdin and cannot be told to stop, and each message crosses threads.
Here a signal finds nothing that blocks, and a call takes two thirds of the time. Where stdin or stdout is no pipe, but
a terminal, a file or anything on Windows, `inkbox_mcp.stdio.warm_start.pipes_available` says no.
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
"""How many bytes of answers may wait for the client to read them before no more requests are taken."""
SECONDS_TO_FINISH = 1
"""How long calls under way may go on when the client has closed stdin."""

Line = bytes | bytearray | None
"""A line without its end; None is one that was too long."""


class Pipes:
    """Both of a client's pipes."""

    def __init__(self, stdin: int, stdout: int, cancel: Callable[[], None], unread: bytes = b"") -> None:
        """Serve two descriptors that do not block.

        Args:
            stdin: where requests come from.
            stdout: where answers go.
            cancel: ends whoever uses this.
            unread: what has been read before.
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
        self.hung_up = False
        self._cut(unread)

    def hang_up(self) -> None:
        """End at once: nothing more is written, so that a client that does not read cannot put the end off."""
        self.hung_up = True
        self._cancel()

    async def line(self) -> Line:
        """Return the next line that is not blank.

        Raises:
            anyio.EndOfStream: the client has closed stdin, and has its answers or waited long enough.
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
        """Note that a request came, which the end of stdin will not cut short at once."""
        self._under_way += 1

    def settled(self) -> None:
        """Note that a request has its answer, or needs none any more."""
        self._under_way -= 1
        if self._ended and not self._under_way:
            self._all_settled.set()

    def write(self, line: bytes) -> None:
        """Put a line, with its end, behind those that wait; `send_all` sends them."""
        self._unsent += line

    async def send_all(self) -> None:
        """Write what waits; when this is cancelled, the rest of a line stays for whoever writes next."""
        async with self._sending:
            while self._unsent and not self.hung_up:
                try:
                    del self._unsent[: os.write(self._stdout, self._unsent)]
                except BlockingIOError:
                    await anyio.wait_writable(self._stdout)
                except OSError:
                    self.hang_up()

    def close(self) -> None:
        """Read no more; whoever opened the pipes closes them."""
        self._read_on(False)

    async def _wait_for_lines(self) -> None:
        if self._ended:
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
        if self._lines:  # as long as nobody takes them, no more are read
            self._read_on(False)
            return
        try:
            data = os.read(self._stdin, CHUNK)
        except BlockingIOError:  # another process reads the same pipe
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
    """Yield descriptors of stdin and stdout that do not block; meanwhile 0 reads nothing, and 1 writes to stderr.

    At the end all is as it was: whoever started this process may use the same pipes after it.
    """
    own, blocked = (os.dup(0), os.dup(1)), (os.get_blocking(0), os.get_blocking(1))
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
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
