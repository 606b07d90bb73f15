"""The message streams that the SDK reads and writes over a client's pipes."""

from collections import deque
from collections.abc import Callable

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import ErrorData, JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse

from inkbox_mcp.protocol.messages import Received, Refused, id_in, received
from inkbox_mcp.protocol.overload import MAX_VALUES, is_overloaded
from inkbox_mcp.stdio.direct import DirectCalls
from inkbox_mcp.stdio.pipes import MAX_LINE, Line, Pipes
from inkbox_mcp.stdio.recording import Recorder
from inkbox_mcp.stdio.warm_start import Beginning


class Messages(ObjectReceiveStream[SessionMessage], ObjectSendStream[SessionMessage]):
    """The two streams of a conversation over pipes."""

    def __init__(
        self, pipes: Pipes, direct: DirectCalls, beginning: Beginning, line: Line, generation: Callable[[], str | None]
    ) -> None:
        """Continue a conversation.

        Args:
            pipes: the client's.
            direct: gets the client's lines first.
            beginning: the lines that were answered before; the SDK gets them too, but its answers are dropped.
            line: the first unanswered line.
            generation: see `Recorder`.
        """
        self._pipes, self._direct = pipes, direct
        self._before: deque[Line] = deque([*(line for line, _ in beginning.exchanges), line])
        self._metadata = ServerMessageMetadata(on_request_unanswered=self._settled)
        self._recorder = Recorder(beginning, generation)

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
        try:
            return read(line).message
        except Refused as refused:
            # Not by the recorder, which would take the error for the answer to an earlier request with the same id.
            self._pipes.write(_written(error_of(refused)))
            await self._pipes.send_all()
            return None

    async def _write(self, message: JSONRPCMessage) -> None:
        line = _written(message)
        if self._recorder.said(message, line):
            self._direct.keep_list()
        else:
            self._pipes.write(line)
        await self._pipes.send_all()

    async def _settled(self) -> None:
        self._pipes.settled()


def read(line: Line) -> Received:
    """Parse a line.

    Raises:
        Refused: it is no message, or the SDK cannot read it.
    """
    if line is None:
        raise Refused(f"A line is longer than {MAX_LINE} bytes")
    text = line.decode(errors="replace")
    if is_overloaded(line):
        raise Refused(f"A message has more than {MAX_VALUES} values beside arguments", request_id=id_in(text))
    return received(text)


def error_of(refused: Refused) -> JSONRPCError:
    """Return the answer to a refused message."""
    return JSONRPCError(jsonrpc="2.0", id=refused.request_id, error=ErrorData.model_validate(refused.error))


def _written(message: JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
