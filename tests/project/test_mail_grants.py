"""What docs/mail.md says of the operator's choices is what they do."""

import re
from pathlib import Path
from typing import Any

from inkbox_mcp.access.scopes import MAIL_READ, MAIL_SEND, needed
from inkbox_mcp.errors import TooManyRecipients, TooManyWaits
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.tools import attachments, operations
from tests.support.agents import connect
from tests.support.alike import BOTH

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "mail.md").read_text(encoding="utf-8")
TABLE = DOCUMENT.split("\n| tool |")[1].split("\n\n")[0]
TOOLS = {name: bool(marks.strip()) for name, marks in re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", TABLE, re.MULTILINE)}
"""The tools by name, and whether they only read: then the document says whether they mark messages read."""
READING = {name for name, only_reads in TOOLS.items() if only_reads}


async def offered(**settings: Any) -> set[str]:
    """Return the names of the tools that a server offers."""
    async with connect(sandbox=True, sandbox_db=":memory:", **settings) as agent:
        return {tool.name for tool in (await agent.client.list_tools()).tools}


@BOTH
async def test_the_toolsets_of_the_document_have_its_tools(generation: str) -> None:
    """One has all of its tools, the other two none."""
    assert await offered(toolsets=["mail"], sandbox_generation=generation) == {*TOOLS, "whoami"}
    assert not TOOLS.keys() & await offered(toolsets=["mailboxes", "webhooks"], sandbox_generation=generation)
    assert "`--toolsets mailboxes,webhooks`" in DOCUMENT


@BOTH
async def test_a_read_only_server_has_the_tools_that_read(generation: str) -> None:
    """And no others that are about mail."""
    assert TOOLS.keys() & await offered(read_only=True, sandbox_generation=generation) == READING


def test_scopes_are_those_of_the_document() -> None:
    """One for the tools that read, one for the others."""
    assert f"the scope `{MAIL_READ}` for the tools that read and wait, and `{MAIL_SEND}`" in DOCUMENT
    tools = operations("spec") | operations("identity")
    assert {name: needed(tools[name]) for name in TOOLS} == {
        name: {MAIL_READ if name in READING else MAIL_SEND} for name in TOOLS
    }


def test_the_numbers_of_the_operators_choices_are_those_of_the_code() -> None:
    """The defaults of two limits, their errors, and what is shown of an attachment."""
    most = Settings.model_fields["max_waits"].default
    assert f"may have at the same time, {most} unless it says otherwise" in DOCUMENT
    assert f"with `{TooManyWaits.code}`" in DOCUMENT
    recipients = Settings.model_fields["max_recipients_per_hour"].default
    assert re.search(rf"may have in an hour, {recipients} unless it\s+says otherwise", DOCUMENT)
    assert f"and `{TooManyRecipients.code}` says when" in DOCUMENT
    assert f"texts of up to {attachments.MAX_CHARS:,} characters" in DOCUMENT
    assert f"pictures of up to {attachments.MAX_PICTURE_BYTES // 10**6} MB" in DOCUMENT
