"""`inkbox-mcp demo`: a real MCP client starts a real server on a temporary sandbox and shows a mailbox's whole life."""

import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.settings.options import SettingsError
from inkbox_mcp.settings.sources import load

Check = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True)
class Step:
    """One call of the tour, with the expected error code or a check of the result."""

    says: str
    tool: str
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str | None = None
    check: Check = lambda _: True


ADDRESS = "sales.team@inkboxmail.com"
WEBHOOK = "https://example.com/inkbox-events"

STEPS = (
    Step(
        "Give the agent identity sales-agent a mailbox.",
        "create_mailbox",
        {"agent_handle": "@sales-agent", "display_name": "Sales", "email_local_part": "sales.team"},
        check=lambda mailbox: mailbox["email_address"] == ADDRESS,
    ),
    Step(
        "Once more? An identity has at most one mailbox, and the error says what to do.",
        "create_mailbox",
        {"agent_handle": "sales-agent"},
        error="conflict",
    ),
    Step("See what exists.", "list_mailboxes", check=lambda page: page["total"] == 1),
    Step(
        "Look at it; the part before the @ is enough.",
        "get_mailbox",
        {"email_address": "sales.team"},
        check=lambda mailbox: mailbox["display_name"] == "Sales",
    ),
    Step(
        "Rename it.",
        "update_mailbox",
        {"email_address": ADDRESS, "display_name": "Sales Team"},
        check=lambda mailbox: mailbox["display_name"] == "Sales Team",
    ),
    Step(
        "Have its events posted to a webhook.",
        "update_mailbox",
        {"email_address": ADDRESS, "webhook_url": WEBHOOK},
        check=lambda mailbox: mailbox["webhook_url"] == WEBHOOK,
    ),
    Step(
        "Null unsubscribes; the omitted name stays.",
        "update_mailbox",
        {"email_address": ADDRESS, "webhook_url": None},
        check=lambda mailbox: mailbox["webhook_url"] is None and mailbox["display_name"] == "Sales Team",
    ),
    Step("Delete it.", "delete_mailbox", {"email_address": ADDRESS}, check=lambda result: result["deleted"]),
    Step("It is gone.", "get_mailbox", {"email_address": ADDRESS}, error="not_found"),
)


def run(arguments: Sequence[str]) -> int:
    """Run the command `demo` and return its exit status."""
    Parser("demo", "Watch a real MCP client run a mailbox's whole life on a temporary sandbox.").choose(arguments)
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


async def play(steps: Sequence[Step] = STEPS) -> int:
    """Make every call and print what an agent sees.

    Returns:
        0 if all results were as expected, otherwise 1.
    """
    with tempfile.TemporaryDirectory() as folder:
        server = StdioServerParameters(
            command=sys.executable,
            args=[
                "-m",
                "inkbox_mcp",
                "--sandbox",
                "--sandbox-db",
                str(Path(folder) / "demo.db"),
                "--log-level",
                "warning",
            ],
        )
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            _say(f"Started the server over stdio; it offers {', '.join(tool.name for tool in tools)}.\n")
            for number, step in enumerate(steps, start=1):
                result = await client.call_tool(step.tool, step.arguments)
                _say(f"{number}. {step.says}\n   → {step.tool} {json.dumps(step.arguments)}")
                _say(textwrap.indent(_answer(result), "     ").replace("     ", "   ← ", 1) + "\n")
                if not _as_expected(step, result):
                    _say("   That is not what should have happened: the tour stops here.")
                    return 1
    _say(f"All {len(steps)} calls went as expected. The tour's sandbox has been deleted.")
    return 0


def _as_expected(step: Step, result: CallToolResult) -> bool:
    if result.is_error or step.error:
        return result.is_error and (result.meta or {}).get("code") == step.error
    return step.check(result.structured_content)


def _answer(result: CallToolResult) -> str:
    if not result.is_error:
        return json.dumps(result.structured_content, indent=2, ensure_ascii=False)
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return "\n".join(textwrap.wrap(f"error: {' '.join(texts)}", 100))


def _say(text: str) -> None:
    show(text + "\n")
