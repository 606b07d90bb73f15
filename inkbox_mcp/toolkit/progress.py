"""Reports the progress of a call to its client, without ever blocking the call.

In MCP the progress must increase with each report
(https://modelcontextprotocol.io/specification, basic/utilities/progress).
"""

from math import inf

import anyio

from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.calls import Report
from inkbox_mcp.text import one_line
from inkbox_mcp.toolkit.bounds import cut

MAX_MESSAGE = 200
"""The most characters of a report's message."""

SECONDS_TO_TAKE = 0.5
"""Seconds for a client to read a report. After a longer wait, it gets no further reports."""


class Progress:
    """The reports of one call.

    Args:
        send: sends a report to the client.
        redaction: removes the API key from messages.
    """

    def __init__(self, send: Report, redaction: Redaction) -> None:
        self._send = send
        self._redaction = redaction
        self._done = -inf
        self._is_read = True

    async def report(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Send a report, if its progress is larger than the last one's.

        Args:
            done: the progress, in any unit; may exceed the total.
            total: the progress at the end, if known.
            message: the current step; hidden characters and line breaks are removed.
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
        # Cut first to limit the work, and again at the end because hiding the key changes the length.
        return cut(self._redaction.hide(one_line(message[: 8 * MAX_MESSAGE])), MAX_MESSAGE)
