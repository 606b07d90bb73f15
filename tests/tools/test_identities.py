"""Identities, webhooks and the account, on both generations of the API."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2
import pytest
from mcp import Client

from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, Agent, AsyncHandler, connect, text
from tests.support.alike import BOTH
from tests.support.humans import Human

EVENTS = "https://hooks.example.com/inkbox"


@asynccontextmanager
async def organization(
    generation: str, requests: list[str] | None = None, ask: Any = None, **settings: Any
) -> AsyncGenerator[Agent]:
    """Connect an agent to a new sandbox of a generation, and record its requests."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation=generation))  # pyright: ignore[reportArgumentType]

        async def record(request: httpx2.Request) -> httpx2.Response:
            if requests is not None:
                requests.append(f"{request.method} {request.url.path}")
            return await app.handle_async_request(request)

        async with connect(record, human=ask, sandbox=True, sandbox_generation=generation, **settings) as agent:
            yield agent


@BOTH
async def test_one_call_makes_an_identity_with_its_mailbox(generation: str) -> None:
    """The result has the address, and nothing twice."""
    name = {"mailbox_display_name": "New", "mailbox_local_part": "new-agent"}
    async with organization(generation) as agent:
        wanted = name if generation == "spec" else {"display_name": "New"}
        made = await agent.ask("create_identity", agent_handle="@new-agent", **wanted)
        assert made["agent_handle"] == "new-agent"
        assert made["email_address"] == "new-agent@inkboxmail.com"
        assert not {"email_address", "status", "created_at", "updated_at"} & {*made["mailbox"]}
        assert made == await agent.ask("get_identity", agent_handle="new-agent")
        assert made["agent_handle"] in [one["agent_handle"] for one in await listed(agent)]
        named = made if generation == "identity" else made["mailbox"]
        assert named["display_name"] == "New"
        assert (await agent.ask("get_mailbox", email_address="new-agent"))["email_address"] == made["email_address"]


async def listed(agent: Agent) -> list[dict[str, Any]]:
    """Return the listed identities."""
    return (await agent.ask("list_identities"))["identities"]


async def test_an_identity_may_come_without_a_mailbox_where_the_api_has_that() -> None:
    """The identity generation always makes a mailbox, and its error explains this."""
    async with organization("spec") as agent:
        made = await agent.ask("create_identity", agent_handle="bare", with_mailbox=False)
        assert made["email_address"] is None
        message = await agent.refused(
            "create_identity", agent_handle="bare", with_mailbox=False, mailbox_local_part="x"
        )
        assert "need with_mailbox to be true" in message
    async with organization("identity") as agent:
        message = await agent.refused("create_identity", agent_handle="bare", with_mailbox=False)
        assert "unknown argument 'with_mailbox': every identity has a mailbox" in message
        assert await listed(agent) == []


@BOTH
async def test_identities_are_paged_and_searched_like_mailboxes(generation: str) -> None:
    """The newest identity comes first, with a total and a cursor."""
    async with organization(generation) as agent:
        for number in range(5):
            await agent.ask("create_identity", agent_handle=f"night-agent-{number}")
        first = await agent.ask("list_identities", search="AGENT night", limit=3)
        assert [one["agent_handle"] for one in first["identities"]] == [
            "night-agent-4",
            "night-agent-3",
            "night-agent-2",
        ]
        assert first["total"] == 5
        rest = await agent.ask("list_identities", search="AGENT night", limit=3, cursor=first["next_cursor"])
        assert [one["agent_handle"] for one in rest["identities"]] == ["night-agent-1", "night-agent-0"]
        assert rest["next_cursor"] is None


@BOTH
async def test_a_conflict_says_what_is_in_the_way(generation: str) -> None:
    """The error shows the existing identity, or says that the handle or the address is taken."""
    async with organization(generation) as agent:
        wanted = {"mailbox_local_part": "taken"} if generation == "spec" else {}
        made = await agent.ask("create_identity", agent_handle="one-agent", **wanted)
        message = await agent.refused("create_identity", agent_handle="one-agent")
        assert f"with the mailbox {json.dumps(made['email_address'])}" in message
        assert "Nothing was made" in message
        if generation == "spec":
            message = await agent.refused("create_identity", agent_handle="two-agent", mailbox_local_part="TAKEN")
            assert '"one-agent" has the mailbox "taken@inkboxmail.com"' in message
            assert "the handle" not in message
            assert "two-agent" not in {one["agent_handle"] for one in await listed(agent)}


async def test_an_address_whose_agent_may_not_be_seen_is_not_free() -> None:
    """With limits on handles and addresses, the holder of a visible mailbox may be hidden. No advice leads to it."""
    with Store(":memory:") as store:
        inkbox = served(store, "spec")
        async with connect(inkbox) as agent:
            await agent.ask("create_identity", agent_handle="secret-agent", mailbox_local_part="team-a")
            await agent.ask("create_identity", agent_handle="team-x", with_mailbox=False)
        await _require_that_the_holder_stays_hidden(inkbox)


