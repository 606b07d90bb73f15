"""An Inkbox on a loopback port that fails on request, as networks and servers do.

The sandbox serves the requests; a script of faults defines what goes wrong with each of them.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, Self, get_args

import anyio
import httpx2
from anyio.abc import ByteStream, SocketAttribute, TaskStatus
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSListener
from starlette.types import Receive, Scope, Send

from inkbox_mcp.sandbox import Generation, Store, create_app

Answer = Callable[["Request"], Awaitable[bytes]]


@dataclass(frozen=True)
class Request:
    """A request as it was received."""

    method: str
    path: str
    headers: httpx2.Headers
    body: bytes


@dataclass
class Fault:
    """The failure of one request.

    Attributes:
        serves: whether the sandbox gets the request, and commits what it changes.
        answers: raw bytes that replace the sandbox's answer; None keeps that answer, empty sends nothing.
        cuts_after: bytes of the answer that are sent before the connection is cut.
        stalls: whether the server then waits until the client disconnects.
        floods: whether the answer's body never ends.
        held: makes the request wait, and signals that it came.
        late: whether the sandbox gets the request after the next one, as from a gateway that has answered already.
        afterwards: bytes that are sent after the answer, in a packet of their own.
        sent: set when all of that was sent.
    """

    serves: bool = False
    answers: bytes | None = b""
    cuts_after: int | None = None
    stalls: bool = False
    floods: bool = False
    held: "Hold | None" = None
    late: bool = False
    afterwards: bytes = b""
    sent: anyio.Event | None = None


@dataclass(frozen=True)
class Hold:
    """Makes one request wait: `came` is set when it arrives, and the test sets `goes` to let it continue."""

    came: anyio.Event = field(default_factory=anyio.Event)
    goes: anyio.Event = field(default_factory=anyio.Event)


def refusal(status: int, *headers: str, body: bytes = b'{"detail": "try later"}') -> bytes:
    """Write an answer in place of the sandbox's."""
    lines = [f"HTTP/1.1 {status} Refused", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


FINE = Fault(serves=True, answers=None)
DROPPED_BEFORE = Fault()
DROPPED_AFTER = Fault(serves=True)
DROPPED_AND_LATE = Fault(late=True)
CUT = Fault(serves=True, answers=None, cuts_after=120)
STALLED_BEFORE = Fault(stalls=True)
STALLED_AFTER = Fault(serves=True, stalls=True)
BUSY = Fault(answers=refusal(503))
LIMITED = Fault(answers=refusal(429, "Retry-After: 1"))
BAD_GATEWAY_BEFORE = Fault(answers=refusal(502, body=b"<html>Bad gateway</html>"))
BAD_GATEWAY_AFTER = Fault(serves=True, answers=refusal(502, body=b"<html>Bad gateway</html>"))
GARBLED_AFTER = Fault(serves=True, answers=refusal(201, body=b'{"id": "'))
REDIRECTED = Fault(answers=refusal(307, "Location: /api/v1/mail/mailboxes"))
FLOODED = Fault(floods=True)

LOSING = [
    DROPPED_BEFORE, DROPPED_AFTER, DROPPED_AND_LATE, CUT, BAD_GATEWAY_BEFORE, BAD_GATEWAY_AFTER, GARBLED_AFTER,
    STALLED_BEFORE, STALLED_AFTER,
]  # fmt: skip
"""After these, the server cannot know whether the request was done."""


@dataclass
class FaultyInkbox:
    """The server: its address, its script and a record of its requests.

    Attributes:
        script: faults for the next requests, in order.
        requests: the received requests, in order.
        served: method and status of each request that the sandbox served.
        store: the sandbox's data.
        usual: returns the fault of a request when the script is empty; by default, none.
        connections: the number of connections that clients opened.
        generation: the generation of the API; a test may change it while the server runs.
        dated: whether answers have a Date header, as those of most servers do.
        gone: set when a client closes its connection.
        stalled: set when a request stalls.
    """

    url: str
    script: list[Fault] = field(default_factory=list[Fault])
    requests: list[Request] = field(default_factory=list[Request])
    served: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    store: Store = field(default_factory=lambda: Store(":memory:"))
    usual: Callable[[], Fault] = lambda: FINE
    connections: int = 0
    generation: Generation = "spec"
    dated: bool = False
    stalled: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self._apps = {name: create_app(self.store, name) for name in get_args(Generation)}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._apps[self.generation](scope, receive, send)

        self._sandbox = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://sandbox")
        self._late: list[Request] = []
        self._under_way = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sandbox.aclose()
        self.store.close()

    def forget(self) -> None:
        """Start again with an empty sandbox and an empty script; no request may be running."""
        self.store.close()
        self.store = Store(":memory:")
        for app in self._apps.values():
            app.state.store = self.store
        self.script, self.requests, self.served = [], [], []

    async def settle(self) -> None:
        """Wait until every sent request has arrived and was served, even if its client has gone."""
        for _ in range(20):  # let the event loop read the buffers of connections
            await checkpoint()
        while self._under_way:
            await checkpoint()
        await self.serve_late()

    async def serve(self, request: Request) -> bytes:
        """Let the sandbox answer a request."""
        headers: dict[str, Any] = {"X-API-Key": request.headers["X-API-Key"], "Content-Type": "application/json"}
        self._under_way += 1
        try:
            response = await self._sandbox.request(request.method, request.path, content=request.body, headers=headers)
        finally:
            self._under_way -= 1
        self.served.append((request.method, response.status_code))
        lines = [f"HTTP/1.1 {response.status_code} OK", "Content-Type: application/json"]
        if response.status_code != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(response.content)}")
        if self.dated:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.content

    async def look(self, path: str, key: str) -> Any:
        """Read from the sandbox without a fault and without a record."""
        return (await self._sandbox.get(path, headers={"X-API-Key": key})).json()

    async def create(self, path: str, key: str, **body: str) -> None:
        """Create an object in the sandbox without a fault and without a record."""
        (await self._sandbox.post(path, json=body, headers={"X-API-Key": key})).raise_for_status()

    def keep_late(self, request: Request) -> None:
        """Keep a request until the next one has been served."""
        self._late.append(request)

    async def serve_late(self) -> None:
        """Serve the requests that were kept; their answers are dropped."""
        late, self._late = self._late, []
        for request in late:
            await self.serve(request)

    def fails(self, *faults: Fault) -> None:
        """Set the faults of the next requests."""
        self.script = list(faults)

    def methods(self) -> list[str]:
        """Return the methods of the received requests."""
        return [request.method for request in self.requests]


