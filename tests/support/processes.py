"""Real processes for tests: servers started as by a client, and an Inkbox API with fixed answers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio.abc import ByteReceiveStream, Process, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.support.agents import Agent
from tests.support.messages import HANDSHAKE

PATIENCE = 20.0
"""Seconds after which whatever a test waits for counts as hung; nothing here takes so long."""

COMMAND = (sys.executable, "-m", "inkbox_mcp")
MAX_LINE = 1_000_000


class Ended(NamedTuple):
    """The end of a process: its status and the output that was not read before."""

    status: int
    stdout: str
    stderr: str


class _Nothing(ByteReceiveStream):
    """The stdout of a process that writes it to another place."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise anyio.EndOfStream

    async def aclose(self) -> None:
        pass


class Running:
    """A running server and its three streams."""

    def __init__(self, process: Process) -> None:
        assert process.stdin
        assert process.stderr
        self._process = process
        self._stdin = process.stdin
        self._stdout = BufferedByteReceiveStream(process.stdout or _Nothing())
        self._stderr = BufferedByteReceiveStream(process.stderr)
        self._last_id = 0

    async def write(self, *messages: Any) -> None:
        """Write messages to stdin, one per line; bytes are not encoded."""
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
            await self._stdin.send(line + b"\n")

    async def close_stdin(self) -> None:
        """Close stdin, so that the server reads the end of its input."""
        await self._stdin.aclose()

    async def line(self) -> str:
        """Read the next line of stdout."""
        with anyio.fail_after(PATIENCE):
            return (await self._stdout.receive_until(b"\n", MAX_LINE)).decode()

    async def log(self, part: str) -> str:
        """Read stderr until a line contains this part; return the line."""
        with anyio.fail_after(PATIENCE):
            while part not in (line := (await self._stderr.receive_until(b"\n", MAX_LINE)).decode()):
                pass
            return line

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        await self.send(method, **params)
        while (answer := json.loads(await self.line())).get("id") != self._last_id:
            pass
        return answer

    async def send(self, method: str, **params: Any) -> None:
        """Send a request."""
        self._last_id += 1
        await self.write({"id": self._last_id, "method": method, "params": params})

    async def initialize(self) -> None:
        """Initialize as a client of 2025-11-25 does."""
        await self.request("initialize", **HANDSHAKE)
        await self.write({"method": "notifications/initialized"})

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def end(self) -> Ended:
        """Wait until the process ends by itself."""
        with anyio.fail_after(PATIENCE):
            stdout, stderr = await _rest(self._stdout), await _rest(self._stderr)
            return Ended(await self._process.wait(), stdout, stderr)


async def _rest(stream: BufferedByteReceiveStream) -> str:
    content = bytearray()
    try:
        while True:
            content += await stream.receive()
    except (anyio.EndOfStream, anyio.ClosedResourceError):
        return content.decode()


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a server: a home, these variables, and none of the developer's own.

    With a key, the generation of the API is named, so that the server does not look for it.
    """
    own = ("COVERAGE_", "SSL_CERT_DIR")  # the second as `no_public_authorities` sets it
    measured = {name: value for name, value in os.environ.items() if name.startswith(own)}
    if sys.platform == "win32":  # sockets need SYSTEMROOT, and USERPROFILE is the home
        measured |= {"SYSTEMROOT": os.environ["SYSTEMROOT"], "USERPROFILE": str(home)}
    named = {"INKBOX_MCP_API_GENERATION": "spec"} if "INKBOX_API_KEY" in variables else {}
    return {"PATH": os.environ["PATH"], "HOME": str(home), **measured, **named, **variables}


@asynccontextmanager
async def start_process(
    *command: str, home: Path, stdout: int = subprocess.PIPE, **variables: str
) -> AsyncGenerator[Running]:
    """Start a command with these environment variables; end it in every case."""
    process = await anyio.open_process(command, stdout=stdout, env=environment(home, **variables))
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


def start(
    *arguments: str, home: Path, stdout: int = subprocess.PIPE, **variables: str
) -> AbstractAsyncContextManager[Running]:
    """Start `inkbox-mcp` with these arguments and environment variables."""
    return start_process(*COMMAND, *arguments, home=home, stdout=stdout, **variables)


async def run(*arguments: str, home: Path, **variables: str) -> Ended:
    """Run `inkbox-mcp` without input until it ends."""
    async with start(*arguments, home=home, stdout=subprocess.PIPE, **variables) as server:
        await server.close_stdin()
        return await server.end()


@asynccontextmanager
async def stdio_agent(
    *arguments: str, home: Path, mode: str = "auto", log: Path | None = None, **variables: str
) -> AsyncGenerator[Agent]:
    """Start a server as a desktop assistant does, with the SDK's client; stderr goes to the file `log`."""
    command, *rest = COMMAND
    server = StdioServerParameters(command=command, args=[*rest, *arguments], env=environment(home, **variables))
    with (log or Path(os.devnull)).open("a") as stderr:
        async with Client(stdio_client(server, errlog=stderr), mode=mode) as client:
            yield Agent(client)


@asynccontextmanager
async def serve_http(*arguments: str, home: Path, **variables: str) -> AsyncGenerator[tuple[Running, str]]:
    """Start a server on a free port; yield it and its origin."""
    async with start("--http", "--port", "0", *arguments, home=home, stdout=subprocess.PIPE, **variables) as server:
        announcement = await server.log("serving MCP at ")
        yield server, announcement.partition("serving MCP at ")[2].partition("/mcp")[0]


@dataclass(frozen=True)
class Upstream:
    """An Inkbox API that records its requests, and answers all with the same JSON or never."""

    url: str
    requests: list[dict[str, str]]
    """The headers of each request, names in lower case."""
    asked: anyio.Event
    abandoned: anyio.Event
    """The client closed a connection while its request was unanswered."""


@asynccontextmanager
async def upstream(answer: object = None) -> AsyncGenerator[Upstream]:
    """Serve an Inkbox API on loopback; without an answer every request waits."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        api = Upstream(f"http://127.0.0.1:{port}", [], anyio.Event(), anyio.Event())

        async def handle(stream: SocketStream) -> None:
            async with stream:
                head = await BufferedByteReceiveStream(stream).receive_until(b"\r\n\r\n", MAX_LINE)
                lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
                api.requests.append({name.lower(): value for name, _, value in lines})
                api.asked.set()
                if answer is not None:
                    body = json.dumps(answer).encode()
                    await stream.send(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                    )
                    return
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    api.abandoned.set()

        tasks.start_soon(listener.serve, handle)
        yield api
        tasks.cancel_scope.cancel()
