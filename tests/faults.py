"""An Inkbox on a loopback port that fails as networks and servers do, on request.

Requests are served by the sandbox; a fault, taken from a script, says what goes wrong with one of them.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from inkbox_mcp.sandbox import Store, create_app

Answer = Callable[["Request"], Awaitable[bytes]]


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: httpx2.Headers
    body: bytes


@dataclass
class Fault:
    """What goes wrong with one request.

    Attributes:
        serves: whether the sandbox gets the request, and commits what it changes.
        answers: raw bytes sent in place of the sandbox's answer; None passes that on, empty sends nothing.
        cuts_after: bytes of the answer that are sent before the connection is cut.
        stalls: whether nothing more happens until the client goes away.
        floods: whether the answer's body never ends.
    """

    serves: bool = False
    answers: bytes | None = b""
    cuts_after: int | None = None
    stalls: bool = False
    floods: bool = False


def refusal(status: int, *headers: str, body: bytes = b'{"detail": "try later"}') -> bytes:
    """Write an answer that is not the sandbox's."""
    lines = [f"HTTP/1.1 {status} Refused", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


FINE = Fault(serves=True, answers=None)
DROPPED_BEFORE = Fault()
DROPPED_AFTER = Fault(serves=True)
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


@dataclass
class FaultyInkbox:
    """The server: its address, its script, and what it saw.

    Attributes:
        script: faults for the coming requests, first come first served; when it is empty all is fine.
        requests: what came, in order.
        gone: set when a client leaves a stalled request.
        stalled: set when a request stalls.
    """

    url: str
    script: list[Fault] = field(default_factory=list[Fault])
    requests: list[Request] = field(default_factory=list[Request])
    stalled: anyio.Event = field(default_factory=anyio.Event)
    gone: anyio.Event = field(default_factory=anyio.Event)

    def fails(self, *faults: Fault) -> None:
        """Script the coming requests."""
        self.script = list(faults)

    def methods(self) -> list[str]:
        """Return the methods of the requests that came."""
        return [request.method for request in self.requests]


@asynccontextmanager
async def faulty_inkbox(script: Iterable[Fault] = ()) -> AsyncGenerator[FaultyInkbox]:
    """Serve a fresh sandbox with faults on a free loopback port."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store))
        async with httpx2.AsyncClient(transport=app, base_url="http://sandbox") as sandbox:
            inkbox = FaultyInkbox("", list(script))
            async with anyio.create_task_group() as tasks:
                inkbox.url = await tasks.start(_listen, inkbox, sandbox)
                yield inkbox
                tasks.cancel_scope.cancel()


async def _listen(
    inkbox: FaultyInkbox, sandbox: httpx2.AsyncClient, *, task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                while await _serve_one(stream, inkbox, sandbox):
                    pass
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead):
                inkbox.gone.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        task_status.started(f"http://127.0.0.1:{port}")
        await listener.serve(handle)


async def _serve_one(stream: SocketStream, inkbox: FaultyInkbox, sandbox: httpx2.AsyncClient) -> bool:
    """Serve one request; return whether the connection lives on."""
    request = await _receive(stream)
    inkbox.requests.append(request)
    fault = inkbox.script.pop(0) if inkbox.script else FINE
    answer = await _from_sandbox(request, sandbox) if fault.serves else b""
    if fault.stalls:
        inkbox.stalled.set()
        await stream.receive()  # ends when the client goes
    if fault.floods:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while True:
            await stream.send(b" " * 65_536)
    answer = answer if fault.answers is None else fault.answers
    if fault.cuts_after is not None:
        answer = answer[: fault.cuts_after]
    if answer:
        await stream.send(answer)
    return bool(answer) and fault.cuts_after is None


async def _receive(stream: SocketStream) -> Request:
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


async def _from_sandbox(request: Request, sandbox: httpx2.AsyncClient) -> bytes:
    headers: dict[str, Any] = {"X-API-Key": request.headers["X-API-Key"], "Content-Type": "application/json"}
    response = await sandbox.request(request.method, request.path, content=request.body, headers=headers)
    length = [] if response.status_code == 204 else [f"Content-Length: {len(response.content)}"]
    lines = [f"HTTP/1.1 {response.status_code} OK", "Content-Type: application/json", *length]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.content
