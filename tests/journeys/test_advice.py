"""Every advice in an answer can be followed, and helps, on both API generations."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client

from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from tests.support.agents import Agent, connect, text
from tests.support.alike import BOTH, choices
from tests.support.catalogue import CATALOGUES, EVERY, generation_of
from tests.support.follower import Follower, proposals

HOOK = "https://hooks.example.com/inkbox"
ID = "123e4567-e89b-42d3-a456-426614174000"


@asynccontextmanager
async def empty(
    generation: Any, fault: Callable[[httpx2.Request], httpx2.Response | None] = lambda _: None
) -> AsyncGenerator[Follower]:
    """Yield a follower in an empty organization; `fault` may answer in place of the sandbox."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation=generation))

        async def answer(request: httpx2.Request) -> httpx2.Response:
            return fault(request) or await app.handle_async_request(request)

        async with connect(answer, sandbox=True, sandbox_generation=generation) as agent:
            for identity in (await agent.ask("list_identities"))["identities"]:
                await agent.ask("delete_identity", agent_handle=identity["agent_handle"])
        # A second server has learnt nothing yet.
        async with connect(answer, sandbox=True, sandbox_generation=generation) as agent:
            yield Follower(agent, generation)


async def both_lists(follower: Follower) -> tuple[list[Any], list[Any]]:
    """Return all identities and all mailboxes."""
    identities = await follower.agent.ask("list_identities")
    mailboxes = await follower.agent.ask("list_mailboxes")
    return identities["identities"], mailboxes["mailboxes"]


@BOTH
async def test_an_agent_gets_from_nothing_to_a_mailbox_and_back_to_nothing(generation: str) -> None:
    """The agent makes an identity with its mailbox, uses it, and deletes all of it."""
    async with empty(generation) as follower:
        made = await follower.reach("create_identity", agent_handle="new-agent")
        assert made["email_address"]
        await follower.reach("get_mailbox", email_address=made["email_address"])
        if generation == "spec":
            await follower.reach("delete_mailbox", email_address=made["email_address"])
        await follower.reach("delete_identity", agent_handle="new-agent")
        assert await both_lists(follower) == ([], [])


async def test_a_mailbox_for_an_identity_that_does_not_exist_leads_to_those_that_do() -> None:
    """Not at once to a new identity: the handle may be mistyped."""
    async with empty("spec") as follower:
        page = await follower.reach("create_mailbox", agent_handle="new-agent")
        assert (page["identities"], follower.made) == ([], ["create_mailbox", "list_identities"])


async def test_a_second_mailbox_leads_to_the_first() -> None:
    """The conflict names the existing mailbox and the tool that shows it."""
    async with empty("spec") as follower:
        first = await follower.reach("create_identity", agent_handle="new-agent")
        again = await follower.reach("create_mailbox", agent_handle="new-agent")
        assert again["email_address"] == first["email_address"]


@BOTH
async def test_an_identity_that_exists_leads_to_itself(generation: str) -> None:
    """The conflict names its mailbox, and nothing is made twice."""
    async with empty(generation) as follower:
        first = await follower.reach("create_identity", agent_handle="new-agent")
        again = await follower.reach("create_identity", agent_handle="new-agent")
        assert again["email_address"] == first["email_address"]
        assert (await follower.agent.ask("list_identities"))["total"] == 1


MISTYPED = ["sales", "Sales-Agent", "sales_agent", "salesagent", "sales agnt".replace(" ", "-"), "SALES.AGENT"]


@BOTH
@pytest.mark.parametrize("typed", choices(MISTYPED, {"Sales-Agent", "sales_agent", "salesagent"}))
@pytest.mark.parametrize("tool", ["get_identity", "update_identity", "unlink_mailbox", "create_mailbox"])
async def test_a_mistyped_handle_leads_to_the_identity_and_never_to_a_twin(
    generation: str, tool: str, typed: str
) -> None:
    """The error proposes the similar handle; it does not propose to make another identity."""
    if tool not in CATALOGUES[generation].tools:
        return
    more = {"status": "paused"} if generation == "spec" else {"display_name": "x"}
    async with empty(generation) as follower:
        made = await follower.reach("create_identity", agent_handle="sales-agent")
        if tool == "create_mailbox":
            await follower.reach("delete_mailbox", email_address=made["email_address"])
        if generation == "identity" and typed.lower() == "sales-agent":
            return  # the API finds it
        message = await follower.agent.refused(tool, agent_handle=typed, **(more if tool == "update_identity" else {}))
        assert 'Did you mean "sales-agent"?' in message
        assert "create_identity" not in message
        await follower.reach(tool, agent_handle=typed, **(more if tool == "update_identity" else {}))
        assert follower.made[-2:] == [tool, tool]


