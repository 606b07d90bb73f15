"""The mailboxes, deliveries and tool calls that the page shows."""

import json
from typing import Any

from inkbox_mcp.sandbox import Generation, Store
from tests.sandbox.mail.people import Person, people
from tests.sandbox.mail.webhook_receiver import receiving
from tests.support.looking import Onlooker, looking_at

WHOAMI = "/api/whoami"


def call(**columns: Any) -> dict[str, Any]:
    """Return a call as it is kept."""
    usual = {"tool": "list_mailboxes", "arguments": "{}", "outcome": "ok", "error_text": None}
    return {**usual, "duration_ms": 1.5, "client": None, "created_at": 1_700_000_000_000_000, **columns}


async def test_a_new_sandbox_shows_nothing(store: Store, generation: Generation, onlooker: Onlooker) -> None:
    """The lists are there, and empty."""
    empty: dict[str, Any] = {"mailboxes": [], "deliveries": [], "calls": [], "limited": {"mailboxes": 0}}
    state = await onlooker.see("state")
    assert state == {**state, "generation": generation, "is_replaced": False, **empty}


async def test_mailboxes_of_all_organizations_are_shown_newest_first(store: Store, generation: Generation) -> None:
    """With the agent, and with the organization by a short id of its own."""
    async with people(store, generation, "alice", "bobby") as found, looking_at(store, generation) as onlooker:
        bobby, alice = (await onlooker.see("state"))["mailboxes"]
        organizations = [(await each.client.get(WHOAMI)).json()["organization_id"] for each in found]
        made = await found[0].ask("GET", "")
    assert alice == {
        "id": made["id"],
        "email_address": "alice@inkboxmail.com",
        "display_name": "Alice",
        "agent_handle": "sales-agent" if generation == "spec" else "alice",
        "status": "active",
        "organization": organizations[0][:12],
        "webhooks": [],
        "unread": 0,
        "messages": 0,
        "created_at": made["created_at"],
    }
    assert bobby["organization"] == organizations[1][:12] != alice["organization"]


async def test_unread_mail_is_counted_as_the_agent_has_it(alice: Person, onlooker: Onlooker) -> None:
    """What the agent sent is no unread mail."""
    for subject in ("one", "two"):
        await onlooker.write(alice.address, subject=subject)
    await alice.send("x@example.com")
    (_, second, _) = await alice.list()
    await alice.ask("PATCH", f"/messages/{second['id']}", json={"is_read": True})
    mailbox = await onlooker.mailbox(alice.address)
    assert (mailbox["messages"], mailbox["unread"]) == (3, 1)


async def test_a_deleted_mailbox_is_not_shown(alice: Person, onlooker: Onlooker, generation: Generation) -> None:
    """Nor its mail, which the database still has."""
    await onlooker.write(alice.address)
    mailbox, (row,) = await onlooker.mailbox(alice.address), await onlooker.rows(alice.address)
    if generation == "spec":
        await alice.ask("DELETE", "", 204)
    else:
        assert (await alice.client.delete("/api/v1/identities/alice")).status_code == 204
    assert (await onlooker.see("state"))["mailboxes"] == []
    for path in (f"mailboxes/{mailbox['id']}/messages", f"threads/{row['thread_id']}", f"messages/{row['id']}"):
        assert "no such" in (await onlooker.see(path, 404))["detail"]
    for path in ("html", "source"):
        await onlooker.see(f"messages/{row['id']}/{path}", 404)


async def test_the_newest_200_mailboxes_are_shown(store: Store) -> None:
    """And how many others there are."""
    with store.transaction() as connection:
        connection.execute("INSERT INTO organizations VALUES ('org_x', 1)")
        connection.executemany(
            "INSERT INTO mailboxes (id, organization_id, local_part, status, created_at, updated_at)"
            " VALUES (?, 'org_x', ?, 'active', ?, 1)",
            [(f"00000000-0000-4000-8000-{number:012}", f"box-{number}", number) for number in range(230)],
        )
    async with looking_at(store) as onlooker:
        state = await onlooker.see("state")
    assert [each["email_address"] for each in state["mailboxes"]] == [
        f"box-{number}@inkboxmail.com" for number in range(229, 29, -1)
    ]
    assert state["limited"] == {"mailboxes": 30}


async def test_webhooks_and_their_deliveries_are_shown(alice: Person, onlooker: Onlooker, store: Store) -> None:
    """With what became of each, newest first; those of the other generation too."""
    with receiving() as webhook:
        mailbox = await onlooker.mailbox(alice.address)
        with store.transaction() as connection:
            connection.execute("UPDATE mailboxes SET webhook_url = ?", (webhook.url,))
            connection.execute(
                "INSERT INTO webhook_subscriptions VALUES ('00000000-0000-4000-8000-000000000001', ?,"
                " 'https://example.com/hook', ?, 1, 1)",
                (mailbox["id"], json.dumps(["message.received"])),
            )
        await onlooker.write(alice.address)
        store.finish_deliveries()
        own = {"url": webhook.url, "event_types": None}
        subscribed = {"url": "https://example.com/hook", "event_types": ["message.received"]}
        assert (await onlooker.mailbox(alice.address))["webhooks"] == [own, subscribed]
        delivered, refused = (await onlooker.see("state"))["deliveries"]
    assert isinstance(delivered.pop("ms"), int)
    assert delivered.pop("created_at") > refused["created_at"]
    assert delivered | {"id": ""} == {
        "id": "",
        "mailbox_id": mailbox["id"],
        "email_address": alice.address,
        "event_type": "message.received",
        "url": webhook.url,
        "state": "done",
        "status": 200,
        "error": None,
    }
    assert refused["status"] is None
    assert refused["error"]


async def test_the_last_50_calls_are_shown(store: Store) -> None:
    """Newest first, with arguments and errors; a call without arguments has none."""
    store.keep_calls([call(client=str(number)) for number in range(60)])
    store.keep_calls([call(arguments='{"search": "a"}', outcome="not_found", error_text="No.", client="Claude")])
    store.keep_calls([call(arguments=None)])
    async with looking_at(store) as onlooker:
        last, failed, *others = (await onlooker.see("state"))["calls"]
    assert (last["arguments"], last["text"]) == (None, None)
    assert failed == {
        "id": 61,
        "tool": "list_mailboxes",
        "arguments": {"search": "a"},
        "outcome": "not_found",
        "text": "No.",
        "ms": 1.5,
        "client": "Claude",
        "created_at": "2023-11-14T22:13:20.000000Z",
    }
    assert [each["client"] for each in others] == [str(number) for number in range(59, 11, -1)]
