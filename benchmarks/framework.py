"""Measure the cost of a call without sockets and Inkbox, in this process. This number is worth watching over time.

Run with `python -m benchmarks.framework`; see `benchmarks/README.md`.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from benchmarks import eras
from benchmarks.faked import SETTINGS, FakedInkbox
from benchmarks.figures import Series, machine, table
from benchmarks.messages import ADDRESS, INITIALIZE, INITIALIZED, LEGACY, MODERN, call
from inkbox_mcp.http.app import MCP_PATH, build_app
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.stdio.pipes import CHUNK, Pipes
from inkbox_mcp.stdio.serve import serve_pipes
from inkbox_mcp.stdio.warm_start import Beginning

TOOL = "get_mailbox"
CALLS = 200
"""Number of calls in each measurement."""

Ask = Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def http() -> AsyncGenerator[Ask]:
    """Yield a function that calls the HTTP application as uvicorn does, in the era without sessions."""
    service = Service(SETTINGS, FakedInkbox)
    server = server_of(service, caller)
    app: Any = build_app(server, service, Drain(MCP_PATH, 0))
    body = json.dumps(call(MODERN, TOOL, {"email_address": ADDRESS})).encode()
    scope = _scope(body)

    async def ask() -> bytes:
        answer = bytearray()
        told = False

        async def receive() -> dict[str, Any]:
            nonlocal told
            if told:
                await anyio.sleep_forever()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            answer.extend(message.get("body", b""))

        await app({**scope, "state": {}}, receive, send)
        return bytes(answer)

    async with server.session_manager.run():
        yield ask


def _scope(body: bytes) -> dict[str, Any]:
    headers = {**eras.headers(MODERN, TOOL), "Host": "127.0.0.1:8000", "Content-Length": str(len(body))}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": MCP_PATH,
        "raw_path": MCP_PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }


@asynccontextmanager
async def stdio(beginning: Beginning) -> AsyncGenerator[Ask]:
    """Yield a function that calls the server over pipes. The handshake is replayed if a recording exists."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, back, stdout):
        os.set_blocking(fd, False)

    async def ask(line: bytes = _line(call(LEGACY, TOOL, {"email_address": ADDRESS}))) -> bytes:
        os.write(to, line)
        answer = b""
        while not answer.endswith(b"\n"):
            await anyio.wait_readable(back)
            answer += os.read(back, CHUNK)
        return answer

    try:
        async with anyio.create_task_group() as tasks:
            pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel)
            tasks.start_soon(serve_pipes, Service(SETTINGS, FakedInkbox), pipes, beginning)
            if not beginning.exchanges:
                hello, ready = _line(INITIALIZE), _line(INITIALIZED)
                answer = await ask(hello)
                os.write(to, ready)
                beginning.exchanges = [(hello.strip(), answer), (ready.strip(), b"")]
            yield ask
            tasks.cancel_scope.cancel()
    finally:
        for fd in (stdin, to, back, stdout):
            os.close(fd)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


async def measure(ask: Ask) -> float:
    """Return the processor time of a call in microseconds.

    Raises:
        AssertionError: an answer was wrong.
    """
    gc.collect()
    used = time.process_time()
    answers = [await ask() for _ in range(CALLS)]
    used = time.process_time() - used
    if not all(answer.count(ADDRESS.encode()) == 2 and b'"structuredContent":{' in answer for answer in answers):
        raise AssertionError(answers[0].decode())
    return used / CALLS * 1e6


async def compare(rounds: int) -> dict[str, Series]:
    """Measure all transports in turns."""
    async with AsyncExitStack() as stack:
        recorded = Beginning()  # filled by the first conversation
        asks = {
            "2026-07-28 over ASGI": http(),
            "2025-11-25 over pipes, by the SDK": stdio(recorded),
            "2025-11-25 over pipes, directly": stdio(recorded),
        }
        ways = {name: await stack.enter_async_context(way) for name, way in asks.items()}
        for ask in ways.values():
            await measure(ask)
        gc.freeze()
        measured = {name: Series() for name in ways}
        for _ in range(rounds):
            for name, ask in ways.items():
                measured[name].values.append(await measure(ask))
        return measured


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.framework", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help=f"of {CALLS} calls each (default: 30)")
    rounds = parser.parse_args().rounds
    rows = [
        [name, f"{series.quartiles[0]:.0f}", f"{series.median:.0f}", f"±{series.deviation:.1%}"]
        for name, series in anyio.run(compare, rounds).items()
    ]
    sys.stdout.write(f"{machine()}\n\n{table(['µs per call', 'lower quarter', 'median', '±'], rows)}\n")


if __name__ == "__main__":
    main()
