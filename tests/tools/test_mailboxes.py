"""The mailbox tools, from an MCP client to the sandbox and back, in both protocol eras."""

import json

import httpx2
import pytest

from tests.support.agents import Agent, connect, text


async def test_a_mailbox_lives_from_creation_to_deletion(agent: Agent) -> None:
    """Each step of the lifecycle sees the effect of the step before it."""
    made = await agent.ask("create_mailbox", agent_handle="@sales-agent", email_local_part="sales.team")
    assert made["email_address"] == "sales.team@inkboxmail.com"
    assert made["display_name"] == "Inkbox user"
    assert made["status"] == "active"

    assert "note" not in made
    assert made.pop("agent_handle") == "sales-agent"
    assert await agent.ask("get_mailbox", email_address="sales.team") == made
    assert await agent.ask("get_mailbox", email_address=made["email_address"]) == made
    (row,) = (await agent.ask("list_mailboxes"))["mailboxes"]
    assert row == {
        **{name: made[name] for name in ("email_address", "display_name", "status", "webhook_url")},
        "agent_handle": "sales-agent",
        "created_at": f"{made['created_at'][:19]}Z",
    }
    (whole,) = (await agent.ask("list_mailboxes", details=True))["mailboxes"]
    assert whole == made | {"agent_handle": "sales-agent"}

    address = made["email_address"]
    renamed = await agent.ask("update_mailbox", email_address=address, display_name="Sales")
    assert (renamed["display_name"], renamed["webhook_url"]) == ("Sales", None)

    assert await agent.ask("delete_mailbox", email_address=address) == {"deleted": True, "email_address": address}
    assert "get_mailbox failed: Inkbox answered 404" in await agent.refused("get_mailbox", email_address=address)
    assert (await agent.ask("list_mailboxes"))["total"] == 0


async def test_update_sends_only_what_was_supplied_and_null_unsubscribes(agent: Agent) -> None:
    """An omitted field keeps its value, and an explicit null clears the webhook."""
    made = await agent.ask("create_mailbox", agent_handle="sales-agent", display_name="Sales")
    address = made["email_address"]
    hooked = await agent.ask("update_mailbox", email_address=address, webhook_url="https://example.com/in?a=1")
    assert (hooked["display_name"], hooked["webhook_url"]) == ("Sales", "https://example.com/in?a=1")

    renamed = await agent.ask("update_mailbox", email_address=address, display_name="Sales Team")
    assert renamed["webhook_url"] == "https://example.com/in?a=1"

    unhooked = await agent.ask("update_mailbox", email_address=address, webhook_url=None)
    assert (unhooked["display_name"], unhooked["webhook_url"]) == ("Sales Team", None)


async def test_a_strict_client_may_send_null_for_every_optional_argument(agent: Agent) -> None:
    """Null counts as omitted wherever the API has no null."""
    made = await agent.ask("create_mailbox", agent_handle="sales-agent", display_name=None, email_local_part=None)
    assert made["display_name"] == "Inkbox user"
    page = await agent.ask("list_mailboxes", search=None, limit=None, cursor=None)
    assert page["total"] == 1


@pytest.mark.parametrize("arguments", [{}, {"display_name": None}])
async def test_an_update_without_a_change_says_what_can_be_changed(agent: Agent, arguments: dict[str, None]) -> None:
    """The error names the possible fields and explains that a name cannot be cleared."""
    message = await agent.refused("update_mailbox", email_address="sales", **arguments)
    assert "nothing to update" in message
    assert "a name cannot be cleared" in message
    assert "webhook_url" in message


async def test_an_unknown_identity_is_explained(agent: Agent) -> None:
    """The error explains that the identity is missing, not the mailbox."""
    message = await agent.refused("create_mailbox", agent_handle="nobody")
    assert "No identity has this agent_handle" in message
    assert "call list_identities" in message


async def test_search_matches_address_and_name_in_any_case(agent: Agent) -> None:
    """Both fields are searched for every word; an empty search finds everything."""
    await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="berlin", display_name="Straße")
    await agent.ask("create_mailbox", agent_handle="support-agent", email_local_part="munich", display_name="Help")
    for search, total in (
        ("BERLIN", 1),
        ("STRASSE", 1),
        ("help", 1),
        ("inkboxmail", 2),
        ("", 2),
        ("paris", 0),
        ("munich-help", 1),
    ):
        assert (await agent.ask("list_mailboxes", search=search))["total"] == total