@BOTH
@pytest.mark.parametrize("typed", MISTYPED)
async def test_a_repeated_deletion_proposes_no_other_identity(generation: str, typed: str) -> None:
    """The wanted one may be deleted already. Only a name of another form is mentioned, for the user to decide."""
    async with empty(generation) as follower:
        await follower.reach("create_identity", agent_handle="sales-agent")
        if generation == "identity" and typed.lower() == "sales-agent":
            return  # the API finds it
        message = await follower.agent.refused("delete_identity", agent_handle=typed)
        assert "it may be deleted already" in message
        assert "call again" not in message
        assert "Did you mean" not in message
        is_same = typed.lower().translate({ord(mark): None for mark in "-_."}) == "salesagent"
        assert ('There is "sales-agent": ask the user' in message) is is_same


async def test_a_repeated_deletion_proposes_no_other_mailbox() -> None:
    """As for identities; only the spec generation deletes mailboxes by themselves."""
    async with empty("spec") as follower:
        await follower.reach("create_identity", agent_handle="sales-agent", mailbox_local_part="sales-team")
        message = await follower.agent.refused("delete_mailbox", email_address="sales-tea")
        assert "it may be deleted already. Next: call list_mailboxes." in message
        message = await follower.agent.refused("delete_mailbox", email_address="sales_team")
        assert 'it may be deleted already. There is "sales-team@inkboxmail.com": ask the user' in message


@BOTH
@pytest.mark.parametrize(
    "typed", ["sales-te", "Sales.Team", "salesteam@inkboxmail.com", "sales-team@inkboxmail.co", "sales-team@acme.com"]
)
async def test_a_mistyped_address_leads_to_the_mailbox(generation: str, typed: str) -> None:
    """The error proposes the whole address, also where only the domain is another."""
    name = {"mailbox_local_part": "sales-team"} if generation == "spec" else {}
    async with empty(generation) as follower:
        made = await follower.reach("create_identity", agent_handle="sales-team", **name)
        address = made["email_address"]
        assert f'Did you mean "{address}"?' in await follower.agent.refused("get_mailbox", email_address=typed)
        found = await follower.reach("get_mailbox", email_address=typed)
        assert found["email_address"] == address


async def test_a_taken_address_leads_to_another() -> None:
    """A deleted mailbox had the address, so the advice is to choose another one or to leave it out."""
    async with empty("spec") as follower:
        await follower.reach("create_identity", agent_handle="one-agent", mailbox_local_part="desk")
        await follower.reach("delete_mailbox", email_address="desk")
        await follower.reach("create_identity", agent_handle="two-agent", with_mailbox=False)
        for tool, part in (("create_mailbox", "email_local_part"), ("create_identity", "mailbox_local_part")):
            handle = "two-agent" if tool == "create_mailbox" else "three-agent"
            message = await follower.agent.refused(tool, agent_handle=handle, **{part: "desk"})
            assert "maybe by a deleted mailbox: no mailbox that you can see has it." in message
        follower.fresh = {"email_local_part": "front.desk"}
        made = await follower.reach("create_mailbox", agent_handle="two-agent", email_local_part="desk")
        assert made["email_address"] == "front.desk@inkboxmail.com"


