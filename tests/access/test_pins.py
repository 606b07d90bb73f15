"""The operator's limits: tools that are switched off, and agents that this server must not touch."""

import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from inkbox_mcp.api.generations import Generation
from inkbox_mcp.catalogue import GENERATIONS, Catalogues
from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings, SettingsError
from inkbox_mcp.toolkit.operation import Operation
from inkbox_mcp.tools import instructions, operations
from tests.support.agents import Agent, connect, text
from tests.support.catalogue import EVERY, IDENTITY, SPEC
from tests.support.extra_tools.tools.letters import get_letter, send_letter

READING = [name for name, operation in SPEC.items() if operation.hints.read_only]
CHANGING = [name for name in SPEC if name not in READING]


@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        ({"read_only": True}, READING),
        ({"tools": "get_mailbox,delete_mailbox"}, ["get_mailbox", "delete_mailbox"]),
        ({"tools": "get_mailbox, delete_mailbox", "read_only": True}, ["get_mailbox"]),
        ({"exclude_tools": ", ".join(CHANGING)}, READING),
    ],
)
async def test_a_tool_that_is_off_is_not_listed_and_cannot_be_called(
    settings: dict[str, Any], offered: list[str], era: str
) -> None:
    """Read-only always wins, and excluding wins over including."""
    async with connect(mode=era, sandbox=True, sandbox_db=":memory:", **settings) as agent:
        client = agent.client
        assert [tool.name for tool in (await client.list_tools()).tools] == offered
        for name in {"delete_mailbox", "create_mailbox", "get_mailbox"} - set(offered):
            result = await client.call_tool(name, {"email_address": "a"})
            assert (result.meta or {})["code"] == "not_offered"
            assert "The operator of this server can change that. Tell the user." in text(result)


@pytest.mark.parametrize("option", ["tools", "exclude_tools"])
def test_a_misspelt_tool_stops_the_start(option: str) -> None:
    """A typing error must not leave a tool switched on that the operator wanted off."""
    with pytest.raises(SettingsError, match="delete_mailboxes: no such tool"):
        build_server(Settings.model_validate({option: "get_mailbox,delete_mailboxes"}))


@pytest.mark.parametrize("wrong", ["mails", "Mail", "account", "get_mailbox", "None"])
def test_a_misspelt_toolset_stops_the_start(wrong: str) -> None:
    """The line names those that exist."""
    with pytest.raises(SettingsError) as caught:
        build_server(Settings.model_validate({"toolsets": f"mailboxes,{wrong}"}))
    known = ", ".join(sorted({tool.toolset for tool in EVERY.values() if tool.toolset}))
    assert str(caught.value) == f"{wrong}: no such toolset; the toolsets are {known}"


def test_the_tools_for_webhooks_are_a_toolset() -> None:
    """The generation that has them as tools has a file for them; `whoami` belongs to no toolset."""
    webhooks = {tool.name for tool in IDENTITY.values() if tool.toolset == "webhooks"}
    assert webhooks == {"create_webhook", "list_webhooks", "update_webhook", "delete_webhook"} & {*IDENTITY}
    assert [tool.name for tool in EVERY.values() if tool.toolset is None] == ["whoami"]
    assert all(tool.toolset == "mailboxes" for tool in EVERY.values() if re.search("identit|link", tool.name))


def with_letters(generation: Generation) -> dict[str, Operation[Any, Any]]:
    """Return the tools of a generation, and two more that are about mail."""
    return operations(generation) | {tool.name: tool for tool in (get_letter, send_letter)}


LETTERS = {"get_letter", "send_letter"}
MAIL = LETTERS | {tool.name for tool in EVERY.values() if tool.toolset == "mail"}


@pytest.mark.parametrize(
    ("settings", "offered"),
    [
        ({"toolsets": "mail"}, MAIL | {"whoami"}),
        ({"toolsets": "mail", "read_only": True, "exclude_tools": "whoami"}, None),
        ({"toolsets": "mail", "tools": "send_letter,get_mailbox,whoami"}, {"send_letter", "whoami"}),
        ({"toolsets": "mail", "tools": "send_letter,get_mailbox"}, {"send_letter"}),
        ({"toolsets": "mail", "exclude_tools": ["whoami", *MAIL - {"get_letter"}]}, {"get_letter"}),
        ({"toolsets": "mailboxes"}, {tool.name for tool in SPEC.values() if tool.toolset in {"mailboxes", None}}),
        ({"toolsets": "mailboxes,mail,webhooks"}, {*SPEC} | LETTERS),
    ],
)
def test_a_toolset_takes_all_other_tools_away(settings: dict[str, Any], offered: set[str] | None) -> None:
    """A tool must be in a chosen toolset, and allowed by every other option; a read-only server still reads mail."""
    tools = Catalogues(Settings.model_validate(settings), with_letters).of("spec").tools
    if offered is None:
        offered = {name for name in MAIL if with_letters("spec")[name].hints.read_only}
        assert offered >= {"get_letter"}
    assert {*tools} == offered & {*with_letters("spec")}


