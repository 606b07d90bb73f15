"""Tools that exist only in tests, and a server that has them.

`python -m tests.support.extra_tools` is `inkbox-mcp` with these tools beside its own.
"""

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Metrics
from inkbox_mcp.toolkit.operation import Operation
from tests.support.agents import KEY, Handler
from tests.support.extra_tools.tools.trial import count_steps, make_all, show_all, wait_for_nothing
from tests.support.messages import ENVELOPE, HANDSHAKE, HEADERS
from tests.support.processes import Running, environment, start_process

MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "wait_for_nothing"}

COMMAND = (sys.executable, "-m", "tests.support.extra_tools")


def _empty(_: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, json=[])


def offering(
    *operations: Operation[Any, Any], metrics: Metrics | None = None, inkbox: Handler = _empty, **settings: Any
) -> Service:
    """Make a service that also has these tools; its Inkbox is empty, unless another is passed."""
    checked = Settings.model_validate({"api_key": KEY, "api_generation": "spec", **settings})
    service = Service(checked, lambda: httpx2.MockTransport(inkbox), metrics)
    for generation in GENERATIONS:
        offered = cast("dict[str, Operation[Any, Any]]", service.catalogues.of(generation).tools)
        offered.update({operation.name: operation for operation in operations})
    return service


@asynccontextmanager
async def in_process(era: str, _: Path) -> AsyncGenerator[Client]:
    """Connect a client to a server in this process."""
    async with Client(server_of(offering(show_all, make_all, count_steps, wait_for_nothing)), mode=era) as client:
        yield client


@asynccontextmanager
async def extra_stdio(era: str, home: Path) -> AsyncGenerator[Client]:
    """Connect a client to a process over stdio."""
    command, *arguments = COMMAND
    server = StdioServerParameters(command=command, args=[*arguments, "--sandbox"], env=environment(home))
    with open(os.devnull, "a") as stderr:  # noqa: ASYNC230, PTH123 - a device, which never blocks
        async with Client(stdio_client(server, errlog=stderr), mode=era) as client:
            yield client


@asynccontextmanager
async def serve_extra(*arguments: str, home: Path) -> AsyncGenerator[tuple[Running, str]]:
    """Start a process that serves HTTP on a free port; yield it and its origin."""
    async with start_process(*COMMAND, "--http", "--port", "0", "--sandbox", *arguments, home=home) as server:
        announcement = await server.log("serving MCP at ")
        yield server, announcement.partition("serving MCP at ")[2].partition("/mcp")[0]


@asynccontextmanager
async def wait_over_http(origin: str, era: str, seconds: float) -> AsyncGenerator[AsyncGenerator[dict[str, Any]]]:
    """Call the tool that waits without an MCP client; yield its messages. Leaving the context disconnects.

    Args:
        origin: the server's origin.
        era: "auto" for 2026-07-28, "legacy" for 2025-11-25, with a session if the server has sessions.
        seconds: how long to wait.
    """
    meta = {"progressToken": "t", **(ENVELOPE if era == "auto" else {})}
    params = {"name": "wait_for_nothing", "arguments": {"seconds": seconds}, "_meta": meta}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with httpx2.AsyncClient(base_url=origin, headers=HEADERS) as http:
        headers = MODERN if era == "auto" else await _handshake(http)
        async with http.stream("POST", "/mcp", json=call, headers=headers) as answer:
            yield _messages(answer)


async def _handshake(http: httpx2.AsyncClient) -> dict[str, str]:
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE}
    session = (await http.post("/mcp", json=hello)).headers.get("mcp-session-id")
    headers = {"Mcp-Session-Id": session} if session else {}
    await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    return headers


async def _messages(answer: httpx2.Response) -> AsyncGenerator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))
