"""Conversations over stdio with a server in this process."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.stdio.pipes import Pipes
from inkbox_mcp.stdio.serve import serve_pipes
from inkbox_mcp.stdio.warm_start import Beginning
from tests.support.messages import HANDSHAKE, rpc
from tests.support.processes import PATIENCE

HELLO = rpc(id=0, method="initialize", params=HANDSHAKE)
ACCEPTED = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}\n'


class Wire:
    """The client's side of a conversation."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._read = b""

    def say(self, *lines: bytes) -> None:
        """Write lines."""
        os.write(self._to, b"".join(lines))

    async def line(self) -> bytes:
        """Return the next line."""
        with anyio.fail_after(PATIENCE):
            while b"\n" not in self._read:
                await anyio.wait_readable(self._back)
                self._read += os.read(self._back, 1 << 16)
        line, _, self._read = self._read.partition(b"\n")
        return line

    async def hear(self) -> dict[str, Any]:
        """Return the next answer, except the one to the handshake."""
        while True:
            if (answer := json.loads(await self.line())).get("id") != 0:
                return answer

    def leave(self) -> None:
        """Close stdin."""
        os.close(self._to)


@asynccontextmanager
async def conversation(transport: TransportFactory, **chosen: Any) -> AsyncGenerator[Wire]:
    """Serve a client of 2025-11-25 on an Inkbox's transport. Leave before the conversation ends."""
    settings = Settings.model_validate({"api_key": "ApiKey_x.y", "api_generation": "spec", **chosen})
    async with served(Service(settings, transport), [(HELLO, ACCEPTED)]) as wire:
        yield wire


@asynccontextmanager
async def served(service: Service, exchanges: list[tuple[bytes, bytes]]) -> AsyncGenerator[Wire]:
    """Serve a client after these lines and answers, recorded in the spec generation. Leave before the end."""
    (stdin, to), (back, stdout) = os.pipe(), os.pipe()
    for fd in (stdin, stdout):
        os.set_blocking(fd, False)
    beginning = Beginning()
    beginning.exchanges, beginning.generation = exchanges, "spec"
    try:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                pipes = Pipes(stdin, stdout, tasks.cancel_scope.cancel)
                tasks.start_soon(serve_pipes, service, pipes, beginning)
                yield Wire(to, back)
    finally:
        for fd in (stdin, back, stdout):
            os.close(fd)