async def test_a_tool_outside_the_chosen_toolsets_is_switched_off(era: str) -> None:
    """It is not listed, no text names it, and a call answers like that of any other tool that is off."""
    settings: dict[str, Any] = {
        "toolsets": "webhooks",
        "sandbox": True,
        "sandbox_db": ":memory:",
        "sandbox_generation": "identity",
    }
    async with connect(mode=era, **settings) as agent:
        listed = {tool.name for tool in (await agent.client.list_tools()).tools}
        assert listed == {name for name, tool in IDENTITY.items() if tool.toolset in {"webhooks", None}}
        result = await agent.call("list_mailboxes")
        assert (result.meta or {})["code"] == "not_offered"
        assert "list_mailboxes is switched off on this server" in text(result)
        assert "list_mailboxes" not in (agent.client.instructions or "")


def test_a_file_whose_tools_are_all_off_says_nothing() -> None:
    """A sentence that names no tool would otherwise stay, and speak of what the reader cannot do."""
    for generation in GENERATIONS:
        for module in {sys.modules[tool.function.__module__] for tool in operations(generation).values()}:
            here = {
                tool.name for tool in operations(generation).values() if tool.function.__module__ == module.__name__
            }
            others = {*operations(generation)} - here
            for sentence in getattr(module, "INSTRUCTIONS", ()):
                assert sentence in instructions(generation, here)
                assert sentence not in instructions(generation, others)


@asynccontextmanager
async def pinned(**settings: Any) -> AsyncGenerator[tuple[Agent, list[httpx2.Request]]]:
    """Connect an agent with limits to a sandbox that has a mailbox `sales` and a mailbox `support`."""
    requests: list[httpx2.Request] = []
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store))

        async def record(request: httpx2.Request) -> httpx2.Response:
            requests.append(request)
            return await app.handle_async_request(request)

        async with connect(record, sandbox=True) as agent:
            for name in ("sales", "support"):
                await agent.ask("create_mailbox", agent_handle=f"{name}-agent", email_local_part=name)
        requests.clear()
        async with connect(record, sandbox=True, **settings) as agent:
            yield agent, requests


def changing(requests: list[httpx2.Request]) -> list[str]:
    """Return the requests about mailboxes, without the lookups of identities."""
    return [f"{request.method} {request.url.path}" for request in requests if "/mailboxes" in request.url.path]


@pytest.mark.parametrize("address", ["support", "support@inkboxmail.com", "SUPPORT@INKBOXMAIL.COM", "sales@evil.com"])
@pytest.mark.parametrize("limit", [{"allow_addresses": "sales@inkboxmail.com,x*"}, {"allow_handles": "sales-*"}])
async def test_another_agents_mailbox_cannot_be_touched(limit: dict[str, str], address: str) -> None:
    """The server refuses every spelling of the address before it sends a request."""
    async with pinned(**limit) as (agent, requests):
        for tool, more in (("get_mailbox", {}), ("update_mailbox", {"display_name": "x"}), ("delete_mailbox", {})):
            message = await agent.refused(tool, email_address=address, **more)
            assert "outside what this server's operator allows" in message
        assert changing(requests) == []


@pytest.mark.parametrize("address", ["sales", "sales@inkboxmail.com", "Sales@InkboxMail.com"])
@pytest.mark.parametrize("limit", [{"allow_addresses": "SALES@*"}, {"allow_handles": "SALES-*"}])
async def test_ones_own_mailbox_can_be_used_and_is_all_that_is_listed(limit: dict[str, str], address: str) -> None:
    """`list_mailboxes` shows only the allowed mailboxes, and `total` counts only these."""
    async with pinned(**limit) as (agent, _):
        mine = await agent.ask("get_mailbox", email_address=address)
        page = await agent.ask("list_mailboxes")
        assert [row["email_address"] for row in page["mailboxes"]] == [mine["email_address"]]
        (pattern,) = limit.values()
        assert (page["total"], page["of"]) == (1, 1)
        assert page["limited_to"] == [f"{'agent_handle' if 'allow_handles' in limit else 'email_address'} {pattern}"]
        assert (await agent.ask("whoami"))["limited_to"] == page["limited_to"]
        await agent.ask("delete_mailbox", email_address=address)


