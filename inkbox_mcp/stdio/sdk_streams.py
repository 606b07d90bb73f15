"""The message streams that the SDK reads and writes.

`Messages` uses a client's pipes. `Requests` and `Answers` wrap the streams of the SDK's own stdio transport, so that
the end of input also waits for running calls there.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

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

from inkbox_mcp.protocol.overload import MAX_VALUES, is_overloaded
from inkbox_mcp.stdio.direct import DirectCalls
from inkbox_mcp.stdio.pipes import MAX_LINE, SECONDS_TO_FINISH, Line, Pipes
from inkbox_mcp.stdio.recording import Recorder
from inkbox_mcp.stdio.warm_start import Beginning


class Messages(ObjectReceiveStream[SessionMessage], ObjectSendStream[SessionMessage]):
    """The two streams of a conversation over pipes."""

    def __init__(
        self, pipes: Pipes, direct: DirectCalls, beginning: Beginning, line: Line, may_record: Callable[[], bool]
    ) -> None:
        """Continue a conversation.

        Args:
            pipes: the client's.
            direct: gets the client's lines first.
            beginning: the lines that were answered before; the SDK gets them too, but its answers are dropped.
            line: the first unanswered line.
            may_record: see `Recorder`.
        """
        self._pipes, self._direct = pipes, direct
        self._before: deque[Line] = deque([*(line for line, _ in beginning.exchanges), line])
        self._metadata = ServerMessageMetadata(on_request_unanswered=self._settled)
        self._recorder = Recorder(beginning, may_record)

    async def receive(self) -> SessionMessage:
        """Return the next message. A line that is not a message is answered with an error.

        Raises:
            anyio.EndOfStream: see `Pipes.line`.
        """
        while True:
            line = self._before.popleft() if self._before else await self._direct.next_line()
            message = await self._message(line)
            self._recorder.heard(bytes(line or b""), message)
            if message is not None:
                if isinstance(message, JSONRPCRequest):
                    self._pipes.begun()
                return SessionMessage(message, self._metadata)

    async def send(self, item: SessionMessage) -> None:
        """Write a message.

        Raises:
            anyio.BrokenResourceError: the client closed stdout, or the pipes hung up.
        """
        try:
            await self._write(item.message)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._pipes.settled()
        if self._pipes.hung_up:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Stop reading. The pipes stay open: their opener closes them."""
        self._recorder.finish()
        self._pipes.close()

    async def _message(self, line: Line) -> JSONRPCMessage | None:
        if line is None:
            await self._refuse(INVALID_REQUEST, f"A line is longer than {MAX_LINE} bytes")
            return None
        if is_overloaded(line):
            await self._refuse(INVALID_REQUEST, f"A message has more than {MAX_VALUES} values beside arguments")
            return None
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

    async def _write(self, message: JSONRPCMessage) -> None:
        line = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        if not self._recorder.said(message, line):
            self._pipes.write(line)
        await self._pipes.send_all()

    async def _settled(self) -> None:
        self._pipes.settled()


class _Read(Protocol):
    async def receive(self) -> SessionMessage | Exception: ...
    async def aclose(self) -> None: ...


class _Write(Protocol):
    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class Requests(ObjectReceiveStream[SessionMessage | Exception]):
    """A client's messages. At the end of input, running calls have a second to finish."""

    def __init__(self, stream: _Read, before_end: Callable[[], None]) -> None:
        """Wrap the SDK's stream.

        Args:
            stream: the SDK's.
            before_end: called at the end of input, before running calls get their time to finish.
        """
        self._stream = stream
        self._before_end = before_end
        self._metadata = ServerMessageMetadata(on_request_unanswered=self.settled)
        self._under_way = 0
        self._all_settled = anyio.Event()
        self._ended = False

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message.

        Raises:
            anyio.EndOfStream: the client closed stdin, and running calls have finished or run out of time.
        """
        try:
            item = await self._stream.receive()
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
        await self._stream.aclose()


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
