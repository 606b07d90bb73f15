"""Agents, and how they connect to a server in this process or at a URL."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, TextContent

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.metrics import Metrics

KEY = "ApiKey_11111111-1111-4111-8111-111111111111.top-secret"

Handler = Callable[[httpx2.Request], httpx2.Response]
AsyncHandler = Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]
Inkbox = str | Handler | AsyncHandler | httpx2.AsyncBaseTransport
"""An Inkbox API: its base URL, a function from request to response, or a transport."""


class Agent:
    """Calls a server's tools by name. Returns data or an error's text."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool and return the whole result."""
        return await self.client.call_tool(tool, arguments)

    async def ask(self, tool: str, **arguments: Any) -> Any:
        """Call a tool that must succeed and return its data."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text(result)
        return result.structured_content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail and return the error's text."""
        result = await self.call(tool, **arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        return text(result)


def text(result: CallToolResult) -> str:
    """Return the text of a result."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def server_on(inkbox: Inkbox | None = None, counted_in: Metrics | None = None, **settings: Any) -> Server[Service]:
    """Build a server on an Inkbox, with a key unless it is a sandbox.

    Args:
        inkbox: None for the one that the settings name.
        counted_in: the metrics of its calls.
        settings: as the options' names have them; the generation of the API is named and taken for an answer's, so
            that nobody looks for it.
    """
    named = {} if settings.get("sandbox") else {"api_key": KEY, "api_generation": "spec"}
    given = {**named, **settings}
    if isinstance(inkbox, str):
        given["base_url"] = inkbox
        inkbox = None
    checked = Settings.model_validate(given)
    if inkbox is None:
        service = Service(checked, metrics=counted_in)
    else:
        transport = inkbox if isinstance(inkbox, httpx2.AsyncBaseTransport) else httpx2.MockTransport(inkbox)
        service = Service(checked, lambda: transport, counted_in)
    if checked.generation:
        service.discovery.known(LOCAL).learn(checked.generation)
    return server_of(service)


@asynccontextmanager
async def connect(
    inkbox: Inkbox | None = None,
    mode: str = "auto",
    human: ElicitationFnT | None = None,
    counted_in: Metrics | None = None,
    **settings: Any,
) -> AsyncGenerator[Agent]:
    """Connect an agent to a server in this process; see `server_on`.

    Args:
        inkbox: that the server works on.
        mode: "auto" for protocol 2026-07-28, "legacy" for 2025-11-25.
        human: answers questions; without one the client cannot ask.
        counted_in: the metrics of its calls.
        settings: of the server.
    """
    server = server_on(inkbox, counted_in, **settings)
    async with Client(server, mode=mode, elicitation_callback=human) as client:
        yield Agent(client)


@asynccontextmanager
async def connect_http(
    url: str, http: httpx2.AsyncClient, mode: str = "auto", human: ElicitationFnT | None = None
) -> AsyncGenerator[Agent]:
    """Connect an agent to the endpoint at a URL by an HTTP client, which is closed at the end."""
    seconds = http.timeout.read
    async with (
        http,
        Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            elicitation_callback=human,
            read_timeout_seconds=seconds,
        ) as client,
    ):
        yield Agent(client)