def served(store: Store, generation: str) -> AsyncHandler:
    """Serve a store to several servers, one after another."""
    app = httpx2.ASGITransport(create_app(store, generation=generation))  # pyright: ignore[reportArgumentType]
    return app.handle_async_request


async def _require_that_the_holder_stays_hidden(inkbox: AsyncHandler) -> None:
    async with connect(inkbox, allow_handles=["team-*"], allow_addresses=["team-*"]) as agent:
        (row,) = (await agent.ask("list_mailboxes"))["mailboxes"]
        assert "agent_handle" not in row
        for tool, arguments in {
            "link_mailbox": {"agent_handle": "team-x", "email_address": "team-a"},
            "create_mailbox": {"agent_handle": "team-x", "email_local_part": "team-a"},
            "create_identity": {"agent_handle": "team-z", "mailbox_local_part": "team-a"},
        }.items():
            message = await agent.refused(tool, **arguments)
            assert 'An agent that you may not see has the mailbox "team-a@inkboxmail.com"' in message
            assert "call link_mailbox" not in message
            assert "secret" not in message


async def test_an_address_of_ones_own_choice_is_not_left_out_silently() -> None:
    """The identity generation derives the address from the handle, so only that address may be requested."""
    requests: list[str] = []
    async with organization("identity", requests) as agent:
        message = await agent.refused("create_identity", agent_handle="one-agent", mailbox_local_part="hello")
        assert "the address is made of agent_handle: choose the handle that you want before the @" in message
        assert not [request for request in requests if request.startswith("POST")]


async def test_a_handle_that_was_deleted_is_not_said_to_be_anothers() -> None:
    """The handle of a deleted identity cannot be used again."""
    async with organization("identity", confirm="never") as agent:
        await agent.ask("create_identity", agent_handle="one-agent")
        await agent.ask("delete_identity", agent_handle="one-agent")
        message = await agent.refused("create_identity", agent_handle="one-agent")
        assert "another organization has this handle, or a deleted identity had it" in message


@pytest.mark.parametrize("tool", ["list_webhooks", "create_webhook", "delete_webhook"])
async def test_webhooks_of_a_mailbox_that_is_not_there_lead_to_those_that_are(tool: str) -> None:
    """The error names `list_mailboxes`, as for the other tools."""
    more = {"create_webhook": {"webhook_url": EVENTS}, "delete_webhook": {"webhook_id": str(UUID(int=1))}}
    async with organization("identity", confirm="never") as agent:
        message = await agent.refused(tool, email_address="nobody", **more.get(tool, {}))
        assert "call list_mailboxes" in message


async def test_an_identity_is_paused_in_one_generation_and_renamed_in_the_other() -> None:
    """The tool sends only fields that the API has; for others, the error names the right tool."""
    requests: list[str] = []
    async with organization("spec", requests) as agent:
        assert (await agent.ask("update_identity", agent_handle="sales-agent", status="paused"))["status"] == "paused"
        message = await agent.refused("update_identity", agent_handle="sales-agent", display_name="Sales")
        assert "call update_mailbox with email_address and display_name" in message
    async with organization("identity", requests) as agent:
        await agent.ask("create_identity", agent_handle="sales-agent")
        changed = await agent.ask("update_identity", agent_handle="sales-agent", display_name="Sales")
        assert changed["display_name"] == "Sales"
        message = await agent.refused("update_identity", agent_handle="sales-agent", status="paused")
        assert "can be neither paused nor activated: tell the user" in message
        assert "display_name: is required" in await agent.refused("update_identity", agent_handle="sales-agent")
    assert len([request for request in requests if request.startswith("PATCH")]) == 2


@BOTH
async def test_deleting_an_identity_tells_the_human_what_becomes_of_its_mailbox(generation: str) -> None:
    """The mailbox survives in one generation only, and the question must tell the user which case applies."""
    human = Human("accept")
    async with organization(generation, ask=human) as agent:
        made = await agent.ask("create_identity", agent_handle="old-agent")
        survives = generation == "spec"
        assert await agent.ask("delete_identity", agent_handle="old-agent") == {
            "deleted": True,
            "agent_handle": "old-agent",
            "mailbox_kept" if survives else "mailbox_deleted": made["email_address"],
        }
        (question,) = human.questions
        assert ("stays" in question) is survives
        result = await agent.call("get_mailbox", email_address=made["email_address"])
        assert result.is_error is not survives
        assert "404" in await agent.refused("delete_identity", agent_handle="old-agent")


