"""The progress of one call, as its client hears of it: only ever growing, in one short line, and never in the way.

MCP wants each report to be larger than the one before
(https://modelcontextprotocol.io/specification, basic/utilities/progress).
"""

from collections.abc import Awaitable, Callable
from math import inf

import anyio

from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.text import one_line

MAX_MESSAGE = 200
"""Characters of a report's message."""

SECONDS_TO_TAKE = 0.5
"""How long a client may take to read a report; one that takes longer gets no more of them."""

Send = Callable[[float, float | None, str | None], Awaitable[None]]
"""Sends a report to a client: how much is done, of how much, and a message."""


class Progress:
    """The reports of one call.

    Args:
        send: sends one to the client.
        redaction: takes the API key out of messages.
    """

    def __init__(self, send: Send, redaction: Redaction) -> None:
        self._send = send
        self._redaction = redaction
        self._done = -inf
        self._is_read = True

    async def report(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Send a report; one that is no more than the last is left out.

        Args:
            done: how much is done, in any unit; it need not be below the total.
            total: of how much, if that is known.
            message: what happens now; hidden characters and line breaks are taken out of it.
        """
        if not (self._is_read and self._done < done < inf):
            return
        self._done = done
        known = total if total is not None and -inf < total < inf else None
        line = None if message is None else self._line(message)
        with anyio.move_on_after(SECONDS_TO_TAKE) as waiting:
            await self._send(done, known, line)
        if waiting.cancelled_caught:
            self._is_read = False

    def _line(self, message: str) -> str:
        # Cut at first for the work that it would be, and at last because hiding the key changes the length.
        line = self._redaction.hide(one_line(message[: 8 * MAX_MESSAGE]))
        return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
