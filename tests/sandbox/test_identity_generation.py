"""The identity generation of the sandbox's API, in this process."""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from inkbox_mcp.sandbox import Generation, Store, StoreError, create_app
from inkbox_mcp.sandbox.schema import SCHEMA
from tests.support.agents import KEY

MAILBOXES = "/api/v1/mail/mailboxes"
IDENTITIES = "/api/v1/identities"
SUBSCRIPTIONS = "/api/v1/webhooks/subscriptions"
WHOAMI = "/api/whoami"


def new_key() -> str:
    """Return an unused API key, and so a new organization."""
    return f"ApiKey_{uuid4()}.{uuid4().hex}"


def connect(store: Store, key: str | None = None, generation: Generation = "identity") -> httpx2.AsyncClient:
    """Make a client of one organization."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=create_app(store, generation)),
        base_url="http://sandbox",
        headers={"X-API-Key": key or new_key()},
    )


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    """A new organization."""
    async with connect(store, KEY) as client:
        yield client


@pytest.fixture
async def stranger(store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    """Another new organization in the same store."""
    async with connect(store) as client:
        yield client


@pytest.fixture
async def spec(store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the same organization as `client`, on the spec generation of the API."""
    async with connect(store, KEY, "spec") as client:
        yield client


async def create(client: httpx2.AsyncClient, handle: str = "billing", **options: Any) -> dict[str, Any]:
    """Create an identity and return it."""
    response = await client.post(IDENTITIES, json={"agent_handle": handle, **options})
    assert response.status_code == 201, response.text
    return response.json()


async def subscribe(
    client: httpx2.AsyncClient, identity: dict[str, Any], url: str = "https://example.com/hook", *events: str
) -> httpx2.Response:
    """Subscribe to events of an identity's mailbox and return the answer."""
    body = {"mailbox_id": identity["mailbox"]["id"], "url": url, "event_types": events or ["message.received"]}
    return await client.post(SUBSCRIPTIONS, json=body)


def refusals(response: httpx2.Response) -> list[tuple[str, str]]:
    """Return the kind and the field of each error of a 422."""
    assert response.status_code == 422, response.text
    return [(error["type"], ".".join(map(str, error["loc"]))) for error in response.json()["detail"]]


# Identities


async def test_organization_begins_empty(client: httpx2.AsyncClient) -> None:
    """A new organization has no identity and no mailbox."""
    assert (await client.get(IDENTITIES)).json() == (await client.get(MAILBOXES)).json() == []


async def test_created_identity_has_every_field_and_its_mailbox(client: httpx2.AsyncClient) -> None:
    """A create with only a handle answers 201 with the whole object and its defaults."""
    identity = await create(client, "@Billing-2")
    mailbox = identity.pop("mailbox")
    assert UUID(identity["id"]).version == UUID(mailbox["id"]).version == 4
    assert identity.pop("created_at") == identity.pop("updated_at") < mailbox.pop("created_at")
    assert identity == {
        "id": mailbox["agent_identity_id"],
        "organization_id": (await client.get(WHOAMI)).json()["organization_id"],
        "agent_handle": "billing-2",
        "display_name": "billing-2",
        "description": None,
        "email_address": "billing-2@inkboxmail.com",
        "phone_number": None,
        "imessage_number": None,
        "tunnel": None,
        "imessage_enabled": False,
        "mail_filter_mode": "blacklist",
        "mail_inbound_filter_mode": "blacklist",
        "mail_outbound_filter_mode": "blacklist",
        "phone_filter_mode": "blacklist",
        "imessage_filter_mode": "blacklist",
        "signing_key_configured": False,
        "signing_key_created_at": None,
    }
    del mailbox["updated_at"]
    assert mailbox == {
        "id": mailbox["id"],
        "email_address": "billing-2@inkboxmail.com",
        "sending_domain": "inkboxmail.com",
        "agent_identity_id": identity["id"],
        "filter_mode": "blacklist",
        "inbound_filter_mode": "blacklist",
        "outbound_filter_mode": "blacklist",
        "filter_mode_change_notice": None,
        "signature_html": None,
        "signature_text": None,
        "signature_enabled": False,
    }


async def test_create_takes_names_and_forces_the_address(client: httpx2.AsyncClient) -> None:
    """On the platform's domain the local part is the handle, even if another one is requested."""
    nested = {"email_local_part": "Bills", "sending_domain": None}
    identity = await create(client, display_name="Billing", description="Sends bills", mailbox=nested)
    assert (identity["display_name"], identity["description"]) == ("Billing", "Sends bills")
    assert identity["email_address"] == "billing@inkboxmail.com"
    assert (await client.get(f"{MAILBOXES}/bills")).status_code == 404