def mailbox(number: int) -> dict[str, object]:
    """Return a mailbox as the API does, created in the given second."""
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "email_address": f"m{number}@inkboxmail.com",
        "display_name": None,
        "webhook_url": None,
        "status": "active",
        "created_at": f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }


async def test_pages_neither_repeat_nor_skip_when_mailboxes_come_and_go(era: str) -> None:
    """Later pages stay correct even if mailboxes are created or deleted, including the last one seen."""
    stored = [mailbox(number) for number in range(10)]

    async with connect(lambda _: httpx2.Response(200, json=stored[::-1]), mode=era) as agent:
        first = await agent.ask("list_mailboxes", limit=4)
        assert [item["email_address"][:2] for item in first["mailboxes"]] == ["m9", "m8", "m7", "m6"]
        assert first["total"] == 10

        stored.append(mailbox(11))  # newer than all mailboxes seen so far
        del stored[6]  # the last one seen
        del stored[3]  # not seen yet
        second = await agent.ask("list_mailboxes", limit=4, cursor=first["next_cursor"])
        assert [item["email_address"][:2] for item in second["mailboxes"]] == ["m5", "m4", "m2", "m1"]

        third = await agent.ask("list_mailboxes", limit="4", cursor=second["next_cursor"])
        assert [item["email_address"][:2] for item in third["mailboxes"]] == ["m0"]
        assert third["next_cursor"] is None


async def test_twenty_thousand_mailboxes_fill_one_page_only() -> None:
    """A result holds at most the page that was asked for, whatever the organization holds."""
    answer = httpx2.Response(200, json=[mailbox(number % 86400) | {"id": str(number)} for number in range(20_000)])
    async with connect(lambda _: answer) as agent:
        result = await agent.call("list_mailboxes")
        assert result.structured_content["total"] == 20_000
        assert len(result.structured_content["mailboxes"]) == 50
        assert len(text(result)) < 20_000


async def test_unknown_fields_are_kept_and_missing_ones_left_out(era: str) -> None:
    """A mailbox reaches the agent as it was sent; a row has only what was sent of its fields."""
    sent = {"id": "1", "email_address": "a@inkboxmail.com", "storage_used_bytes": 5, "filter": {"mode": None}}
    async with connect(lambda _: httpx2.Response(200, json=sent), mode=era) as agent:
        assert await agent.ask("get_mailbox", email_address="a") == sent
    async with connect(lambda _: httpx2.Response(200, json=[sent, sent | {"created_at": "?"}]), mode=era) as agent:
        page = await agent.ask("list_mailboxes")
        assert {"email_address": "a@inkboxmail.com", "agent_handle": None} in page["mailboxes"]
        assert page["total"] == 2
        page = await agent.ask("list_mailboxes", details=True)
        assert sent | {"agent_handle": None} in page["mailboxes"]


async def test_the_text_of_a_result_is_its_structured_content(agent: Agent) -> None:
    """Clients that show only text lose nothing."""
    made = await agent.call("create_mailbox", agent_handle="sales-agent", display_name="Müller & Söhne 📬")
    assert json.loads(text(made)) == made.structured_content
    assert "Müller" in text(made)


async def test_addresses_are_percent_encoded_into_their_path_segment() -> None:
    """A proxy must not find a special character to interpret."""
    seen: list[bytes] = []

    def record(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.raw_path)
        return httpx2.Response(200, json={"id": "1", "email_address": "a"})

    async with connect(record) as agent:
        await agent.ask("get_mailbox", email_address="a+b@inkboxmail.com")
    assert seen == [b"/api/v1/mail/mailboxes/a%2Bb%40inkboxmail.com"]


async def test_create_sends_only_what_was_supplied() -> None:
    """The body omits unset keys, and the handle loses its @."""
    bodies: list[object] = []

    def record(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(201, json={"id": "1", "email_address": "a"})

    async with connect(record) as agent:
        made = await agent.ask("create_mailbox", agent_handle="@sales-agent")
        assert "chosen at random" in made["note"]
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="a.b", display_name="null")
    assert bodies == [
        {"agent_handle": "sales-agent"},
        {"agent_handle": "sales-agent", "display_name": "null", "email_local_part": "a.b"},
    ]


async def test_an_address_may_be_named_like_its_handle(agent: Agent) -> None:
    """This is the most common choice of an address."""
    made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales-agent")
    assert made["email_address"] == "sales-agent@inkboxmail.com"
