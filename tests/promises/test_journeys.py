"""An agent gets from nothing to a working mailbox and back by following the answers, on both API generations."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client

from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from tests.support.agents import Agent, connect
from tests.support.follower import OPERATIONS, Follower, proposals

BOTH = pytest.mark.parametrize("generation", ["spec", "identity"])
HOOK = "https://hooks.example.com/inkbox"


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
            yield Follower(agent)


async def both_lists(follower: Follower) -> tuple[list[Any], list[Any]]:
    """Return all identities and all mailboxes."""
    identities = await follower.agent.ask("list_identities")
    mailboxes = await follower.agent.ask("list_mailboxes")
    return identities["identities"], mailboxes["mailboxes"]


@BOTH
async def test_an_agent_gets_from_nothing_to_a_mailbox_and_back_to_nothing(generation: str) -> None:
    """The agent begins with a wrong tool, as new users do."""
    async with empty(generation) as follower:
        made = await follower.reach("create_mailbox", agent_handle="new-agent")
        assert made["email_address"]
        await follower.reach("get_mailbox", email_address=made["email_address"])
        await follower.reach("delete_mailbox", email_address=made["email_address"])
        assert (await both_lists(follower))[1] == []
        if (await both_lists(follower))[0]:
            await follower.reach("delete_identity", agent_handle="new-agent")
        assert await both_lists(follower) == ([], [])


@BOTH
async def test_a_second_mailbox_leads_to_the_first(generation: str) -> None:
    """The conflict names the existing mailbox and the tool that shows it."""
    async with empty(generation) as follower:
        first = await follower.reach("create_mailbox", agent_handle="new-agent")
        again = await follower.reach("create_mailbox", agent_handle="new-agent")
        assert again["email_address"] == first["email_address"]
        third = await follower.reach("create_identity", agent_handle="new-agent")
        assert third["email_address"] == first["email_address"]


async def test_a_taken_address_leads_to_another() -> None:
    """The advice is to choose another address or to leave it out."""
    async with empty("spec") as follower:
        await follower.reach("create_identity", agent_handle="one-agent", mailbox_local_part="desk")
        await follower.reach("create_identity", agent_handle="two-agent", with_mailbox=False)
        follower.fresh = {"email_local_part": "front.desk"}
        made = await follower.reach("create_mailbox", agent_handle="two-agent", email_local_part="desk")
        assert made["email_address"] == "front.desk@inkboxmail.com"


async def test_a_handle_that_another_organization_has_leads_to_another() -> None:
    """Handles are unique across organizations in the identity generation."""
    with Store(":memory:") as store:
        app = create_app(store, generation="identity")

        def client(key: str) -> Client:
            settings = Settings.model_validate({"api_key": f"ApiKey_22222222-2222-4222-8222-222222222222.{key}"})
            return Client(build_server(settings, transport=lambda: httpx2.ASGITransport(app)))

        async with client("theirs") as theirs:
            await Agent(theirs).ask("create_identity", agent_handle="popular")
        async with client("ours") as ours:
            follower = Follower(Agent(ours), fresh={"agent_handle": "less-popular"})
            made = await follower.reach("create_identity", agent_handle="popular")
            assert made["agent_handle"] == "less-popular"


@BOTH
@pytest.mark.parametrize("tool", ["get_mailbox", "update_mailbox", "delete_mailbox"])
async def test_a_mailbox_that_does_not_exist_leads_to_those_that_do(generation: str, tool: str) -> None:
    """If the operation moved to another tool, the advice names that tool."""
    more = {"display_name": "x"} if tool == "update_mailbox" else {}
    async with empty(generation) as follower:
        await follower.reach("create_identity", agent_handle="new-agent")
        await follower.reach(tool, email_address="nobody", **more)
        assert follower.made[-1] in {"list_mailboxes", "update_identity", "delete_identity"}


@BOTH
@pytest.mark.parametrize("tool", ["get_identity", "update_identity", "delete_identity", "unlink_mailbox"])
async def test_an_identity_that_does_not_exist_leads_to_those_that_do(generation: str, tool: str) -> None:
    """The advice names the tool that lists identities."""
    more = {"status": "paused"} if tool == "update_identity" and generation == "spec" else {}
    more = more or ({"display_name": "x"} if tool == "update_identity" else {})
    async with empty(generation) as follower:
        await follower.reach(tool, agent_handle="nobody", **more)
        assert follower.made[-1] == "list_identities"


@BOTH
async def test_a_name_is_changed_where_names_are(generation: str) -> None:
    """Each generation keeps the name in another place; the answer of either tool leads there."""
    for tool in ("update_mailbox", "update_identity"):
        async with empty(generation) as follower:
            made = await follower.reach("create_identity", agent_handle="new-agent")
            where = "email_address" if tool == "update_mailbox" else "agent_handle"
            changed = await follower.reach(tool, display_name="New Name", **{where: made[where]})
            assert changed["display_name"] == "New Name"


@BOTH
async def test_a_webhook_is_set_where_webhooks_are(generation: str) -> None:
    """Each generation keeps webhooks in another place; the answer of either tool leads there."""
    for tool in ("update_mailbox", "create_webhook"):
        async with empty(generation) as follower:
            made = await follower.reach("create_identity", agent_handle="new-agent")
            done = await follower.reach(tool, email_address=made["email_address"], webhook_url=HOOK)
            assert HOOK in {done.get("url"), done.get("webhook_url")}


async def test_a_mailbox_that_is_assigned_elsewhere_can_be_moved() -> None:
    """The conflict leads to the list, which shows the handle to unlink the mailbox from."""
    async with empty("spec") as follower:
        one = await follower.reach("create_identity", agent_handle="one-agent")
        await follower.reach("create_identity", agent_handle="two-agent", with_mailbox=False)
        link = {"agent_handle": "two-agent", "email_address": one["email_address"]}
        page = await follower.reach("link_mailbox", **link)
        (holder,) = [each for each in page["identities"] if each["email_address"] == one["email_address"]]
        await follower.reach("unlink_mailbox", agent_handle=holder["agent_handle"])
        assert (await follower.reach("link_mailbox", **link))["email_address"] == one["email_address"]


async def test_a_collision_of_addresses_leads_to_the_same_call_again() -> None:
    """The specification answers a collision with 503."""
    refusals = [httpx2.Response(503, json={"detail": "collided"})] * 3

    def collide(request: httpx2.Request) -> httpx2.Response | None:
        return refusals.pop() if request.method == "POST" and "mailboxes" in request.url.path and refusals else None

    async with empty("spec", collide) as follower:
        await follower.reach("create_identity", agent_handle="new-agent", with_mailbox=False)
        assert (await follower.reach("create_mailbox", agent_handle="new-agent"))["email_address"]
        assert follower.made == ["create_identity", "create_mailbox", "create_mailbox"]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_all_advice_names_tools_and_arguments_that_exist(name: str) -> None:
    """The other tests do not reach all advice."""
    operation = OPERATIONS[name]
    for advice in [operation.moved, operation.description, *operation.advice.values()]:
        proposals(advice)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_description_names_a_neighbour(name: str) -> None:
    """Descriptions lead the model to the tool that comes before or after."""
    others = set(OPERATIONS) - {name}
    mentioned = {other for other in others if other in OPERATIONS[name].description}
    assert mentioned or name == "whoami"


@BOTH
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_the_agent_cannot_mend_it_is_told_to_report_or_to_wait_for(generation: str, status: int) -> None:
    """No other tool could help, so the advice must not name one."""
    async with empty(generation) as follower:
        answer = httpx2.Response(status, json={"detail": "no"})
        async with connect(lambda _: answer, sandbox=True) as agent:
            advice = await agent.refused("get_mailbox", email_address="sales")
        assert proposals(advice) == []
        assert any(word in advice for word in ("Tell the user", "make fewer", "just now", "Inkbox's side"))
        assert follower.made == []
