"""`inkbox-mcp demo`: a real MCP client starts a real server on a temporary sandbox and goes on a tour of the tools."""

import json
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.commands.tour import STEPS, Step
from inkbox_mcp.settings.options import SettingsError
from inkbox_mcp.settings.sources import load

COMMAND = (sys.executable, "-m", "inkbox_mcp")
SECONDS_TO_ANSWER = 60.0
"""Seconds after which a server that does not answer counts as dead."""
_WIDTH = 100


def run(arguments: Sequence[str]) -> int:
    """Run the command `demo` and return its exit status."""
    Parser("demo", "Watch a real MCP client run mailboxes and wait for mail on a temporary sandbox.").choose(arguments)
    load({}, {})  # the tour's server reads the config file too; this reports its errors
    try:
        return anyio.run(play)
    except* SettingsError as errors:  # of stdout
        failed = errors
    raise SettingsError(str(next(_leaves(failed))))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error


async def play(steps: Sequence[Step] = STEPS, server: Sequence[str] = COMMAND) -> int:
    """Make every call and print what an agent sees.

    Args:
        steps: the calls.
        server: the command that starts the server, without its options.

    Returns:
        0 if all results were as expected, otherwise 1, also if the server ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "demo.db")
        command, *first = server
        options = [*first, "--sandbox", "--sandbox-db", database, "--log-level", "warning"]
        try:
            async with Client(
                StdioServerParameters(command=command, args=options), read_timeout_seconds=SECONDS_TO_ANSWER
            ) as client:
                if not await _tour(client, steps, database):
                    return 1
        except* (MCPError, OSError) as errors:
            failed = errors
        else:
            _say(f"All {len(steps)} calls went as expected. The tour's sandbox has been deleted.")
            return 0
    _say(f"   The server failed ({next(_leaves(failed))}): the tour stops here.")
    return 1


async def _tour(client: Client, steps: Sequence[Step], database: str) -> bool:
    """Make the calls until a result is not as expected."""
    tools = (await client.list_tools()).tools
    _say(_wrapped(f"Started the server over stdio; it offers {', '.join(tool.name for tool in tools)}.\n"))
    kept: dict[str, str] = {}
    for number, each in enumerate(steps, start=1):
        step = replace(each, arguments={name: _filled(value, kept) for name, value in each.arguments.items()})
        _say(f"{number}. {step.says}\n   → {step.tool} {json.dumps(step.arguments)}")
        result = await _call(client, step, database)
        _say(_marked("←", _answer(result)) + "\n")
        if not _as_expected(step, result):
            _say("   That is not what should have happened: the tour stops here.")
            return False
        kept |= {name: find(result.structured_content or {}) for name, find in step.keeps.items()}
    return True


def _filled(value: Any, kept: Mapping[str, str]) -> Any:
    """Return an argument with what was kept in place of its name."""
    return kept.get(value[1:-1], value) if isinstance(value, str) and value[:1] == "{" else value


async def _call(client: Client, step: Step, database: str) -> CallToolResult:
    """Make a call. Its mail comes when it has looked for the first time, and reports that it waits."""
    if not step.mail:
        return await client.call_tool(step.tool, step.arguments)
    is_waiting = anyio.Event()
    results: list[CallToolResult] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the SDK's
        is_waiting.set()

    async def wait() -> None:
        results.append(await client.call_tool(step.tool, step.arguments, progress_callback=report))
        if not is_waiting.is_set():
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await is_waiting.wait()
        await _deliver(step.mail, database)
    return results[0]


async def _deliver(mail: Sequence[str], database: str) -> None:
    """Deliver mail as anybody else could: by a process of its own, which knows the sandbox's file only."""
    arguments = ("sandbox", "deliver", *mail, "--db", database)
    _say(_marked("✉", _wrapped(f"from outside, meanwhile: {shlex.join(('inkbox-mcp', *arguments))}")))
    delivered = await anyio.run_process([*COMMAND, *arguments], check=False)
    if delivered.returncode:
        _say(_marked("✉", delivered.stderr.decode(errors="replace").strip()))


def _as_expected(step: Step, result: CallToolResult) -> bool:
    if result.is_error or step.error:
        return result.is_error and (result.meta or {}).get("code") == step.error
    return step.check(result.structured_content)


def _answer(result: CallToolResult) -> str:
    if not result.is_error:
        # The lines of a text are easier to read below each other.
        text = json.dumps(result.structured_content, indent=2, ensure_ascii=False).replace("\\n", "\n" + " " * 6)
        return "\n".join(_wrapped(line) for line in text.split("\n"))
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return _wrapped(f"error: {' '.join(texts)}")


def _wrapped(text: str) -> str:
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _marked(mark: str, text: str) -> str:
    return textwrap.indent(text, "     ").replace("     ", f"   {mark} ", 1)


def _say(text: str) -> None:
    show(text + "\n")
