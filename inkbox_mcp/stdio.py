"""A client's pipes, read and written on the event loop.

The SDK's own transport has a thread that waits for stdin and cannot be told to stop, and each message crosses threads.
Here a signal finds nothing that blocks, and a call takes two thirds of the time. Where stdin or stdout is no pipe, but
a terminal, a file or anything on Windows, `inkbox_mcp.pipes` says no.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from inkbox_mcp.recording import Recorder
from inkbox_mcp.warmstart import Beginning

CHUNK = 1 << 18
MAX_LINE = 1 << 24
MAX_UNSENT = 1 << 22
"""How many bytes of answers may wait for the client to read them before no more requests are taken."""
SECONDS_TO_FINISH = 1
"""How long calls under way may go on when the client has closed stdin."""


class Pipes(ObjectReceiveStream[SessionMessage], ObjectSendStream[SessionMessage]):
    """Both of a client's pipes, as the stream to read from and the stream to write to that the SDK asks for."""

    def __init__(self, stdin: int, stdout: int, cancel: Callable[[], None], beginning: Beginning | None = None) -> None:
        """Serve two descriptors that do not block.

        Args:
            stdin: where requests come from.
            stdout: where answers go.
            cancel: ends whoever uses this.
            beginning: what has been read and answered before.
        """
        self._stdin, self._stdout, self._cancel = stdin, stdout, cancel
        self._lines: deque[bytes | bytearray | None] = deque()  # None is one that was too long
        self._begun = bytearray()
        self._skipping = False
        self._reading = False
        self._arrived = asyncio.Event()
        self._ended = False
        self._unsent = bytearray()
        self._sending = anyio.Lock(fast_acquire=True)
        self._hung_up = False
        self._under_way = 0
        self._all_settled = asyncio.Event()
        self._metadata = ServerMessageMetadata(on_request_unanswered=self._settled)
        beginning = beginning or Beginning()
        self._recorder = Recorder(beginning)
        self._cut(b"".join(line + b"\n" for line, _ in beginning.exchanges) + beginning.unread)

    def hang_up(self) -> None:
        """End at once: nothing more is written, so that a client that does not read cannot put the end off."""
        self._hung_up = True
        self._cancel()

    async def receive(self) -> SessionMessage:
        """Return the next message; what is none is answered with an error.

        Raises:
            anyio.EndOfStream: the client has closed stdin, and has its answers or waited long enough.
        """
        while True:
            if len(self._unsent) > MAX_UNSENT:
                await self._send_all()
            while not self._lines:
                await self._wait_for_lines()
            line = self._lines.popleft()
            message = await self._message(line)
            self._recorder.heard(bytes(line or b""), message)
            if message is not None:
                self._under_way += isinstance(message, JSONRPCRequest)
                return SessionMessage(message, self._metadata)

    async def send(self, item: SessionMessage) -> None:
        """Write a message.

        Raises:
            anyio.BrokenResourceError: the client no longer reads, or this has hung up.
        """
        try:
            await self._write(item.message)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                await self._settled()
        if self._hung_up:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Read no more; whoever opened the pipes closes them."""
        self._recorder.finish()
        self._read_on(False)

    async def _message(self, line: bytes | bytearray | None) -> JSONRPCMessage | None:
        if line is None:
            await self._refuse(INVALID_REQUEST, f"A line is longer than {MAX_LINE} bytes")
        elif line.strip():
            try:
                return jsonrpc_message_adapter.validate_json(line.decode(errors="replace"), by_name=False)
            except ValidationError as error:
                if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
                    await self._refuse(PARSE_ERROR, "Not JSON")
                else:
                    await self._refuse(INVALID_REQUEST, "Not a JSON-RPC message")
        return None

    async def _refuse(self, code: int, message: str) -> None:
        await self._write(JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message)))

    async def _wait_for_lines(self) -> None:
        if self._ended:
            with anyio.move_on_after(SECONDS_TO_FINISH):
                if self._under_way:
                    await self._all_settled.wait()
                await self._send_all()
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

    async def _write(self, message: JSONRPCMessage) -> None:
        line = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        if not self._recorder.said(message, line):
            self._unsent += line
        await self._send_all()

    async def _send_all(self) -> None:
        """Write what waits; when this is cancelled, the rest of a line stays for whoever writes next."""
        async with self._sending:
            while self._unsent and not self._hung_up:
                try:
                    del self._unsent[: os.write(self._stdout, self._unsent)]
                except BlockingIOError:
                    await anyio.wait_writable(self._stdout)
                except OSError:
                    self.hang_up()

    async def _settled(self) -> None:
        self._under_way -= 1
        if self._ended and not self._under_way:
            self._all_settled.set()


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
