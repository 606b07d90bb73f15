"""A client's pipes as the streams of messages that the SDK reads from and writes to."""

from collections import deque

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

from inkbox_mcp.bounds import MAX_VALUES, is_overloaded
from inkbox_mcp.direct import DirectCalls
from inkbox_mcp.recording import Recorder
from inkbox_mcp.stdio import MAX_LINE, Line, Pipes
from inkbox_mcp.warmstart import Beginning


class Messages(ObjectReceiveStream[SessionMessage], ObjectSendStream[SessionMessage]):
    """Both streams of a conversation."""

    def __init__(self, pipes: Pipes, direct: DirectCalls, beginning: Beginning, line: Line) -> None:
        """Go on with a conversation.

        Args:
            pipes: the client's.
            direct: takes its lines first.
            beginning: what has been said and answered before, which is not answered again.
            line: the first that nobody has answered.
        """
        self._pipes, self._direct = pipes, direct
        self._before: deque[Line] = deque([*(line for line, _ in beginning.exchanges), line])
        self._metadata = ServerMessageMetadata(on_request_unanswered=self._settled)
        self._recorder = Recorder(beginning)

    async def receive(self) -> SessionMessage:
        """Return the next message; what is none is answered with an error.

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
            anyio.BrokenResourceError: the client no longer reads, or this has hung up.
        """
        try:
            await self._write(item.message)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._pipes.settled()
        if self._pipes.hung_up:
            raise anyio.BrokenResourceError

    async def aclose(self) -> None:
        """Read no more; whoever opened the pipes closes them."""
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
