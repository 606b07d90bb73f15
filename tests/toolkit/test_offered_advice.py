"""What is wrong is always said, and what to do names only tools that can be called."""

import re
from typing import Any

import pytest
from mcp import MCPError

from tests.support.agents import connect

OFF: list[tuple[dict[str, Any], str, dict[str, Any], str]] = [
    (
        {"exclude_tools": ["link_mailbox", "update_identity"]},
        "update_mailbox",
        {"email_address": "sales", "status": "paused"},
        "unknown argument 'status'",
    ),
    (
        {"exclude_tools": ["update_mailbox"]},
        "update_identity",
        {"agent_handle": "sales-agent", "display_name": "Sales", "status": "active"},
        "unknown argument 'display_name'",
    ),
    (
        {"exclude_tools": ["get_identity"]},
        "get_mailbox",
        {"email_address": "sales", "agent_handle": "sales-agent"},
        "unknown argument 'agent_handle'",
    ),
    (
        {"exclude_tools": ["list_identities"]},
        "get_identity",
        {"agent_handle": "sales@inkboxmail.com"},
        'must be a handle such as "sales-agent", not an address. ',
    ),
    (
        {"exclude_tools": ["link_mailbox"]},
        "get_mailbox",
        {"email_address": "sales", "link_mailbox": True},
        "unknown argument 'link_mailbox'",
    ),
]


@pytest.mark.parametrize(("settings", "tool", "arguments", "fact"), OFF)
async def test_a_mistake_is_named_although_the_tool_that_would_help_is_off(
    settings: dict[str, Any], tool: str, arguments: dict[str, Any], fact: str
) -> None:
    """A model that does not learn what is wrong repeats it."""
    async with connect(sandbox=True, sandbox_db=":memory:", **settings) as agent:
        message = await agent.refused(tool, **arguments)
        assert fact in message
        advice = message.replace(fact, "")
        assert not [name for name in settings["exclude_tools"] if name in advice]


async def test_the_user_is_named_where_the_tool_that_would_help_is_off() -> None:
    """No half of an advice is left, whose other half needs a tool that is off."""
    async with connect(sandbox=True, sandbox_db=":memory:", exclude_tools=["unlink_mailbox"]) as agent:
        await agent.ask("create_identity", agent_handle="one-agent", mailbox_local_part="one")
        message = await agent.refused("link_mailbox", agent_handle="sales-agent", email_address="one")
        assert '"one-agent" has the mailbox "one@inkboxmail.com"' in message
        assert message.endswith("This server does not offer the tool for it: tell the user.")


@pytest.mark.parametrize(
    ("settings", "typed", "advice"),
    [
        ({"sandbox_generation": "identity"}, "create_mail_box", "Next: call create_identity with agent_handle."),
        ({"exclude_tools": ["delete_mailbox"]}, "delete_mailbx", "delete_mailbox is switched off on this server"),
        ({}, "list_mailboxs", "Did you mean list_mailboxes"),
    ],
)
async def test_a_misspelt_tool_is_answered_like_the_one_that_was_meant(
    settings: dict[str, Any], typed: str, advice: str
) -> None:
    """The nearest name may be one that cannot be called here; then the answer says what can."""
    async with connect(sandbox=True, sandbox_db=":memory:", **settings) as agent:
        with pytest.raises(MCPError, match=re.escape(advice)) as refused:
            await agent.call(typed)
        assert refused.value.error.code == -32602
        assert f"Unknown tool '{typed}'" in refused.value.error.message
