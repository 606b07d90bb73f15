"""The embedded sandbox as an HTTPX2 transport: in this process, without a port."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

import anyio
import httpx2

from inkbox_mcp.api.call_log import MadeCall
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.errors import NotConfigured

MOST_UNDER_WAY = 64
"""Requests that may run at once; while the file is locked, each call leaves one running."""


MOST_CALLS_WAITING = 200
"""Calls that wait to be kept, the latest ones; the file keeps no more either."""


class SandboxTransport(httpx2.AsyncBaseTransport):
    """Sends requests to a sandbox in this process.

    The database file may be slow, or locked by another process. Only threads wait for it, each in a task of its own. A
    call that is cancelled or out of time ends at once, as with an API on the network; its request may still be done.

    Args:
        database: its file, or `:memory:`; opened by the first request.
        generation: of the API.
    """

    def __init__(self, database: str, generation: Generation) -> None:
        self._database = database
        self._generation: Generation = generation
        self._opening: asyncio.Task[_Opened] | None = None
        self._closed = threading.Event()
        self._under_way: set[asyncio.Task[httpx2.Response]] = set()
        self._turns = asyncio.Semaphore(MOST_UNDER_WAY)
        self._calls = deque[MadeCall](maxlen=MOST_CALLS_WAITING)
        self._keeping: asyncio.Task[None] | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request.

        Raises:
            NotConfigured: the file cannot be used.
            httpx2.ConnectTimeout: the file could not be opened in time; nothing was sent.
        """
        try:
            with anyio.fail_after(request.extensions.get("timeout", {}).get("connect")):
                opened = await self._open()
                await self._turns.acquire()
        except TimeoutError:
            raise httpx2.ConnectTimeout("the sandbox's file is locked or slow") from None
        task = asyncio.create_task(opened.handle_async_request(request))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def keep(self, call: MadeCall) -> None:
        """Keep a call in the file, for people who look at it. It does not wait, and a locked file loses the call."""
        self._calls.append(call)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep_calls())
            self._keeping.add_done_callback(_failed)

    async def _keep_calls(self) -> None:
        try:
            opened = await self._open()
        except NotConfigured:
            self._calls.clear()
            return
        while self._calls:
            calls = [*self._calls]
            self._calls.clear()
            await anyio.to_thread.run_sync(opened.keep, calls)

    async def aclose(self) -> None:
        """Close the database when no thread uses it any more, even if this wait is cancelled."""
        try:
            # To keep a call that needed no request, the file may have to be opened first.
            if waited_for := {*self._under_way, *([self._keeping] if self._keeping else [])}:
                await asyncio.wait(waited_for)
        except asyncio.CancelledError:
            if close := self._end():
                threading.Thread(target=close, daemon=True).start()
            raise
        if close := self._end():
            await anyio.to_thread.run_sync(close, abandon_on_cancel=True)

    def _end(self) -> Callable[[], None] | None:
        """Return what closes the database; None if it is not open. A thread that is still opening it closes it."""
        self._closed.set()
        if self._opening is None or not self._opening.done() or _failed(self._opening):
            return None
        return self._opening.result().store.close

    async def _open(self) -> "_Opened":
        if self._opening is None or (self._opening.done() and _failed(self._opening)):
            self._opening = asyncio.create_task(anyio.to_thread.run_sync(self._open_file))
            self._opening.add_done_callback(_failed)
        return await asyncio.shield(self._opening)

    def _open_file(self) -> "_Opened":
        opened = _Opened(self._database, self._generation)
        if self._closed.is_set():
            opened.store.close()
        return opened

    def _ended(self, task: asyncio.Task[httpx2.Response]) -> None:
        self._under_way.discard(task)
        self._turns.release()
        _failed(task)


class _Opened(httpx2.ASGITransport):
    """A sandbox whose file is open.

    Raises:
        NotConfigured: the file cannot be used.
    """

    def __init__(self, database: str, generation: Generation) -> None:
        # Imported here because FastAPI would double the start-up time of a server on the real API.
        from inkbox_mcp.sandbox import Store, StoreError, create_app

        try:
            self.store = Store(database)
        except StoreError as error:
            raise NotConfigured(str(error)).advised("Tell the user to name another file with --sandbox-db.") from None
        super().__init__(create_app(self.store, generation), raise_app_exceptions=False)

    def keep(self, calls: Sequence[MadeCall]) -> None:
        """Keep calls in the file."""
        self.store.keep_calls([call.row() for call in calls])


def _failed(task: "asyncio.Task[httpx2.Response] | asyncio.Task[_Opened] | asyncio.Task[None]") -> bool:
    """Whether a finished task failed. Asking also keeps asyncio from logging the failure."""
    return task.cancelled() or task.exception() is not None