async def test_a_handle_that_another_organization_has_leads_to_another() -> None:
    """Handles are unique across organizations in the identity generation."""
    with Store(":memory:") as store:
        app = create_app(store, generation="identity")

        def client(key: str) -> Client:
            api_key = f"ApiKey_22222222-2222-4222-8222-222222222222.{key}"
            settings = Settings.model_validate({"api_key": api_key, "api_generation": "identity"})
            return Client(build_server(settings, transport=lambda: httpx2.ASGITransport(app)))

        async with client("theirs") as theirs:
            await Agent(theirs).ask("create_identity", agent_handle="popular")
        async with client("ours") as ours:
            follower = Follower(Agent(ours), "identity", fresh={"agent_handle": "less-popular"})
            made = await follower.reach("create_identity", agent_handle="popular")
            assert made["agent_handle"] == "less-popular"


ADDRESS_TOOLS = [
    (name, generation)
    for generation, catalogue in CATALOGUES.items()
    for name, tool in catalogue.tools.items()
    if "email_address" in tool.args.model_fields and name != "link_mailbox"
]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "update_mailbox": {"display_name": "x"},
    "create_webhook": {"webhook_url": HOOK},
    "delete_webhook": {"webhook_id": ID},
    "update_messages": {"message_ids": [ID], "is_read": True},
    "get_message": {"message_id": ID},
    "delete_message": {"message_id": ID},
    "get_attachment": {"message_id": ID, "filename": "a.txt"},
    "get_thread": {"thread_id": ID},
    "wait_for_message": {"timeout": 0},
    "send_message": {"to": ["jane@example.com"], "subject": "Hello", "text": "Hi"},
    "reply_to_message": {"message_id": ID, "text": "Hi"},
    "forward_message": {"message_id": ID, "to": ["jane@example.com"]},
}


@pytest.mark.parametrize(("tool", "generation"), ADDRESS_TOOLS)
async def test_a_mailbox_that_does_not_exist_leads_to_those_that_do(tool: str, generation: str) -> None:
    """The advice names the tool that lists mailboxes."""
    async with empty(generation) as follower:
        await follower.reach("create_identity", agent_handle="new-agent")
        await follower.reach(tool, email_address="nobody", **ARGUMENTS.get(tool, {}))
        assert follower.made[-1] == "list_mailboxes"


@BOTH
@pytest.mark.parametrize("tool", ["get_identity", "update_identity", "delete_identity", "unlink_mailbox"])
async def test_an_identity_that_does_not_exist_leads_to_those_that_do(generation: str, tool: str) -> None:
    """The advice names the tool that lists identities, and no tool that would make one."""
    if tool not in CATALOGUES[generation].tools:
        return
    more = {"status": "paused"} if generation == "spec" else {"display_name": "x"}
    async with empty(generation) as follower:
        await follower.reach(tool, agent_handle="nobody", **(more if tool == "update_identity" else {}))
        assert follower.made[-1] == "list_identities"


OTHERS = [
    (name, generation)
    for generation, other in (("spec", "identity"), ("identity", "spec"))
    for name in CATALOGUES[other].tools
    if name not in CATALOGUES[generation].tools
]


@pytest.mark.parametrize(("tool", "generation"), OTHERS)
async def test_a_tool_of_the_other_generation_leads_to_what_does_it_here(tool: str, generation: str) -> None:
    """A client may have an old list, or its model an old memory. The advice can be followed."""
    async with empty(generation) as follower:
        made = await follower.reach("create_identity", agent_handle="new-agent")
        values = {"agent_handle": "new-agent", "email_address": made["email_address"]}
        follower.fresh = follower.knows = {**values, "display_name": "N", "webhook_url": HOOK}
        result = await follower.agent.call(tool, anything="at all")
        assert (result.meta or {})["code"] == "operation_moved"
        assert proposals(text(result), generation)
        await follower.reach(tool, agent_handle="new-agent")


async def test_a_name_is_changed_where_names_are() -> None:
    """In the spec generation the mailbox has the name."""
    async with empty("spec") as follower:
        made = await follower.reach("create_identity", agent_handle="new-agent")
        changed = await follower.reach("update_identity", agent_handle="new-agent", display_name="New Name")
        assert changed["email_address"] == made["email_address"]
        assert changed["display_name"] == "New Name"


