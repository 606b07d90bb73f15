"""Starts an entry of a client's configuration as the client does, and asks it for its tools."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import anyio
import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from inkbox_mcp import __version__
from inkbox_mcp.commands.checks import Check
from inkbox_mcp.protocol.instructions import NO_KEY
from inkbox_mcp.settings.credentials import without_keys
from inkbox_mcp.settings.options import options

SECONDS = 60.0
"""The least that a client waits for a server that starts."""
_MOST_SHOWN = 300
_LEAST_SECRET = 6
"""Characters. Shorter values, such as `1`, are in too many words."""


@dataclass(frozen=True)
class Launch:
    """What a client starts or connects to, with all variables replaced.

    Attributes:
        command: a path.
        args: of the command.
        env: beside the few variables that each client passes on.
        folder: where it starts.
        url: in place of a command.
        headers: of requests to the URL.
    """

    command: str = ""
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    folder: Path | None = None
    url: str = ""
    headers: Mapping[str, str] | None = None

    def without_secrets(self, text: str) -> str:
        """Remove keys, and values of what may be a secret, from a text."""
        public = {option.environment for option in options() if option.flag} | {"PATH", "HOME"}
        env = {name: value for name, value in (self.env or {}).items() if name not in public}
        for value in sorted({*env.values(), *(self.headers or {}).values()}, key=len, reverse=True):
            text = text.replace(value, "…") if len(value) >= _LEAST_SECRET else text
        return without_keys(text)


async def start(launch: Launch, seconds: float = SECONDS) -> list[Check]:
    """Start a server, or connect to it, and list its tools; end it in every case.

    Args:
        launch: what the client does.
        seconds: after which a server that does not answer counts as hung.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as written:
        hung = False
        try:
            with anyio.fail_after(seconds):
                return await _tools_of(launch, written)
        except* TimeoutError:
            hung, why = True, f"no answer in {seconds:g} seconds"
        except* (MCPError, OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL) as errors:
            why = str(next(_leaves(errors)))
        written.seek(0)
        said = "" if hung else _last_line(written.read())
    why = launch.without_secrets(said or why)[:_MOST_SHOWN]
    return [Check("start", False, why, _fix(launch, said))]


async def _tools_of(launch: Launch, written: TextIO) -> list[Check]:
    if not launch.url:
        server = StdioServerParameters(
            command=launch.command, args=[*launch.args], env={**(launch.env or {})}, cwd=launch.folder
        )
        async with Client(stdio_client(server, errlog=written), mode="legacy") as client:
            return await _seen(client)
    async with (
        httpx2.AsyncClient(headers={**(launch.headers or {})}) as http,
        Client(streamable_http_client(launch.url, http_client=http), mode="legacy") as client,
    ):
        return await _seen(client)


async def _seen(client: Client) -> list[Check]:
    info = client.server_info
    name, version = (info.name, info.version) if info else ("a server without a name", "")
    if name != "inkbox-mcp":
        fix = "this entry is of another server: name the command of this one, or remove the entry"
        return [Check("start", False, f"{name} {version} answers, not inkbox-mcp", fix)]
    note = "" if version == __version__ else f" (this command is {__version__})"
    checks = [Check("start", True, f"inkbox-mcp {version} answers{note}")]
    if NO_KEY in (client.instructions or ""):
        fix = 'write it as INKBOX_API_KEY into the "env" of the entry; an app does not see the variables of your shell'
        checks.append(Check("key", False, "not set", fix))
    tools = (await client.list_tools()).tools
    return [*checks, Check("tools", True, ", ".join(tool.name for tool in tools) or "none")]


def _last_line(text: str) -> str:
    """Return the line that tells most: of this server if there is one, otherwise the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("inkbox-mcp: ")]
    return (ours or lines or [""])[-1]


def _fix(launch: Launch, said: str) -> str:
    if launch.url:
        return "check that the server runs at this URL, and that the headers are those that it wants"
    if said.startswith("inkbox-mcp: "):
        return "correct that in the entry's args or env; inkbox-mcp --help has all options"
    return "run the command with its args in a terminal: it must start and wait for input"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[Any]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error
