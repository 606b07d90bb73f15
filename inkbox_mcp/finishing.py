"""The streams of the SDK's own stdio transport, of which the end of input waits for the calls that are under way."""

from typing import Protocol

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

from inkbox_mcp.stdio import SECONDS_TO_FINISH


class _Read(Protocol):
    async def receive(self) -> SessionMessage | Exception: ...
    async def aclose(self) -> None: ...


class _Write(Protocol):
    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class Requests(ObjectReceiveStream[SessionMessage | Exception]):
    """What a client says; at its end, calls under way have a second to finish."""

    def __init__(self, stream: _Read) -> None:
        """Read the SDK's stream."""
        self._stream = stream
        self._metadata = ServerMessageMetadata(on_request_unanswered=self.settled)
        self._under_way = 0
        self._all_settled = anyio.Event()
        self._ended = False

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message.

        Raises:
            anyio.EndOfStream: the client has closed stdin, and has its answers or waited long enough.
        """
        try:
            item = await self._stream.receive()
        except anyio.EndOfStream:
            self._ended = True
            with anyio.move_on_after(SECONDS_TO_FINISH):
                if self._under_way:
                    await self._all_settled.wait()
            raise
        if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
            return item
        self._under_way += 1
        return SessionMessage(item.message, self._metadata)

    async def settled(self) -> None:
        """Note that a request has its answer, or needs none any more."""
        self._under_way -= 1
        if self._ended and not self._under_way:
            self._all_settled.set()

    async def aclose(self) -> None:
        """Read no more."""
        await self._stream.aclose()


class Answers(ObjectSendStream[SessionMessage]):
    """What a client is answered."""

    def __init__(self, stream: _Write, requests: Requests) -> None:
        """Write to the SDK's stream, and tell the other when a request has its answer."""
        self._stream, self._requests = stream, requests

    async def send(self, item: SessionMessage) -> None:
        """Write a message."""
        try:
            await self._stream.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                await self._requests.settled()

    async def aclose(self) -> None:
        """Write no more."""
        await self._stream.aclose()
