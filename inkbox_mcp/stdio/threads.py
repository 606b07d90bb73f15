"""The streams of the SDK's own stdio transport, which reads and writes in threads.

They are wrapped, so that there, too, a line that is no message is answered, and the end of input waits for running
calls.
"""

from collections import deque
from collections.abc import Callable
from io import TextIOWrapper
from typing import BinaryIO, Protocol

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

from inkbox_mcp.protocol.messages import Refused
from inkbox_mcp.stdio.pipes import SECONDS_TO_FINISH
from inkbox_mcp.stdio.sdk_streams import error_of, read


class Lines(TextIOWrapper):
    """The lines of stdin, as the SDK's own transport reads them in a thread.

    Attributes:
        refusals: the errors to write, one for each blank line that was returned.
    """

    def __init__(self, stdin: BinaryIO) -> None:
        """Read a binary stream as UTF-8."""
        super().__init__(stdin, encoding="utf-8", errors="replace")
        self.refusals: deque[JSONRPCError] = deque()

    def readline(self, size: int = -1, /) -> str:
        """Return the next line that the SDK can read, a blank one in place of a refused one, or nothing at the end."""
        while line := super().readline(size):
            if line.strip():
                try:
                    return read(line.encode()).rewritten or line
                except Refused as refused:
                    self.refusals.append(error_of(refused))
                    return "\n"
        return ""


class _Read(Protocol):
    async def receive(self) -> SessionMessage | Exception: ...
    async def aclose(self) -> None: ...


class _Write(Protocol):
    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class Requests(ObjectReceiveStream[SessionMessage | Exception]):
    """A client's messages. At the end of input, running calls have a second to finish."""

    def __init__(self, lines: Lines, read: _Read, write: _Write, before_end: Callable[[], None]) -> None:
        """Wrap the SDK's stream.

        Args:
            lines: that the SDK reads.
            read: the SDK's stream of messages.
            write: the SDK's stream of answers.
            before_end: called at the end of input, before running calls get their time to finish.
        """
        self._lines, self._read, self._write = lines, read, write
        self._before_end = before_end
        self._metadata = ServerMessageMetadata(on_request_unanswered=self.settled)
        self._under_way = 0
        self._all_settled = anyio.Event()
        self._ended = False

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message. A line that is not a message is answered with an error.

        Raises:
            anyio.EndOfStream: the client closed stdin, and running calls have finished or run out of time.
        """
        try:
            while isinstance(item := await self._read.receive(), Exception) and self._lines.refusals:
                await self._write.send(SessionMessage(self._lines.refusals.popleft()))
        except anyio.EndOfStream:
            self._ended = True
            self._before_end()
            with anyio.move_on_after(SECONDS_TO_FINISH):
                if self._under_way:
                    await self._all_settled.wait()
            raise
        if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
            return item
        self._under_way += 1
        return SessionMessage(item.message, self._metadata)

    async def settled(self) -> None:
        """Count a request as finished: answered, or cancelled."""
        self._under_way -= 1
        if self._ended and not self._under_way:
            self._all_settled.set()

    async def aclose(self) -> None:
        """Stop reading."""
        await self._read.aclose()


class Answers(ObjectSendStream[SessionMessage]):
    """The messages to a client."""

    def __init__(self, stream: _Write, requests: Requests) -> None:
        """Wrap the SDK's stream, and count answered requests as finished."""
        self._stream, self._requests = stream, requests

    async def send(self, item: SessionMessage) -> None:
        """Write a message."""
        try:
            await self._stream.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                await self._requests.settled()

    async def aclose(self) -> None:
        """Stop writing."""
        await self._stream.aclose()