async def test_list_get_and_create_answer_the_same_object(client: httpx2.AsyncClient) -> None:
    """All answer the full object; the list is newest first; a handle is found with @ and in capitals."""
    first, second = await create(client, "first"), await create(client, "second")
    assert (await client.get(f"{IDENTITIES}/")).json() == [second, first]
    for name in ("first", "@first", "First", "first/"):
        assert (await client.get(f"{IDENTITIES}/{name}")).json() == first


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("missing", "body.agent_handle")]),
        ({"agent_handle": "@ab"}, [("string_too_short", "body.agent_handle")]),
        ({"agent_handle": "a" * 64}, [("string_too_long", "body.agent_handle")]),
        ({"agent_handle": "a.b"}, [("string_pattern_mismatch", "body.agent_handle")]),
        ({"agent_handle": "a--b"}, [("string_pattern_mismatch", "body.agent_handle")]),
        ({"agent_handle": "-ab"}, [("string_pattern_mismatch", "body.agent_handle")]),
        ({"agent_handle": "ab-"}, [("string_pattern_mismatch", "body.agent_handle")]),
        ({"agent_handle": "b\u00fcro"}, [("string_pattern_mismatch", "body.agent_handle")]),
        ({"agent_handle": "abc", "status": "active"}, [("extra_forbidden", "body.status")]),
        ({"agent_handle": "abc", "display_name": "x" * 256}, [("string_too_long", "body.display_name")]),
        ({"agent_handle": "abc", "mailbox": {"display_name": "x"}}, [("extra_forbidden", "body.mailbox.display_name")]),
        (
            {"agent_handle": "abc", "mailbox": {"sending_domain": "mail.example.com"}},
            [("literal_error", "body.mailbox.sending_domain")],
        ),
    ],
)
async def test_bad_create_is_422_and_makes_nothing(
    client: httpx2.AsyncClient, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """The answer names the kind and the place of each mistake."""
    assert refusals(await client.post(IDENTITIES, json=body)) == expected
    assert (await client.get(IDENTITIES)).json() == []


async def test_handle_is_unique_in_the_whole_service(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """Any organization is refused a taken handle, with a code and the namespace that blocks it."""
    await create(client)
    for other in (client, stranger):
        response = await other.post(IDENTITIES, json={"agent_handle": "@billing"})
        assert (response.status_code, response.json()["detail"]) == (
            409,
            {
                "code": "agent_handle_unavailable",
                "message": "The agent handle 'billing' is not available.",
                "blocking_namespace": "identities",
            },
        )
    assert (await stranger.get(IDENTITIES)).json() == []


async def test_update_changes_only_what_is_supplied(client: httpx2.AsyncClient) -> None:
    """A patch answers the full object; null clears a text; equal values leave `updated_at` alone."""
    before = await create(client, description="Sends bills")
    named = (await client.patch(f"{IDENTITIES}/billing", json={"display_name": "Bills"})).json()
    assert (named["display_name"], named["description"]) == ("Bills", "Sends bills")
    assert named["updated_at"] > before["updated_at"]
    cleared = (await client.patch(f"{IDENTITIES}/@Billing", json={"display_name": None, "description": None})).json()
    assert (cleared["display_name"], cleared["description"]) == (None, None)
    for body in ({}, {"description": None, "mail_filter_mode": "blacklist"}):
        assert (await client.patch(f"{IDENTITIES}/billing", json=body)).json() == cleared
    assert (await client.get(IDENTITIES)).json() == [cleared]


async def test_filter_modes_are_the_identitys_and_its_mailboxs(client: httpx2.AsyncClient) -> None:
    """A mode for one or both directions, set on the identity or the mailbox, shows on both."""
    await create(client)
    identity = (await client.patch(f"{IDENTITIES}/billing", json={"mail_filter_mode": "whitelist"})).json()
    directions = ("mail_inbound_filter_mode", "mail_outbound_filter_mode")
    assert [identity[name] for name in directions] == ["whitelist", "whitelist"]
    response = await client.patch(f"{MAILBOXES}/billing", json={"inbound_filter_mode": "blacklist"})
    assert (response.json()["filter_mode"], response.json()["outbound_filter_mode"]) == ("blacklist", "whitelist")
    identity = (await client.get(f"{IDENTITIES}/billing")).json()
    assert [identity[name] for name in directions] == ["blacklist", "whitelist"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"agent_handle": "bills"}, [("extra_forbidden", "body.agent_handle")]),
        ({"status": "paused"}, [("extra_forbidden", "body.status")]),
        ({"phone_filter_mode": "whitelist"}, [("extra_forbidden", "body.phone_filter_mode")]),
        ({"mail_filter_mode": None}, [("literal_error", "body.mail_filter_mode")]),
        ({"display_name": "ok", "description": 1}, [("string_type", "body.description")]),
    ],
)
async def test_bad_identity_update_is_422_and_changes_nothing(
    client: httpx2.AsyncClient, body: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    """Fields of the spec generation and fields that the sandbox lacks are refused, not ignored."""
    before = await create(client)
    assert refusals(await client.patch(f"{IDENTITIES}/billing", json=body)) == expected
    assert (await client.get(f"{IDENTITIES}/billing")).json() == before


async def test_mailbox_is_deleted_with_its_identity(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """A delete answers an empty 204, and neither the address nor the handle can be used again."""
    await create(client)
    deleted = await client.delete(f"{IDENTITIES}/@billing")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await client.get(MAILBOXES)).json() == (await client.get(IDENTITIES)).json() == []
    for path in (f"{MAILBOXES}/billing", f"{IDENTITIES}/billing"):
        assert (await client.get(path)).status_code == 404
    assert (await client.delete(f"{IDENTITIES}/billing")).status_code == 404
    for other in (client, stranger):
        response = await other.post(IDENTITIES, json={"agent_handle": "billing"})
        assert (response.status_code, response.json()["detail"]["blocking_namespace"]) == (409, "mail")


async def test_organizations_do_not_see_each_other(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """Another key can neither list, find, change nor delete the objects of this organization."""
    identity = await create(client)
    subscription = (await subscribe(client, identity)).json()
    before = (await client.get(f"{IDENTITIES}/billing")).json()
    assert (await stranger.get(SUBSCRIPTIONS)).json() == {"subscriptions": []}
    assert (await subscribe(stranger, identity)).status_code == 404
    for path in (f"{IDENTITIES}/billing", f"{MAILBOXES}/billing", f"{SUBSCRIPTIONS}/{subscription['id']}"):
        for method in ("GET", "PATCH"):
            assert (await stranger.request(method, path, json={})).status_code == 404
    for path in (f"{IDENTITIES}/billing", f"{SUBSCRIPTIONS}/{subscription['id']}"):
        assert (await stranger.delete(path)).status_code == 404
    assert (await client.get(f"{IDENTITIES}/billing")).json() == before


# Mailboxes


async def test_mailbox_has_this_generations_fields(client: httpx2.AsyncClient) -> None:
    """A mailbox has its identity and its storage, but no name, webhook or status."""
    identity = await create(client)
    (mailbox,) = (await client.get(MAILBOXES)).json()
    assert mailbox == {**identity["mailbox"], "storage_used_bytes": 0, "storage_limit_bytes": 2147483648}
    assert not {"display_name", "webhook_url", "status"} & mailbox.keys()
    for name in ("billing", "BILLING@inkboxmail.com", "billing/"):
        assert (await client.get(f"{MAILBOXES}/{name}")).json() == mailbox


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", MAILBOXES, 405),
        ("DELETE", f"{MAILBOXES}/billing", 405),
        ("POST", f"{IDENTITIES}/billing/mailbox", 404),
        ("DELETE", f"{IDENTITIES}/billing/mailbox", 404),
    ],
)
async def test_operations_of_the_spec_generation_are_gone(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    """They are answered like any unknown path or method, with a key and without."""
    await create(client)
    for _ in range(2):
        response = await client.request(method, path, json={"agent_handle": "billing"})
        detail = {404: "Not Found", 405: "Method Not Allowed"}[status]
        assert (response.status_code, response.json()) == (status, {"detail": detail})
        client.headers.pop("X-API-Key", None)


@pytest.mark.parametrize("field", ["display_name", "webhook_url", "status"])
async def test_moved_field_of_a_mailbox_is_forbidden(client: httpx2.AsyncClient, field: str) -> None:
    """A field of the spec generation makes the whole patch fail."""
    await create(client)
    response = await client.patch(f"{MAILBOXES}/billing", json={field: "x", "signature_enabled": True})
    assert refusals(response) == [("extra_forbidden", f"body.{field}")]
    assert (await client.get(f"{MAILBOXES}/billing")).json()["signature_enabled"] is False


async def test_signature_is_set_and_removed(client: httpx2.AsyncClient) -> None:
    """Each signature changes alone, null removes it, and its limit is 16,384 characters."""
    await create(client)
    body = {"signature_html": "<b>B</b>", "signature_text": "B", "signature_enabled": True}
    before = (await client.patch(f"{MAILBOXES}/billing", json=body)).json()
    assert {name: before[name] for name in body} == body
    after = (await client.patch(f"{MAILBOXES}/billing", json={"signature_html": None})).json()
    assert after == {**before, "signature_html": None, "updated_at": after["updated_at"]}
    response = await client.patch(f"{MAILBOXES}/billing", json={"signature_text": "x" * 16_385})
    assert refusals(response) == [("string_too_long", "body.signature_text")]


async def test_new_filter_mode_comes_with_a_notice(client: httpx2.AsyncClient) -> None:
    """Only the answer to the change has the notice."""
    await create(client)
    for mode, redundant in (("whitelist", "block"), ("blacklist", "allow")):
        changed = (await client.patch(f"{MAILBOXES}/billing", json={"filter_mode": mode})).json()
        notice = {"new_filter_mode": mode, "redundant_rule_action": redundant, "redundant_rule_count": 0}
        assert (changed["filter_mode_change_notice"], changed["outbound_filter_mode"]) == (notice, mode)
        again = (await client.patch(f"{MAILBOXES}/billing", json={"filter_mode": mode})).json()
        assert again == {**changed, "filter_mode_change_notice": None}


# Webhooks


async def test_first_subscription_brings_the_signing_key(client: httpx2.AsyncClient) -> None:
    """The key is shown once, when the identity first needs one, and never when it is read."""
    identity = await create(client)
    response = await subscribe(client, identity)
    first = response.json()
    assert (response.status_code, first.pop("signing_key")[:6]) == (201, "whsec_")
    assert first.pop("created_at") == first.pop("updated_at")
    assert first == {
        "id": first["id"],
        "organization_id": identity["organization_id"],
        "mailbox_id": identity["mailbox"]["id"],
        "phone_number_id": None,
        "agent_identity_id": None,
        "owner_identity_id": identity["id"],
        "url": "https://example.com/hook",
        "event_types": ["message.received"],
        "status": "active",
        "context_config": None,
        "has_auth_token": False,
        "auth_token": None,
    }
    second = (await subscribe(client, identity, "https://example.com/other")).json()
    assert second["signing_key"] is None
    assert "signing_key" not in (await client.get(f"{SUBSCRIPTIONS}/{first['id']}")).json()
    assert (await client.get(f"{IDENTITIES}/billing")).json()["signing_key_configured"] is True


async def test_signing_key_is_rotated(client: httpx2.AsyncClient) -> None:
    """A key can be made before any subscription, and replaced."""
    identity = await create(client)
    path = f"{IDENTITIES}/@billing/signing-key"
    assert (await client.get(path)).json() == {"configured": False, "created_at": None}
    keys = [(await client.post(path, json={})).json() for _ in range(2)]
    assert keys[0]["signing_key"] != keys[1]["signing_key"]
    assert (await client.get(path)).json() == {"configured": True, "created_at": keys[1]["created_at"]}
    assert (await subscribe(client, identity)).json()["signing_key"] is None
    assert (await client.post(f"{IDENTITIES}/nobody/signing-key")).status_code == 404


async def test_subscriptions_are_listed_newest_first_and_filtered(client: httpx2.AsyncClient) -> None:
    """Filters combine; a filter that the sandbox lacks is refused."""
    billing, sales = await create(client), await create(client, "sales")
    one = (await subscribe(client, billing, "https://a.b", "message.sent", "message.failed")).json()
    two = (await subscribe(client, sales, "https://a.b", "message.sent")).json()

    async def listed(**wanted: str) -> list[str]:
        response = await client.get(SUBSCRIPTIONS, params=wanted)
        return [subscription["id"] for subscription in response.json()["subscriptions"]]

    assert await listed() == await listed(url="https://a.b") == await listed(event_type="message.sent")
    assert await listed() == [two["id"], one["id"]]
    assert await listed(event_type="message.failed") == [one["id"]]
    assert await listed(mailbox_id=sales["mailbox"]["id"], event_type="message.sent") == [two["id"]]
    assert await listed(mailbox_id=sales["mailbox"]["id"], event_type="message.failed") == []
    assert await listed(url="https://a.c") == []
    response = await client.get(SUBSCRIPTIONS, params={"phone_number_id": str(uuid4())})
    assert refusals(response) == [("extra_forbidden", "query.phone_number_id")]


async def test_subscription_is_updated_and_deleted(client: httpx2.AsyncClient) -> None:
    """An update replaces all event types; a deleted subscription answers 404."""
    before = (await subscribe(client, await create(client))).json()
    del before["signing_key"]
    path = f"{SUBSCRIPTIONS}/{before['id']}"
    after = (await client.patch(path, json={"event_types": ["message.sent", "message.bounced"]})).json()
    assert after == {**before, "event_types": ["message.sent", "message.bounced"], "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await client.patch(path, json={"url": before["url"]})).json() == after
    deleted = await client.delete(f"{path}/")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert (await client.request(method, path, json={})).status_code == 404


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"url": "http://example.com"}, ("string_pattern_mismatch", "body.url")),
        ({"url": None}, ("string_type", "body.url")),
        ({"event_types": []}, ("too_short", "body.event_types")),
        ({"event_types": ["message.sent", "message.sent"]}, ("value_error", "body.event_types")),
        ({"event_types": ["message.opened"]}, ("literal_error", "body.event_types.0")),
        ({"event_types": None}, ("list_type", "body.event_types")),
        ({"auth_token": "x"}, ("extra_forbidden", "body.auth_token")),
    ],
)
async def test_bad_subscription_is_422(
    client: httpx2.AsyncClient, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Create and update refuse the same mistakes."""
    identity = await create(client)
    good = {"mailbox_id": identity["mailbox"]["id"], "url": "https://a.b", "event_types": ["message.sent"]}
    made = (await client.post(SUBSCRIPTIONS, json=good)).json()
    for method, path, body in (
        ("POST", SUBSCRIPTIONS, {**good, **change}),
        ("PATCH", f"{SUBSCRIPTIONS}/{made['id']}", change),
    ):
        assert refusals(await client.request(method, path, json=body)) == [expected]


async def test_subscriptions_of_a_mailbox_do_not_overlap_and_are_limited(client: httpx2.AsyncClient) -> None:
    """One URL gets each event of a mailbox once, and a mailbox has at most twenty subscriptions."""
    identity = await create(client)
    first = (await subscribe(client, identity, "https://a.b", "message.sent", "message.failed")).json()
    assert (await subscribe(client, identity, "https://a.b", "message.failed")).status_code == 409
    second = (await subscribe(client, identity, "https://a.b", "message.received")).json()
    response = await client.patch(f"{SUBSCRIPTIONS}/{second['id']}", json={"event_types": ["message.sent"]})
    assert response.status_code == 409
    assert (await subscribe(client, await create(client, "sales"), "https://a.b", "message.sent")).status_code == 201
    for number in range(18):
        assert (await subscribe(client, identity, f"https://a.b/{number}")).status_code == 201
    assert (await subscribe(client, identity, "https://a.b/last")).status_code == 409
    response = await client.patch(f"{SUBSCRIPTIONS}/{first['id']}", json={"url": "https://a.c"})
    assert response.status_code == 200


async def test_subscriptions_are_deleted_with_their_mailbox(
    client: httpx2.AsyncClient, spec: httpx2.AsyncClient
) -> None:
    """This holds when an identity is deleted here, and a mailbox in the spec generation."""
    for handle, delete in (
        ("billing", client.delete(f"{IDENTITIES}/billing")),
        ("sales", spec.delete(f"{MAILBOXES}/sales")),
    ):
        made = (await subscribe(client, await create(client, handle))).json()
        assert (await delete).status_code == 204
        assert (await client.get(SUBSCRIPTIONS)).json() == {"subscriptions": []}
        assert (await client.get(f"{SUBSCRIPTIONS}/{made['id']}")).status_code == 404


# Keys


async def test_whoami_writes_times_as_everything_else_does(client: httpx2.AsyncClient) -> None:
    """The answer equals that of the spec generation, except for the format of times."""
    body = (await client.get(WHOAMI)).json()
    assert body["created_at"] < body["last_used_at"]
    assert (len(body["created_at"]), body["created_at"][-1], body["expires_at"]) == (27, "Z", None)
    assert (body["auth_subtype"], body["key_id"]) == ("api_key.admin_scoped", KEY[7:43])


@pytest.mark.parametrize("path", [MAILBOXES, IDENTITIES, SUBSCRIPTIONS, WHOAMI])
async def test_refused_key_is_401_or_403(store: Store, path: str) -> None:
    """Keys are checked as in the spec generation."""
    for key, status in (("nonsense", 401), (f"ApiKey_{uuid4()}.no-organization", 403)):
        async with connect(store, key) as client:
            assert (await client.get(path)).status_code == status


# One store, two generations


async def test_spec_generation_sees_what_was_made_here(client: httpx2.AsyncClient, spec: httpx2.AsyncClient) -> None:
    """Each generation shows its own fields, and both show the same display name."""
    identity = await create(client, display_name="Billing")
    mailbox = (await spec.get(f"{MAILBOXES}/billing")).json()
    assert (mailbox["id"], mailbox["display_name"], mailbox["status"]) == (
        identity["mailbox"]["id"],
        "Billing",
        "active",
    )
    await spec.patch(f"{MAILBOXES}/billing", json={"display_name": "Bills"})
    assert (await client.get(f"{IDENTITIES}/billing")).json()["display_name"] == "Bills"
    await client.patch(f"{IDENTITIES}/billing", json={"display_name": None})
    assert (await spec.get(f"{MAILBOXES}/billing")).json()["display_name"] is None
    assert (await spec.get(f"{IDENTITIES}/billing")).json()["mailbox"]["display_name"] is None
    handles = [identity["agent_handle"] for identity in (await spec.get(IDENTITIES)).json()]
    assert handles == ["billing", "support-agent", "sales-agent"]


async def test_mailbox_of_the_spec_generation_is_seen_here(
    client: httpx2.AsyncClient, spec: httpx2.AsyncClient
) -> None:
    """It appears with its identity, although its address differs from the handle."""
    await spec.post(MAILBOXES, json={"agent_handle": "sales-agent", "display_name": "S", "email_local_part": "sales"})
    (identity,) = (await client.get(IDENTITIES)).json()
    assert (identity["agent_handle"], identity["display_name"]) == ("sales-agent", "S")
    assert identity["email_address"] == identity["mailbox"]["email_address"] == "sales@inkboxmail.com"
    taken = await client.post(IDENTITIES, json={"agent_handle": "sales-agent"})
    assert (taken.status_code, taken.json()["detail"]["blocking_namespace"]) == (409, "identities")
    await client.delete(f"{IDENTITIES}/sales-agent")
    assert (await spec.get(MAILBOXES)).json() == []
    assert (await spec.get(f"{IDENTITIES}/sales-agent")).status_code == 404


async def test_identity_without_mailbox_gives_way_here(client: httpx2.AsyncClient, spec: httpx2.AsyncClient) -> None:
    """The first identities of the spec generation are hidden here, and their handles can be used."""
    for method in ("GET", "PATCH", "DELETE"):
        assert (await client.request(method, f"{IDENTITIES}/sales-agent", json={})).status_code == 404
    identity = await create(client, "sales-agent")
    detail = (await spec.get(f"{IDENTITIES}/sales-agent")).json()
    assert (detail["id"], detail["email_address"]) == (identity["id"], "sales-agent@inkboxmail.com")
    assert len((await spec.get(IDENTITIES)).json()) == 2


async def test_address_that_the_spec_generation_gave_away_blocks_its_handle(
    client: httpx2.AsyncClient, spec: httpx2.AsyncClient
) -> None:
    """A handle is also an address; the refused create leaves nothing behind."""
    await spec.post(MAILBOXES, json={"agent_handle": "sales-agent", "email_local_part": "support-agent"})
    response = await client.post(IDENTITIES, json={"agent_handle": "support-agent"})
    assert (response.status_code, response.json()["detail"]["blocking_namespace"]) == (409, "mail")
    assert (await spec.get(f"{IDENTITIES}/support-agent")).status_code == 200


async def test_mailbox_without_identity_is_seen_and_sends_no_events(
    client: httpx2.AsyncClient, spec: httpx2.AsyncClient
) -> None:
    """A mailbox that the spec generation unlinked can be read, but has no identity to sign events."""
    await create(client)
    await spec.delete(f"{IDENTITIES}/billing")
    (mailbox,) = (await client.get(MAILBOXES)).json()
    assert mailbox["agent_identity_id"] is None
    response = await subscribe(client, {"mailbox": mailbox})
    assert (response.status_code, response.json()) == (409, {"detail": "Mailbox has no agent identity"})


# The file of the previous release

VERSION_1 = """
CREATE TABLE clock (microseconds INTEGER NOT NULL);
INSERT INTO clock VALUES (0);
CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL
);
CREATE TABLE identities (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    agent_handle TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (organization_id, agent_handle)
);
CREATE TABLE mailboxes (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    local_part TEXT NOT NULL UNIQUE CHECK (local_part = lower(local_part)),
    identity_id TEXT UNIQUE REFERENCES identities (id),
    display_name TEXT NOT NULL,
    webhook_url TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'deleted')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK (status <> 'deleted' OR identity_id IS NULL)
);
CREATE INDEX mailboxes_newest_first ON mailboxes (organization_id, created_at DESC);
PRAGMA user_version = 1;
PRAGMA application_id = 0x496E6B62;
INSERT INTO organizations VALUES ('org_d1b1', 1);
INSERT INTO identities VALUES ('00000000-0000-4000-8000-000000000001', 'org_d1b1', 'sales-agent', 'paused', 2, 3);
INSERT INTO mailboxes VALUES ('00000000-0000-4000-8000-000000000002', 'org_d1b1', 'sales',
    '00000000-0000-4000-8000-000000000001', 'Sales', 'https://example.com', 'active', 4, 5);