@asynccontextmanager
async def faulty_inkbox(
    script: Iterable[Fault] = (), tls: SSLContext | None = None, generation: Generation = "spec"
) -> AsyncGenerator[FaultyInkbox]:
    """Serve a fresh sandbox with faults on a free loopback port."""
    async with FaultyInkbox("", list(script), generation=generation) as inkbox, anyio.create_task_group() as tasks:
        inkbox.url = await tasks.start(_listen, inkbox, tls)
        yield inkbox
        tasks.cancel_scope.cancel()


async def _listen(
    inkbox: FaultyInkbox, tls: SSLContext | None, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    async def handle(stream: ByteStream) -> None:
        inkbox.connections += 1
        async with stream:
            try:
                while await _serve_one(stream, inkbox):
                    pass
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead):
                inkbox.gone.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        task_status.started(f"{'https' if tls else 'http'}://127.0.0.1:{port}")
        await (TLSListener(listener, tls, standard_compatible=False) if tls else listener).serve(handle)


async def _serve_one(stream: ByteStream, inkbox: FaultyInkbox) -> bool:
    """Serve one request; return whether the connection stays open."""
    request = await _receive(stream)
    inkbox.requests.append(request)
    fault = inkbox.script.pop(0) if inkbox.script else inkbox.usual()
    answer = await inkbox.serve(request) if fault.serves else b""
    await inkbox.serve_late()
    if fault.late:
        inkbox.keep_late(request)
    if fault.held:
        fault.held.came.set()
        await fault.held.goes.wait()
    if fault.stalls:
        inkbox.stalled.set()
        await stream.receive()  # ends when the client disconnects
    if fault.floods:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while True:
            await stream.send(b" " * 65_536)
    answer = answer if fault.answers is None else fault.answers
    if fault.cuts_after is not None:
        answer = answer[: fault.cuts_after]
    if answer:
        await stream.send(answer)
    if fault.afterwards:
        for _ in range(20):  # let the client read the answer first
            await checkpoint()
        await stream.send(fault.afterwards)
        for _ in range(20):
            await checkpoint()
    if fault.sent:
        fault.sent.set()
    return bool(answer) and fault.cuts_after is None


async def _receive(stream: ByteStream) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = httpx2.Headers([tuple(line.split(": ", 1)) for line in lines])  # pyright: ignore[reportArgumentType]
    while len(body) < int(headers.get("content-length", 0)):
        body += await stream.receive()
    return Request(method, path, headers, body)
