"""The recordings of how conversations begin, see `inkbox_mcp.stdio.warm_start`, made by listening to one."""

from contextlib import suppress
from pathlib import Path

from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

from inkbox_mcp.stdio.cache import keep
from inkbox_mcp.stdio.warm_start import Beginning, digest, read

# What is answered the same at any time, also by an error.
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
    """Listens to a conversation as long as all that is asked is answered the same every time."""

    def __init__(self, beginning: Beginning) -> None:
        """Listen from the beginning on; what the client was answered then, it is not answered again."""
        self._folder = Path(beginning.folder) if beginning.folder else None
        self._answered = [answer for _, answer in beginning.exchanges if answer]
        self._exchanges: list[list[bytes]] = []
        self._asked: dict[RequestId, list[bytes]] = {}

    def heard(self, line: bytes, message: JSONRPCMessage | None) -> None:
        """Note a line of the client; `message` is None when it is none."""
        if self._folder is None:
            return
        asks = isinstance(message, JSONRPCRequest | JSONRPCNotification) and message.method in SAME_EVERY_TIME
        if not asks or len(self._exchanges) >= MOST_LINES:
            self.finish()
            return
        self._exchanges.append([line, b""])
        if isinstance(message, JSONRPCRequest):
            if message.id in self._asked:  # whose answer would be whose?
                self._folder = None
            self._asked[message.id] = self._exchanges[-1]

    def said(self, message: JSONRPCMessage, line: bytes) -> bool:
        """Note an answer; return whether the client has it already."""
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id in self._asked:
            self._asked.pop(message.id)[1] = line
        if line in self._answered:
            self._answered.remove(line)
            return True
        return False

    def finish(self) -> None:
        """Write what was heard, if all of it was answered and it is not written yet."""
        folder, self._folder = self._folder, None
        if folder is None or self._asked or not self._exchanges:
            return
        path = folder / digest(self._exchanges[0][0])
        if [list(exchange) for exchange in read(str(path))] == self._exchanges:
            return
        rest = b"".join(line + b"\n" + (answer or b"\n") for line, answer in self._exchanges)
        with suppress(OSError):  # a home that is missing or cannot be written is no reason to say anything
            keep(path, digest(rest).encode() + b"\n" + rest)
