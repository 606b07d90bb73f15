"""A proxy in front of Inkbox that passes requests on, and delays or drops answers for a test.

It tells requests apart by the id that a replica passes on; a caller chooses this id with `X-Request-ID`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
import httpx2
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.processes import MAX_LINE


class Asked(NamedTuple):
    """A request to Inkbox, made for a call with this id."""

    method: str
    path: str
    request_id: str


@dataclass(frozen=True)
class Held:
    """Makes an answer wait: `came` is set when Inkbox has answered, and the test sets `goes` to pass it on."""

    came: anyio.Event = field(default_factory=anyio.Event)
    goes: anyio.Event = field(default_factory=anyio.Event)


class Lost(Exception):
    """Raised by a rule to close the connection instead of passing the answer on."""


Rule = Callable[[Asked], Awaitable[None]]


async def _at_once(_: Asked) -> None:
    pass


@dataclass
class Front:
    """A running front.

    Attributes:
        url: its address.
        asked: the requests that Inkbox has answered.
        rule: waits before an answer is passed on, or raises `Lost`.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list[Asked])
    rule: Rule = _at_once

    def holds(self, request_id: str) -> Held:
        """Delay the answers to the requests of one call; other calls follow the previous rule."""
        held, usual = Held(), self.rule

        async def rule(asked: Asked) -> None:
            if asked.request_id == request_id:
                held.came.set()
                await held.goes.wait()
            else:
                await usual(asked)

        self.rule = rule
        return held


@asynccontextmanager
async def front(inkbox: str) -> AsyncGenerator[Front]:
    """Run a front before the Inkbox at this URL."""
    target = httpx2.URL(inkbox)
    made = Front()

    async def pass_on(head: bytes, body: bytes) -> bytes:
        # Each request gets a new connection, because Inkbox might close a kept one at this moment.
        async with await anyio.connect_tcp(target.host, target.port or 80) as server:
            await server.send(head + body)
            return b"".join(await _message(BufferedByteReceiveStream(server)))

    async def handle(client: SocketStream) -> None:
        async with client:
            incoming = BufferedByteReceiveStream(client)
            try:
                while True:
                    head, body = await _message(incoming)
                    answer = await pass_on(head, body)
                    method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                    asked = Asked(method, path, _headers(head).get("x-request-id", ""))
                    made.asked.append(asked)
                    await made.rule(asked)
                    await client.send(answer)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, Lost):
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1024) as listener,
        anyio.create_task_group() as tasks,
    ):
        made.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, handle)
        yield made
        tasks.cancel_scope.cancel()


async def _message(stream: BufferedByteReceiveStream) -> tuple[bytes, bytes]:
    head = await stream.receive_until(b"\r\n\r\n", MAX_LINE) + b"\r\n\r\n"
    return head, await stream.receive_exactly(int(_headers(head).get("content-length", "0")))


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}
