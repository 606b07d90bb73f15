"""Server-Sent Events: tell a browser that something in the database has changed, by whatever process."""

import json
import sqlite3

import anyio
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from inkbox_mcp.commands.page.reading import Reader

MOST_STREAMS = 32
"""Streams at once; each page that is open has one."""
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_BETWEEN_COMMENTS = 15.0
"""Without a comment, neither side would notice that the other one is gone."""

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
_RETRY = b"retry: 1000\n\n"


class Changes:
    """An ASGI application that answers every request with a stream of events.

    It begins with an event, so that a browser that connects again asks for what it missed.

    Attributes:
        streams: how many are open.

    Args:
        reader: of the database.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client closes the connection.

        Raises:
            HTTPException: 503; too many streams are open.
        """
        if self.streams >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} pages are open; close one of them.")
        self.streams += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
                return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send, send)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()
        finally:
            self.streams -= 1

    async def _send(self, send: Send) -> None:
        async def write(part: bytes) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": True})

        await write(_RETRY)
        seen: tuple[int, bool] | None = None
        spoken = anyio.current_time()
        while True:
            version = await self._version(seen)
            if version and version != seen:
                await write(b"event: change\ndata: %b\n\n" % json.dumps({"version": version[0]}).encode())
                seen, spoken = version, anyio.current_time()
            elif anyio.current_time() - spoken >= SECONDS_BETWEEN_COMMENTS:
                await write(b":\n\n")
                spoken = anyio.current_time()
            await anyio.sleep(SECONDS_BETWEEN_LOOKS)

    async def _version(self, seen: tuple[int, bool] | None) -> tuple[int, bool] | None:
        try:
            return await self._reader.read(version_of), await self._reader.is_replaced()
        except sqlite3.Error:
            return seen  # a busy or broken file; the next look tells


def version_of(connection: sqlite3.Connection) -> int:
    """Return a number that differs after each change of the database.

    The first part counts changes by other connections, the second one those by this one: `:memory:` has no other, and a
    file is written by others only.
    """
    return connection.execute("PRAGMA data_version").fetchone()["data_version"] + connection.total_changes
