"""Stops an HTTP server without failing a call: new calls go to other servers, running calls are finished.

Balancers learn from `/readyz` that a server is about to stop, which takes a moment. Until then the server continues to
serve, and closes each connection after its answer. Calls that wait for something are not waited for: when no new
request can come any more, they are notified, and answer with what they know.
"""

import logging
from collections.abc import Callable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

SECONDS_TO_ARRIVE = 0.1
"""How long the request of a client that has just connected may take to come."""


class Drain:
    """The calls of a server, and its end.

    Args:
        path: of the requests that are finished before the end; streams that clients keep open are not waited for.
        timeout: seconds until the end, at most.
        end_waits: called when nothing new can come, so that calls that wait answer.

    Attributes:
        begun: whether the end was asked for.
        watched: whether a balancer asks for it, and must be given the time to notice.
    """

    def __init__(self, path: str, timeout: float, end_waits: Callable[[], None] = lambda: None) -> None:
        self.begun = False
        self.watched = False
        self._path = path
        self._timeout = timeout
        self._end_waits = end_waits
        self._under_way = 0
        self._changed = anyio.Event()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wrap the ASGI application whose calls are to be finished."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self._path:
                await app(scope, receive, send)
                return

            async def send_last(message: Message) -> None:
                if self.begun and message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
                await send(message)

            self._under_way += 1
            try:
                await app(scope, receive, send_last)
            finally:
                self._under_way -= 1
                self._changed.set()

        return wrapped

    async def finish(self, stop_listening: Callable[[], None], stop_reading: Callable[[], None]) -> None:
        """Return when nothing is under way any more and nothing can come, or the time is over.

        Args:
            stop_listening: takes no more connections.
            stop_reading: takes no more requests on those that there are.
        """
        self.begun = True
        if self.watched or self._under_way:
            logger.info("draining for at most %g seconds; calls under way: %d", self._timeout, self._under_way)
        with anyio.move_on_after(self._timeout):
            if self.watched:
                await anyio.sleep(self._timeout / 2)
            stop_listening()
            await anyio.sleep(SECONDS_TO_ARRIVE)
            # A call that came after the last one was finished would be cut off.
            stop_reading()
            self._end_waits()
            while self._under_way:
                self._changed = anyio.Event()
                await self._changed.wait()
        self._end_waits()  # also where the time was over before; there is a second left to answer
