"""Records the beginning of a conversation, for `inkbox_mcp.stdio.warm_start`."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

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

    def __init__(self, beginning: Beginning, may_record: Callable[[], bool]) -> None:
        """Record from the beginning, which may have been answered from a recording.

        Args:
            beginning: of the conversation.
            may_record: whether the answers would be the same at the next start.
        """
        self._beginning = beginning
        self._may_record = may_record
        self._is_recording = True
        self._answered = [answer for _, answer in beginning.exchanges if answer]
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
        """Record an answer, and return whether the client has it already."""
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id in self._asked:
            self._asked.pop(message.id)[1] = line
        if line in self._answered:
            self._answered.remove(line)
            return True
        return False

    def finish(self) -> None:
        """Write the recording, if every request was answered and it is not on disk yet."""
        was_recording, self._is_recording = self._is_recording, False
        if not was_recording or self._asked or not self._exchanges or not self._may_record():
            return
        folder = self._beginning.folder()  # not before: the conversation may have shown the API's generation
        if folder is None:
            return
        path = Path(folder) / digest(self._exchanges[0][0])
        if [list(exchange) for exchange in read(str(path))] == self._exchanges:
            return
        rest = b"".join(line + b"\n" + (answer or b"\n") for line, answer in self._exchanges)
        with suppress(OSError):  # without a writable home there are no recordings
            keep(path, digest(rest).encode() + b"\n" + rest)