async def test_a_mailbox_is_parted_from_one_identity_and_given_to_another() -> None:
    """An agent can move a mailbox that belongs to another identity."""
    async with organization("spec") as agent:
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="desk")
        link = {"agent_handle": "support-agent", "email_address": "desk"}
        refused = await agent.refused("link_mailbox", **link)
        assert 'call unlink_mailbox with agent_handle "sales-agent"' in refused
        assert await agent.ask("unlink_mailbox", agent_handle="sales-agent") == {
            "unlinked": True,
            "agent_handle": "sales-agent",
            "email_address": "desk@inkboxmail.com",
        }
        linked = await agent.ask("link_mailbox", **link)
        assert linked["email_address"] == made["email_address"]
        assert (await agent.ask("get_identity", agent_handle="sales-agent"))["email_address"] is None


MOVED: list[tuple[str, dict[str, Any], str]] = [
    ("create_mailbox", {"agent_handle": "sales"}, "call create_identity with agent_handle"),
    ("delete_mailbox", {"email_address": "sales"}, "call delete_identity with agent_handle"),
    ("update_mailbox", {"email_address": "sales", "display_name": "x"}, "call update_identity with agent_handle and"),
    ("update_mailbox", {"email_address": "sales", "webhook_url": EVENTS}, "call create_webhook with email_address and"),
    ("link_mailbox", {"agent_handle": "sales", "email_address": "sales"}, "are inseparable"),
    ("unlink_mailbox", {"agent_handle": "sales"}, "are inseparable"),
]


@pytest.mark.parametrize(("tool", "arguments", "now"), MOVED)
async def test_an_operation_that_moved_names_the_one_that_does_it_now(
    tool: str, arguments: dict[str, Any], now: str
) -> None:
    """If the generation is known, the server sends no request."""
    requests: list[str] = []
    async with organization("identity", requests, confirm="never") as agent:
        await agent.ask("create_identity", agent_handle="sales")
        sent = len(requests)
        result = await agent.call(tool, **arguments)
        assert (result.meta or {})["code"] == "operation_moved"
        assert now in text(result)
        assert len(requests) == sent


@pytest.mark.parametrize(("tool", "arguments", "now"), MOVED)
async def test_the_generation_is_learnt_from_the_refusal_itself(tool: str, arguments: dict[str, Any], now: str) -> None:
    """A server that does not know the generation learns it after a 405, 404 or 422, and then explains the refusal."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation="identity"))
        async with connect(app, sandbox=True) as agent:
            await agent.ask("create_identity", agent_handle="sales")
        async with connect(app, sandbox=True, confirm="never") as agent:
            assert now in await agent.refused(tool, **arguments)
            assert len(await listed(agent)) == 1


async def test_a_missing_thing_is_not_taken_for_a_moved_operation() -> None:
    """In the spec generation a 404 stays a 404, even if the organization is empty."""
    async with organization("spec") as agent:
        for handle in ("sales-agent", "support-agent"):
            await agent.ask("delete_identity", agent_handle=handle)
        assert "404" in await agent.refused("create_mailbox", agent_handle="nobody")
        assert "404" in await agent.refused("delete_mailbox", email_address="nobody")


async def test_webhooks_are_subscriptions_in_the_identity_generation() -> None:
    """A webhook is created, listed and deleted only through its own mailbox."""
    async with organization("identity") as agent:
        for name in ("sales", "support"):
            await agent.ask("create_identity", agent_handle=name)
        made = await agent.ask("create_webhook", email_address="sales", webhook_url=EVENTS)
        assert made["event_types"] == ["message.received"]
        found = await agent.ask("list_webhooks", email_address="sales")
        assert [one["id"] for one in found["subscriptions"]] == [made["id"]]
        assert (await agent.ask("list_webhooks", email_address="support"))["subscriptions"] == []
        message = await agent.refused("delete_webhook", email_address="support", webhook_id=made["id"])
        assert "no such webhook" in message
        await agent.ask("delete_webhook", email_address="sales", webhook_id=made["id"])
        assert (await agent.ask("list_webhooks", email_address="sales"))["subscriptions"] == []
        assert "must have a host on the public internet" in await agent.refused(
            "create_webhook", email_address="sales", webhook_url="https://10.0.0.1/"
        )


@pytest.mark.parametrize(
    ("tool", "arguments", "instead"),
    [
        ("list_webhooks", {}, "call get_mailbox with email_address to see it"),
        ("create_webhook", {"webhook_url": EVENTS}, "call update_mailbox with email_address and webhook_url"),
        ("delete_webhook", {"webhook_id": str(UUID(int=1))}, 'call update_mailbox with email_address, and "none" as'),
    ],
)
async def test_webhooks_are_a_field_in_the_spec_generation(tool: str, arguments: dict[str, str], instead: str) -> None:
    """The error names the tool that changes the mailbox's field."""
    async with organization("spec", confirm="never") as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        message = await agent.refused(tool, email_address="sales", **arguments)
        assert instead in message