@pytest.mark.parametrize(
    "settings",
    [
        {"tools": "get_mailbox", "exclude_tools": "get_mailbox"},
        {"tools": "create_mailbox", "read_only": True},
        {"tools": "get_mailbox", "toolsets": "webhooks"},
        {"toolsets": "webhooks", "exclude_tools": "whoami", "sandbox_generation": "spec"},
    ],
)
def test_a_server_that_would_offer_nothing_does_not_start(settings: dict[str, Any]) -> None:
    """A server without tools is surely a mistake in its options."""
    with pytest.raises(SettingsError, match="together leave no tool"):
        build_server(Settings.model_validate({"sandbox": True, **settings}))


@pytest.mark.parametrize(
    ("option", "wrong", "right"),
    [
        ("allow_addresses", "sales", "sales@inkboxmail.com"),
        ("allow_addresses", "a*,sales", "a*"),
        ("allow_recipients", "*", "*@*"),
        ("allow_recipients", "acme.com", "*@acme.com"),
        ("allow_recipients", "*acme.com", "*@*.acme.com"),
        ("allow_recipients", "@acme.com", "?@acme.com"),
        ("allow_recipients", "jane@acme", "jane@acme.*"),
        ("allow_recipients", "jane@acme.com.", "jane@acme.com"),
        ("allow_recipients", "jane@.acme.com", "Jane.O'Neil+x@Acme.COM"),
        ("allow_recipients", "Jane <jane@acme.com>", "[jt]ane@acme.com"),
        ("allow_recipients", "mailto:jane@acme.com", "[!x]*@acme.com"),
        ("allow_recipients", "*@evil.com@acme.com", "*@acme.com"),
        ("allow_recipients", "*@m\u00fcnchen.de", "*@xn--mnchen-3ya.de"),
        ("allow_recipients", "*@acme\n.com", "*@acme.com"),
        ("allow_recipients", "j\u200bane@acme.com", "jane@acme.com"),
        ("allow_webhook_hosts", "https://example.com", "example.com"),
        ("allow_webhook_hosts", "example.com:443", "*.example.com"),
        ("allow_webhook_hosts", "example.com/", "2001:db8::1"),
    ],
)
def test_a_pattern_that_can_match_nothing_stops_the_start(option: str, wrong: str, right: str) -> None:
    """Such a pattern would refuse every value, which the operator cannot have intended."""
    assert getattr(Settings.model_validate({option: right}), option) == (right,)
    with pytest.raises(ValueError, match="must be"):
        Settings.model_validate({option: wrong})


async def test_a_handle_may_be_allowed_with_its_sign() -> None:
    """The option accepts the `@` before a handle, as the tools do."""
    async with pinned(allow_handles="@sales-*") as (agent, _):
        assert (await agent.ask("get_identity", agent_handle="sales-agent"))["agent_handle"] == "sales-agent"


async def test_a_mailbox_can_be_made_only_for_an_allowed_handle() -> None:
    """The refusal names the argument and the pattern."""
    async with pinned(allow_handles="sales-*") as (agent, requests):
        message = await agent.refused("create_mailbox", agent_handle="@support-agent")
        assert "agent_handle is outside what this server's operator allows (sales-*)" in message
        assert requests == []


async def test_a_mailbox_can_be_made_only_at_an_allowed_address() -> None:
    """The agent could not use a mailbox with a random address that the limit does not allow."""
    async with pinned(allow_addresses="team-*@inkboxmail.com") as (agent, requests):
        for arguments in ({}, {"email_local_part": "other"}):
            message = await agent.refused("create_mailbox", agent_handle="sales-agent", **arguments)
            what = "email_local_part" if arguments else "a random address (pass email_local_part)"
            assert f"{what} is outside" in message
        assert requests == []


@pytest.mark.parametrize("url", ["https://evil.com/", "https://hooks.example.com.evil.com/", "https://example.com/"])
async def test_a_webhook_can_go_only_to_an_allowed_host(url: str) -> None:
    """The pattern must match the whole host, so a longer host that contains an allowed one is refused."""
    async with pinned(allow_webhook_hosts="*.example.com") as (agent, requests):
        assert "webhook_url's host" in await agent.refused("update_mailbox", email_address="sales", webhook_url=url)
        assert requests == []
        await agent.ask("update_mailbox", email_address="sales", webhook_url="https://Hooks.Example.com./in")