async def test_an_address_of_ones_own_that_nobody_uses_can_be_given_to_an_identity() -> None:
    """Another address would be lost advice: the cure is to link the mailbox."""
    async with empty("spec") as follower:
        made = await follower.reach("create_identity", agent_handle="one-agent", mailbox_local_part="desk")
        await follower.reach("create_identity", agent_handle="two-agent", with_mailbox=False)
        await follower.reach("unlink_mailbox", agent_handle="one-agent")
        linked = await follower.reach("create_mailbox", agent_handle="two-agent", email_local_part="Desk")
        assert follower.made[-1] == "link_mailbox"
        assert (linked["agent_handle"], linked["email_address"]) == ("two-agent", made["email_address"])


async def test_a_mailbox_that_is_assigned_elsewhere_can_be_moved() -> None:
    """The conflict names both holders, and what to call for each."""
    async with empty("spec") as follower:
        one = await follower.reach("create_identity", agent_handle="one-agent")
        await follower.reach("create_identity", agent_handle="two-agent", with_mailbox=False)
        link = {"agent_handle": "two-agent", "email_address": one["email_address"]}
        freed = await follower.reach("link_mailbox", **link)
        assert (freed["agent_handle"], freed["email_address"]) == ("one-agent", one["email_address"])
        assert (await follower.reach("link_mailbox", **link))["email_address"] == one["email_address"]


async def test_a_mailbox_that_moves_to_an_identity_with_another_names_both_at_once() -> None:
    """One error is enough to know both steps."""
    async with empty("spec") as follower:
        one = await follower.reach("create_identity", agent_handle="one-agent", mailbox_local_part="one")
        await follower.reach("create_identity", agent_handle="two-agent", mailbox_local_part="two")
        link = {"agent_handle": "two-agent", "email_address": one["email_address"]}
        message = await follower.agent.refused("link_mailbox", **link)
        assert '"one-agent" has the mailbox "one@inkboxmail.com"' in message
        assert '"two-agent" has the mailbox "two@inkboxmail.com"' in message
        for handle in ("one-agent", "two-agent"):
            assert f'call unlink_mailbox with agent_handle "{handle}"' in message
            await follower.agent.ask("unlink_mailbox", agent_handle=handle)
        assert (await follower.agent.ask("link_mailbox", **link))["email_address"] == one["email_address"]


async def test_a_collision_of_addresses_leads_to_the_same_call_again() -> None:
    """The specification answers a collision with 503."""
    refusals = [httpx2.Response(503, json={"detail": "collided"})] * 3

    def collide(request: httpx2.Request) -> httpx2.Response | None:
        return refusals.pop() if request.method == "POST" and "mailboxes" in request.url.path and refusals else None

    async with empty("spec", collide) as follower:
        await follower.reach("create_identity", agent_handle="new-agent", with_mailbox=False)
        assert (await follower.reach("create_mailbox", agent_handle="new-agent"))["email_address"]
        assert follower.made == ["create_identity", "create_mailbox", "create_mailbox"]


@pytest.mark.parametrize("name", sorted(EVERY))
def test_all_advice_names_tools_and_arguments_that_exist(name: str) -> None:
    """The other tests do not reach all advice."""
    operation, generation = EVERY[name], generation_of(name)
    other = "identity" if generation == "spec" else "spec"
    for advice in [operation.description, *operation.advice.values(), *operation.args.invented.values()]:
        proposals(advice, generation)
    proposals(operation.moved, other)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_description_names_a_neighbour(name: str) -> None:
    """Descriptions lead the model to the tool that comes before or after."""
    tools = CATALOGUES[generation_of(name)].tools
    mentioned = {other for other in tools if other in EVERY[name].description} - {EVERY[name].name}
    assert mentioned or name == "whoami"


@BOTH
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_the_agent_cannot_mend_it_is_told_to_report_or_to_wait_for(generation: str, status: int) -> None:
    """No other tool could help, so the advice must not name one."""
    async with empty(generation) as follower:
        answer = httpx2.Response(status, json={"detail": "no"})
        async with connect(lambda _: answer, sandbox=True) as agent:
            advice = await agent.refused("get_mailbox", email_address="sales")
        assert proposals(advice, generation) == []
        assert any(word in advice for word in ("Tell the user", "make fewer", "just now", "Inkbox's side"))
        assert follower.made == []