@BOTH
async def test_whoami_tells_the_account_and_never_the_key(generation: str) -> None:
    """The result shows the organization and the key's scope."""
    async with organization(generation) as agent:
        result = await agent.call("whoami")
    assert result.structured_content["organization_id"].startswith("org_")
    assert result.structured_content["auth_subtype"] == "api_key.admin_scoped"
    assert "ApiKey_" not in text(result)


@BOTH
async def test_pins_hold_for_identities_too(generation: str) -> None:
    """The limits block another agent's identity, whether they name handles or addresses."""
    with Store(":memory:") as store:
        app = create_app(store, generation=generation)  # pyright: ignore[reportArgumentType]

        def client(**limits: Any) -> Client:
            settings = Settings.model_validate({"sandbox": True, "sandbox_generation": generation, **limits})
            return Client(build_server(settings, transport=lambda: httpx2.ASGITransport(app)))

        async with client() as server:
            for name in ("mine", "other"):
                where = {"mailbox_local_part": f"{name}-agent"} if generation == "spec" else {}
                await Agent(server).ask("create_identity", agent_handle=f"{name}-agent", **where)
        for limits in ({"allow_handles": "mine-*"}, {"allow_addresses": "mine-*@*"}):
            async with client(**limits) as server:
                agent = Agent(server)
                handles = {one["agent_handle"] for one in await listed(agent) if one["email_address"]}
                assert handles == {"mine-agent"}
                for tool in ("get_identity", "delete_identity"):
                    assert "is outside what" in await agent.refused(tool, agent_handle="other-agent")
                assert "is outside what" in await agent.refused("create_identity", agent_handle="third-agent")
                await agent.ask("get_identity", agent_handle="mine-agent")


WRONG_BELIEF: list[tuple[str, str, dict[str, Any]]] = [
    ("identity", "spec", {"mailbox_local_part": "hello.team"}),
    ("identity", "spec", {}),
    ("identity", "spec", {"with_mailbox": False}),
    ("spec", "identity", {}),
]


@pytest.mark.parametrize(("generation", "believed", "wanted"), WRONG_BELIEF)
async def test_nothing_is_made_by_the_rules_of_the_other_generation(
    generation: str, believed: str, wanted: dict[str, Any]
) -> None:
    """Each generation ignores what it does not know, and a handle and an address are permanent."""
    with Store(":memory:") as store:
        transport = httpx2.MockTransport(served(store, generation))
        mistaken = build_server(
            Settings.model_validate({"api_key": KEY, "api_generation": believed}), lambda: transport
        )
        async with Client(mistaken) as client:
            message = await Agent(client).refused("create_identity", agent_handle="new-agent", **wanted)
            assert "nothing was changed" in message
            assert "list them again" in message
            assert "new-agent" not in {one["agent_handle"] for one in await listed(Agent(client))}


async def test_without_an_answer_to_which_generation_it_is_nothing_is_made() -> None:
    """The error does not suggest that something may have been made."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store))

        async def answer(request: httpx2.Request) -> httpx2.Response:
            is_look = "webhooks" in request.url.path
            return httpx2.Response(500, json={}) if is_look else await app.handle_async_request(request)

        transport = httpx2.MockTransport(answer)
        server = build_server(Settings.model_validate({"api_key": KEY}), lambda: transport)
        async with Client(server) as client:
            message = await Agent(client).refused("create_identity", agent_handle="new-agent")
            assert "Nothing was changed" in message
            assert "whether it was made" not in message
            assert "new-agent" not in {one["agent_handle"] for one in await listed(Agent(client))}


async def test_arguments_of_the_other_generation_are_understood_once_the_organization_has_moved() -> None:
    """Only arguments that fit the other tool cause a look. They run by that tool, so one call is enough."""
    with Store(":memory:") as store:
        inkbox = served(store, "identity")
        async with connect(inkbox, api_generation="spec") as agent:
            made = await agent.ask("create_identity", agent_handle="new-agent", display_name="New")
            assert made["email_address"] == "new-agent@inkboxmail.com"
        async with connect(inkbox, api_generation="spec") as agent:
            renamed = await agent.ask("update_identity", agent_handle="new-agent", display_name="Newer")
            assert renamed["display_name"] == "Newer"


async def test_arguments_that_fit_neither_generation_are_refused_without_a_look() -> None:
    """A request for every mistake would be a waste."""
    requests: list[str] = []
    async with organization("spec", requests) as agent:
        assert "display_name" in await agent.refused("create_identity", agent_handle="new-agent", display_name=7)
        assert requests == []
        refused = await agent.refused("create_identity", agent_handle="new-agent", display_name="New")
        assert "unknown argument 'display_name': the sender name is mailbox_display_name" in refused
        assert requests == ["GET /api/v1/webhooks/subscriptions"]
