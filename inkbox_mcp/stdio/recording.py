"""Records the beginning of a conversation, for `inkbox_mcp.stdio.warm_start`."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId
from pydantic_core import from_json

from inkbox_mcp.cache.place import digest
from inkbox_mcp.cache.writing import keep
from inkbox_mcp.stdio.warm_start import Beginning, read

# Methods whose answers never change, errors included.
SAME_EVERY_TIME = {
    "initialize",
    "notifications/initialized",
    "server/discover",
    "ping",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
}
MOST_LINES = 16


class Recorder:
    """Records a conversation up to the first request whose answer may change."""

    def __init__(self, beginning: Beginning, generation: Callable[[], str | None]) -> None:
        """Record from the beginning, which may have been answered from a recording.

        Args:
            beginning: of the conversation.
            generation: returns the generation of the API whose tools all answers show and the next start will show;
                None if there is no such generation.
        """
        self._beginning = beginning
        self._generation = generation
        self._is_recording = True
        self._answered = [from_json(answer)["id"] for _, answer in beginning.exchanges if answer]
        self._exchanges: list[list[bytes]] = []
        self._asked: dict[RequestId, list[bytes]] = {}

    def heard(self, line: bytes, message: JSONRPCMessage | None) -> None:
        """Record a line of the client; `message` is None if the line is not a message."""
        if not self._is_recording:
            return
        asks = isinstance(message, JSONRPCRequest | JSONRPCNotification) and message.method in SAME_EVERY_TIME
        if not asks or len(self._exchanges) >= MOST_LINES:
            self.finish()
            return
        self._exchanges.append([line, b""])
        if isinstance(message, JSONRPCRequest):
            if message.id in self._asked:  # two open requests share an id, so their answers cannot be distinguished
                self._is_recording = False
            self._asked[message.id] = self._exchanges[-1]

    def said(self, message: JSONRPCMessage, line: bytes) -> bool:
        """Record an answer, and return whether the client has one already."""
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            return False
        if message.id in self._asked:
            self._asked.pop(message.id)[1] = line
        # Not by its text: since the recording was read, the tools may have become others.
        if message.id in self._answered:
            self._answered.remove(message.id)
            return True
        return False

    def finish(self) -> None:
        """Write the recording, if every request was answered and it is not on disk yet."""
        was_recording, self._is_recording = self._is_recording, False
        if not was_recording or self._asked or not self._exchanges:
            return
        # In this order: another process may learn another generation in between. Not before, because this conversation
        # may have shown the generation.
        folder = self._beginning.folder()
        generation = self._generation()
        if folder is None or generation is None:
            return
        path = Path(folder) / digest(self._exchanges[0][0])
        before, exchanges = read(str(path))
        if before == generation and [list(exchange) for exchange in exchanges] == self._exchanges:
            return
        lines = b"".join(line + b"\n" + (answer or b"\n") for line, answer in self._exchanges)
        rest = generation.encode() + b"\n" + lines
        with suppress(OSError):  # without a writable home there are no recordings
            keep(path, digest(rest).encode() + b"\n" + rest)