INSERT INTO mailboxes VALUES ('00000000-0000-4000-8000-000000000003', 'org_d1b1', 'gone', NULL, 'Gone', NULL,
    'deleted', 6, 7);
"""

VERSION_2 = SCHEMA[:5]
"""What a file of version 2 was made of: later versions add to it."""

VERSION_3 = SCHEMA[:-2]
"""What a file of version 3 was made of."""


def schema(path: Path) -> set[tuple[str, str]]:
    """Return the columns and the indexes of a database file."""
    with closing(sqlite3.connect(path)) as other:
        tables = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = {(name, column[1]) for (name,) in tables for column in other.execute(f"PRAGMA table_info({name})")}
        return columns | {*other.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'")}


@pytest.fixture
async def version_1(client: httpx2.AsyncClient, tmp_path: Path) -> Path:
    """A file of the previous release, with an organization of `KEY`."""
    organization_id = (await client.get(WHOAMI)).json()["organization_id"]
    with closing(sqlite3.connect(tmp_path / "inkbox.db")) as other:
        other.executescript(VERSION_1.replace("org_d1b1", organization_id))
    return tmp_path / "inkbox.db"


async def test_file_of_version_1_is_brought_up_to_date(version_1: Path, tmp_path: Path) -> None:
    """Opening it keeps every value and adds all that a new file has."""
    Store(version_1).close()
    with Store(version_1) as store:
        client = connect(store, KEY, "spec")
        (mailbox,) = (await client.get(MAILBOXES)).json()
        (identity,) = (await client.get(IDENTITIES)).json()
        body = {"agent_handle": "x", "mailbox": {"email_local_part": "gone"}}
        assert (await client.post(IDENTITIES, json=body)).status_code == 409
        await client.aclose()
    assert mailbox == {
        "id": "00000000-0000-4000-8000-000000000002",
        "email_address": "sales@inkboxmail.com",
        "display_name": "Sales",
        "webhook_url": "https://example.com",
        "status": "active",
        "filter_mode": "blacklist",
        "filter_mode_change_notice": None,
        "agent_identity_id": identity["id"],
        "sending_domain": "inkboxmail.com",
        "created_at": "1970-01-01T00:00:00.000004Z",
        "updated_at": "1970-01-01T00:00:00.000005Z",
    }
    assert (identity["status"], identity["created_at"]) == ("paused", "1970-01-01T00:00:00.000002Z")
    Store(tmp_path / "new.db").close()
    assert schema(version_1) == schema(tmp_path / "new.db")


async def test_file_of_version_1_may_be_opened_by_the_identity_generation(version_1: Path) -> None:
    """Existing objects get the new fields and can be used."""
    with Store(version_1) as store:
        async with connect(store, KEY) as client:
            identity = (await client.get(f"{IDENTITIES}/sales-agent")).json()
            assert (identity["display_name"], identity["description"]) == ("Sales", None)
            assert (await subscribe(client, identity)).status_code == 201
            assert (await client.delete(f"{IDENTITIES}/sales-agent")).status_code == 204


def write_file(path: Path, version: int, scripts: Iterable[Iterable[str]], rows: str) -> None:
    """Write a file as an earlier release left it."""
    with closing(sqlite3.connect(path)) as other:
        other.executescript("".join(statement for script in scripts for statement in script))
        other.execute(f"PRAGMA user_version = {version}")
        other.execute("PRAGMA application_id = 0x496E6B62")
        other.executescript(rows)


async def test_file_of_version_2_gets_mail(tmp_path: Path) -> None:
    """Its objects stay; a signing key that was not kept signs nothing until it is rotated."""
    path = tmp_path / "inkbox.db"
    write_file(
        path,
        2,
        VERSION_2,
        "INSERT INTO organizations VALUES ('org_x', 1);"
        "INSERT INTO identities VALUES ('00000000-0000-4000-8000-000000000001', 'org_x', 'sales', 'active', 1, 1,"
        " NULL, 5);"
        "INSERT INTO mailboxes (id, organization_id, local_part, identity_id, status, created_at, updated_at)"
        " VALUES ('00000000-0000-4000-8000-000000000002', 'org_x', 'sales',"
        " '00000000-0000-4000-8000-000000000001', 'active', 1, 1);",
    )
    with Store(path) as store:
        delivered, _ = store.deliver(b"Subject: Hi\r\n\r\nhi", ["sales@inkboxmail.com"])
        assert len(delivered) == 1
        with store.reading() as connection:
            row = connection.execute("SELECT signing_key_created_at, signing_key FROM identities").fetchone()
            used = connection.execute("SELECT storage_used_bytes FROM mailboxes").fetchone()
        assert row == {"signing_key_created_at": 5, "signing_key": None}
        assert used == {"storage_used_bytes": len(b"Subject: Hi\r\n\r\nhi")}
    Store(tmp_path / "new.db").close()
    assert schema(path) == schema(tmp_path / "new.db")


async def test_file_of_version_3_gets_calls(tmp_path: Path) -> None:
    """Its mail stays, and can be unread."""
    path = tmp_path / "inkbox.db"
    write_file(
        path,
        3,
        VERSION_3,
        "INSERT INTO organizations VALUES ('org_x', 1);"
        "INSERT INTO mailboxes (id, organization_id, local_part, status, created_at, updated_at)"
        " VALUES ('00000000-0000-4000-8000-000000000002', 'org_x', 'sales', 'active', 1, 1);",
    )
    call = {"tool": "x", "arguments": None, "outcome": "ok", "error_text": None, "duration_ms": 1.0, "client": None}
    with Store(path) as store:
        store.deliver(b"Subject: Hi\r\n\r\nhi", ["sales@inkboxmail.com"])
        store.keep_calls([{**call, "created_at": 1}])
        with store.reading() as connection:
            unread = "SELECT count(*) AS n FROM messages INDEXED BY messages_unread"
            where = "direction = 'inbound' AND is_read = 0"
            assert connection.execute(f"{unread} WHERE {where}").fetchone() == {"n": 1}
            assert connection.execute("SELECT tool FROM calls").fetchall() == [{"tool": "x"}]
    Store(tmp_path / "new.db").close()
    assert schema(path) == schema(tmp_path / "new.db")


async def test_migration_happens_as_a_whole_or_not_at_all(version_1: Path) -> None:
    """A file that cannot be migrated stays unchanged."""
    with closing(sqlite3.connect(version_1)) as other:
        other.execute("CREATE TABLE webhook_subscriptions (id)")
    before = schema(version_1)
    with pytest.raises(StoreError, match="already exists"):
        Store(version_1)
    assert schema(version_1) == before
    with closing(sqlite3.connect(version_1)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
        assert other.execute("SELECT count(*) FROM mailboxes").fetchone() == (2,)


# The OpenAPI document


async def test_each_generation_documents_its_own_operations(
    client: httpx2.AsyncClient, spec: httpx2.AsyncClient
) -> None:
    """Operations of both generations have the same names, and every operation documents its errors."""
    documents = [(await each.get("/openapi.json")).json()["paths"] for each in (client, spec)]
    (here, there) = (
        {operation["operationId"]: operation for path in paths.values() for operation in path.values()}
        for paths in documents
    )
    assert there.keys() - here.keys() == {"create_mailbox", "delete_mailbox", "link_mailbox", "unlink_mailbox"}
    assert {name for name in here.keys() - there.keys() if "webhook" not in name} == {
        "get_signing_key_status",
        "create_signing_key",
        "reply_all_message",
        "lookup_message_send",
        "get_signup_status",
    }
    assert all({"401", "403", "503"} <= operation["responses"].keys() for operation in here.values())
    assert here["create_identity"]["responses"].keys() == {"201", "400", "401", "403", "409", "422", "503"}
