"""The sandbox compared with the specification, in this process."""

import json
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx2
import pytest
from fastapi import Request
from fastapi.exceptions import RequestValidationError

from inkbox_mcp.sandbox import Store, StoreError, create_app
from inkbox_mcp.sandbox.problems import invalid
from inkbox_mcp.sandbox.rows import insert_identity

MAILBOXES = "/api/v1/mail/mailboxes"
IDENTITIES = "/api/v1/identities"
WHOAMI = "/api/whoami"


def new_key() -> str:
    """Return an unused API key, and so a new organization."""
    return f"ApiKey_{uuid4()}.{uuid4().hex}"


def connect(store: Store, key: str | None = None) -> httpx2.AsyncClient:
    """Make a client of one organization."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=create_app(store)),
        base_url="http://sandbox",
        headers={"X-API-Key": key or new_key()},
    )


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    """A new organization."""
    async with connect(store) as client:
        yield client


@pytest.fixture
async def stranger(store: Store) -> AsyncIterator[httpx2.AsyncClient]:
    """Another new organization in the same store."""
    async with connect(store) as client:
        yield client


async def create(client: httpx2.AsyncClient, handle: str = "sales-agent", **options: Any) -> dict[str, Any]:
    """Create a mailbox and return it."""
    response = await client.post(MAILBOXES, json={"agent_handle": handle, **options})
    assert response.status_code == 201, response.text
    return response.json()


async def handles(client: httpx2.AsyncClient) -> list[str]:
    """Return the organization's handles in the order of the list."""
    return [identity["agent_handle"] for identity in (await client.get(IDENTITIES)).json()]


# Mailboxes


async def test_created_mailbox_has_every_field_of_the_object(client: httpx2.AsyncClient) -> None:
    """A create with only a handle answers 201 with the whole object and its defaults."""
    mailbox = await create(client)
    identity = (await client.get(f"{IDENTITIES}/sales-agent")).json()
    assert UUID(mailbox.pop("id")).version == 4
    local_part, _, domain = mailbox.pop("email_address").partition("@")
    assert (len(local_part), local_part[3], domain) == (7, "-", "inkboxmail.com")
    assert mailbox.pop("created_at") == mailbox.pop("updated_at")
    assert mailbox == {
        "display_name": "Inkbox user",
        "webhook_url": None,
        "status": "active",
        "filter_mode": "blacklist",
        "filter_mode_change_notice": None,
        "agent_identity_id": identity["id"],
        "sending_domain": "inkboxmail.com",
    }


async def test_timestamps_are_utc_with_microseconds(client: httpx2.AsyncClient) -> None:
    """All timestamps have one width, so that they sort as text."""
    created_at: str = (await create(client))["created_at"]
    assert (len(created_at), created_at[10], created_at[19], created_at[-1]) == (27, "T", ".", "Z")


async def test_requested_address_and_name_are_used(client: httpx2.AsyncClient) -> None:
    """A create takes a local part, in lower case, and a name, which may be empty."""
    mailbox = await create(client, "@sales-agent", email_local_part="Sales.Team+1_a-b", display_name="")
    assert mailbox["email_address"] == "sales.team+1_a-b@inkboxmail.com"
    assert mailbox["display_name"] == ""


async def test_null_options_and_unknown_fields_are_ignored_by_create(client: httpx2.AsyncClient) -> None:
    """A null option counts as omitted, and a field of another API generation has no effect."""
    mailbox = await create(client, display_name=None, email_local_part=None, filter_mode="whitelist")
    assert mailbox["display_name"] == "Inkbox user"
    assert mailbox["filter_mode"] == "blacklist"


async def test_create_needs_an_existing_identity(client: httpx2.AsyncClient) -> None:
    """A create for an unknown handle is answered 404."""
    response = await client.post(MAILBOXES, json={"agent_handle": "nobody"})
    assert (response.status_code, response.json()) == (404, {"detail": "Agent identity not found"})


async def test_the_two_conflicts_of_create_differ(client: httpx2.AsyncClient) -> None:
    """A second mailbox for an identity and a taken address are both 409, with different sentences."""
    await create(client, email_local_part="sales")
    second = await client.post(MAILBOXES, json={"agent_handle": "sales-agent"})
    taken = await client.post(MAILBOXES, json={"agent_handle": "support-agent", "email_local_part": "SALES"})
    assert [second.status_code, taken.status_code] == [409, 409]
    assert second.json() == {"detail": "Agent identity already has a mailbox"}
    assert taken.json() == {"detail": "Email address is already taken"}


async def test_list_is_newest_first_without_deleted_ones(client: httpx2.AsyncClient) -> None:
    """The order is total, even if the mailboxes were made quickly."""
    for number in range(6):
        await client.post(
            IDENTITIES, json={"agent_handle": f"a{number}", "mailbox": {"email_local_part": f"m{number}"}}
        )
    await client.delete(f"{MAILBOXES}/m3")
    listed = (await client.get(MAILBOXES)).json()
    assert [mailbox["email_address"][:2] for mailbox in listed] == ["m5", "m4", "m2", "m1", "m0"]
    assert len({mailbox["created_at"] for mailbox in listed}) == 5


@pytest.mark.parametrize(
    "name",
    ["a+b", "A+B", "a%2Bb", "a+b@inkboxmail.com", "a%2bb%40InkboxMail.COM", "a+b/", "a+b@inkboxmail.com/"],
)
async def test_mailbox_is_found_by_any_form_of_its_address(client: httpx2.AsyncClient, name: str) -> None:
    """The path takes a local part or an address, in any case, escaped or not, with or without a slash."""
    mailbox = await create(client, email_local_part="a+b")
    response = await client.get(f"{MAILBOXES}/{name}")
    assert (response.status_code, response.json()) == (200, mailbox)


@pytest.mark.parametrize(
    "name", ["k@example.com", "k@", "@inkboxmail.com", "k@b@inkboxmail.com", "\u212a", "%00", "%FF", "%ED%A0%80", "k/x"]
)
async def test_anything_else_is_not_a_mailbox(client: httpx2.AsyncClient, name: str) -> None:
    """A path that resembles an address, or is not valid text, is answered 404."""
    await create(client, email_local_part="k")
    for method in ("GET", "PATCH", "DELETE"):
        response = await client.request(method, f"{MAILBOXES}/{name}", json={})
        assert response.status_code == 404
        assert isinstance(response.json()["detail"], str)


async def test_update_changes_only_what_is_supplied(client: httpx2.AsyncClient) -> None:
    """A patch of one field keeps the other and changes `updated_at`."""
    before = await create(client, email_local_part="sales", display_name="Sales")
    named = (await client.patch(f"{MAILBOXES}/sales", json={"webhook_url": "https://example.com/a?b#c"})).json()
    assert named == {**before, "webhook_url": "https://example.com/a?b#c", "updated_at": named["updated_at"]}
    assert named["updated_at"] > before["updated_at"]
    renamed = (await client.patch(f"{MAILBOXES}/sales", json={"display_name": "Team"})).json()
    assert renamed == {**named, "display_name": "Team", "updated_at": renamed["updated_at"]}
    assert (await client.get(f"{MAILBOXES}/sales")).json() == renamed


async def test_null_webhook_url_unsubscribes(client: httpx2.AsyncClient) -> None:
    """A null URL is a value, not an omission."""
    await create(client, email_local_part="sales")
    await client.patch(f"{MAILBOXES}/sales", json={"webhook_url": "https://example.com"})
    response = await client.patch(f"{MAILBOXES}/sales", json={"webhook_url": None})
    assert (response.status_code, response.json()["webhook_url"]) == (200, None)


@pytest.mark.parametrize(
    "body", [{}, {"display_name": "Inkbox user"}, {"webhook_url": None}, {"status": "paused", "x": 1}]
)
async def test_update_without_a_difference_changes_nothing(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    """An empty patch, equal values and unknown fields answer 200 with the object as it was."""
    before = await create(client, email_local_part="sales")
    response = await client.patch(f"{MAILBOXES}/sales", json=body)
    assert (response.status_code, response.json()) == (200, before)


async def test_deleted_mailbox_is_hidden_and_its_address_taken_for_ever(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    """A delete answers an empty 204; later answers omit the mailbox, and its address stays taken."""
    mailbox = await create(client, email_local_part="sales")
    deleted = await client.delete(f"{MAILBOXES}/sales")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert (await client.request(method, f"{MAILBOXES}/sales", json={})).status_code == 404
    assert (await client.get(MAILBOXES)).json() == []
    identity = (await client.get(f"{IDENTITIES}/sales-agent")).json()
    assert (identity["mailbox"], identity["email_address"]) == (None, None)
    link = await client.post(f"{IDENTITIES}/sales-agent/mailbox", json={"mailbox_id": mailbox["id"]})
    assert link.status_code == 404
    for other in (client, stranger):
        response = await other.post(MAILBOXES, json={"agent_handle": "sales-agent", "email_local_part": "sales"})
        assert response.status_code == 409
    await create(client, "sales-agent")


async def test_random_addresses_that_all_collide_are_503() -> None:
    """After five generated addresses the client is asked to retry."""
    made: list[str] = []

    def local_part() -> str:
        made.append("SAME")
        return made[-1]

    with Store(":memory:", local_part=local_part) as store:
        async with connect(store) as client:
            await create(client)
            response = await client.post(MAILBOXES, json={"agent_handle": "support-agent"})
            nested = await client.post(IDENTITIES, json={"agent_handle": "nested", "mailbox": {}})
            assert [response.status_code, nested.status_code] == [503, 503]
            assert "retry" in response.json()["detail"]
            assert len(made) == 11
            assert await handles(client) == ["support-agent", "sales-agent"]


async def test_one_collision_is_not_seen_by_the_client() -> None:
    """When a generated address is taken, the store generates another."""
    parts = iter(["one", "one", "two"])
    with Store(":memory:", local_part=lambda: next(parts)) as store:
        async with connect(store) as client:
            assert (await create(client, "sales-agent"))["email_address"] == "one@inkboxmail.com"
            assert (await create(client, "support-agent"))["email_address"] == "two@inkboxmail.com"


# Identities


async def test_identity_without_mailbox_is_a_summary(client: httpx2.AsyncClient) -> None:
    """A create answers 201 with the summary and no other fields."""
    response = await client.post(f"{IDENTITIES}/", json={"agent_handle": "@@billing", "phone_number": {}})
    summary = response.json()
    assert response.status_code == 201
    assert summary.keys() == {
        "id", "organization_id", "agent_handle", "status", "email_address", "created_at", "updated_at"
    }  # fmt: skip
    assert (summary["agent_handle"], summary["status"], summary["email_address"]) == ("billing", "active", None)
    assert (await client.get(IDENTITIES)).json()[0] == summary
    detail = (await client.get(f"{IDENTITIES}/%40billing/")).json()
    assert detail == {**summary, "mailbox": None, "phone_number": None}


async def test_nested_mailbox_is_named_after_the_handle(client: httpx2.AsyncClient) -> None:
    """An empty nested object creates a mailbox with all defaults, whose name is the handle."""
    summary = (await client.post(IDENTITIES, json={"agent_handle": "@billing", "mailbox": {}})).json()
    mailbox = (await client.get(MAILBOXES)).json()[0]
    assert summary["email_address"] == mailbox["email_address"]
    assert mailbox["display_name"] == "billing"
    detail = (await client.get(f"{IDENTITIES}/billing")).json()
    fields = ("id", "email_address", "display_name", "status", "created_at", "updated_at")
    assert detail["mailbox"] == {field: mailbox[field] for field in fields}


async def test_nested_mailbox_takes_a_name_and_an_address(client: httpx2.AsyncClient) -> None:
    """The nested object may set both options."""
    options = {"display_name": "Billing", "email_local_part": "Bills"}
    await client.post(IDENTITIES, json={"agent_handle": "billing", "mailbox": options})
    mailbox = (await client.get(f"{MAILBOXES}/bills")).json()
    assert (mailbox["display_name"], mailbox["email_address"]) == ("Billing", "bills@inkboxmail.com")


async def test_taken_address_leaves_no_identity(client: httpx2.AsyncClient) -> None:
    """A nested create makes both or neither."""
    await create(client, email_local_part="sales")
    body = {"agent_handle": "billing", "mailbox": {"email_local_part": "sales"}}
    assert (await client.post(IDENTITIES, json=body)).status_code == 409
    assert (await client.get(f"{IDENTITIES}/billing")).status_code == 404
    assert await handles(client) == ["support-agent", "sales-agent"]


async def test_handle_is_unique_in_its_organization(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """A handle may be taken once per organization, with or without its @."""
    assert (await client.post(IDENTITIES, json={"agent_handle": "billing"})).status_code == 201
    again = await client.post(IDENTITIES, json={"agent_handle": "@billing", "mailbox": {}})
    assert (again.status_code, again.json()) == (409, {"detail": "Agent handle is already taken"})
    assert (await client.get(MAILBOXES)).json() == []
    assert (await stranger.post(IDENTITIES, json={"agent_handle": "billing"})).status_code == 201


async def test_identity_is_renamed_and_paused(client: httpx2.AsyncClient) -> None:
    """A patch answers the summary; equal values leave `updated_at` alone."""
    before = (await client.get(IDENTITIES)).json()[1]
    renamed = (await client.patch(f"{IDENTITIES}/sales-agent", json={"agent_handle": "@sales"})).json()
    assert renamed == {**before, "agent_handle": "sales", "updated_at": renamed["updated_at"]}
    assert renamed["updated_at"] > before["updated_at"]
    paused = (await client.patch(f"{IDENTITIES}/@sales", json={"status": "paused"})).json()
    assert (paused["agent_handle"], paused["status"]) == ("sales", "paused")
    for body in ({}, {"status": "paused"}, {"agent_handle": "sales"}):
        assert (await client.patch(f"{IDENTITIES}/sales", json=body)).json() == paused
    assert (await client.get(f"{IDENTITIES}/sales-agent")).status_code == 404


@pytest.mark.parametrize(
    ("handle", "body", "status"),
    [
        ("sales-agent", {"status": "deleted"}, 400),
        ("sales-agent", {"status": ""}, 400),
        ("nobody", {"status": "paused"}, 404),
        ("sales-agent", {"agent_handle": "support-agent"}, 409),
        ("sales-agent", {"display_name": "Sales"}, 422),
        ("sales-agent", {"agent_handle": "@"}, 422),
        ("sales-agent", {"agent_handle": None}, 422),
        ("sales-agent", {"status": None}, 422),
    ],
)
async def test_bad_identity_update_is_refused(
    client: httpx2.AsyncClient, handle: str, body: dict[str, Any], status: int
) -> None:
    """Each mistake of an identity's patch has its status and changes nothing."""
    before = (await client.get(IDENTITIES)).json()
    assert (await client.patch(f"{IDENTITIES}/{handle}", json=body)).status_code == status
    assert (await client.get(IDENTITIES)).json() == before


async def test_mailbox_survives_its_identity(client: httpx2.AsyncClient) -> None:
    """Deleting an identity unlinks its mailbox and frees its handle."""
    before = await create(client, email_local_part="sales")
    deleted = await client.delete(f"{IDENTITIES}/@sales-agent")
    assert (deleted.status_code, deleted.content) == (204, b"")
    after = (await client.get(f"{MAILBOXES}/sales")).json()
    assert after == {**before, "agent_identity_id": None, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", "/mailbox")):
        assert (await client.request(method, f"{IDENTITIES}/sales-agent{path}")).status_code == 404
    assert (await client.post(IDENTITIES, json={"agent_handle": "sales-agent"})).status_code == 201


async def test_mailbox_moves_from_one_identity_to_another(client: httpx2.AsyncClient) -> None:
    """After unlink and link, the mailbox and both identities show the same owner."""
    mailbox = await create(client, email_local_part="sales")
    for _ in range(2):
        unlinked = await client.delete(f"{IDENTITIES}/sales-agent/mailbox")
        assert (unlinked.status_code, unlinked.content) == (204, b"")
    body = {"mailbox_id": mailbox["id"].upper()}
    linked = await client.post(f"{IDENTITIES}/@support-agent/mailbox/", json=body)
    assert (linked.status_code, linked.json()["email_address"]) == (200, "sales@inkboxmail.com")
    again = await client.post(f"{IDENTITIES}/support-agent/mailbox", json=body)
    assert (again.status_code, again.json()) == (200, linked.json())
    assert (await client.get(f"{IDENTITIES}/sales-agent")).json()["mailbox"] is None
    support = (await client.get(f"{IDENTITIES}/support-agent")).json()
    assert support == linked.json()
    assert (await client.get(f"{MAILBOXES}/sales")).json()["agent_identity_id"] == support["id"]


async def test_link_is_refused_when_either_side_is_taken(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient
) -> None:
    """A mailbox has one identity and an identity one mailbox, in the same organization."""
    sales = await create(client, "sales-agent")
    support = await create(client, "support-agent")
    path = f"{IDENTITIES}/support-agent/mailbox"
    assert (await client.post(path, json={"mailbox_id": sales["id"]})).status_code == 409
    await client.delete(f"{IDENTITIES}/sales-agent/mailbox")
    assert (await client.post(path, json={"mailbox_id": sales["id"]})).status_code == 409
    assert (await client.post(path, json={"mailbox_id": str(uuid4())})).status_code == 404
    assert (await client.post(path, json={"mailbox_id": "sales"})).status_code == 422
    assert (await stranger.post(path, json={"mailbox_id": sales["id"]})).status_code == 404
    nobody = await client.post(f"{IDENTITIES}/nobody/mailbox", json={"mailbox_id": sales["id"]})
    assert nobody.status_code == 404
    assert (await client.get(f"{IDENTITIES}/support-agent")).json()["mailbox"]["id"] == support["id"]


# Keys and organizations


async def test_new_organization_begins_with_two_identities_once(client: httpx2.AsyncClient) -> None:
    """The first request creates two identities; when they are deleted, they do not return."""
    assert await handles(client) == ["support-agent", "sales-agent"]
    for handle in ("support-agent", "sales-agent"):
        await client.delete(f"{IDENTITIES}/{handle}")
    assert await handles(client) == []


async def test_organizations_do_not_see_each_other(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """Another key can neither list, find, change nor delete the objects of this organization."""
    mailbox = await create(client, email_local_part="sales")
    assert (await stranger.get(MAILBOXES)).json() == []
    for method in ("GET", "PATCH", "DELETE"):
        body = {"display_name": "Mine"}
        assert (await stranger.request(method, f"{MAILBOXES}/sales", json=body)).status_code == 404
    assert (await stranger.get(f"{IDENTITIES}/sales-agent")).json()["mailbox"] is None
    await stranger.delete(f"{IDENTITIES}/sales-agent")
    assert (await client.get(f"{MAILBOXES}/sales")).json() == mailbox
    mine, theirs = (await client.get(WHOAMI)).json(), (await stranger.get(WHOAMI)).json()
    assert mine["organization_id"] != theirs["organization_id"]


async def test_whoami_describes_the_key(store: Store) -> None:
    """The answer names the key's public half and its organization."""
    key = new_key()
    async with connect(store, key) as client:
        body = (await client.get(f"{WHOAMI}/")).json()
        identity = (await client.get(IDENTITIES)).json()[0]
    assert key[7:43] == body.pop("key_id")
    assert body.pop("organization_id") == identity["organization_id"]
    assert 0 <= body.pop("last_used_at") - body.pop("created_at") < 60
    assert body == {
        "auth_type": "api_key",
        "auth_subtype": "api_key.admin_scoped",
        "label": "Sandbox",
        "description": None,
        "creator_type": None,
        "created_by": None,
        "expires_at": None,
    }


ID = UUID(int=1)
MALFORMED = [
    "", "x", "ApiKey_", f"ApiKey_{ID}", f"ApiKey_{ID}.", f"apikey_{ID}.s", f"ApiKey_{'-' * 36}.s",
    f"ApiKey_{ID}.a b", f"ApiKey_{ID}.\u00e9", f"Bearer ApiKey_{ID}.s",
]  # fmt: skip


@pytest.mark.parametrize("key", MALFORMED)
@pytest.mark.parametrize("path", [MAILBOXES, IDENTITIES, WHOAMI])
async def test_malformed_key_is_401(store: Store, path: str, key: str) -> None:
    """A key of another form is refused everywhere."""
    async with connect(store) as client:
        response = await client.get(path, headers=[(b"X-API-Key", key.encode("latin-1"))])
    assert (response.status_code, list(response.json())) == (401, ["detail"])


async def test_missing_key_is_401_before_the_body_is_judged(store: Store) -> None:
    """Without a key the sandbox does not check the body."""
    async with connect(store) as client:
        del client.headers["X-API-Key"]
        response = await client.post(MAILBOXES, json={})
    assert (response.status_code, response.json()) == (401, {"detail": "Missing API key"})


async def test_older_header_and_any_form_of_uuid_are_the_same_key(store: Store) -> None:
    """`X-Service-Token` works; capitals and missing hyphens do not change a key."""
    key_id = uuid4()
    seen: set[str] = set()
    async with connect(store) as client:
        del client.headers["X-API-Key"]
        for form in (str(key_id), str(key_id).upper(), key_id.hex):
            for header in ("X-Service-Token", "x-api-key"):
                response = await client.get(WHOAMI, headers={header: f"ApiKey_{form}.secret"})
                seen.add(response.json()["organization_id"])
    assert len(seen) == 1


async def test_both_halves_of_a_key_make_the_organization(store: Store) -> None:
    """Keys that share only their id or only their secret belong to different organizations."""
    one, two = UUID(int=1), UUID(int=2)
    seen: set[str] = set()
    for key in (f"ApiKey_{one}.a", f"ApiKey_{one}.b", f"ApiKey_{two}.a"):
        async with connect(store, key) as client:
            seen.add((await client.get(WHOAMI)).json()["organization_id"])
    assert len(seen) == 3


@pytest.mark.parametrize("path", [MAILBOXES, IDENTITIES, WHOAMI])
async def test_key_without_organization_is_403(store: Store, path: str) -> None:
    """The reserved secret stands for a token without an organization."""
    async with connect(store, f"ApiKey_{uuid4()}.no-organization") as client:
        response = await client.get(path)
    assert (response.status_code, response.json()) == (403, {"detail": "Organization ID missing from token"})


# Validation


async def test_missing_field_is_answered_in_the_shape_of_fastapi(client: httpx2.AsyncClient) -> None:
    """The answer is the one that the real server gave, with the body as `input`."""
    response = await client.post(MAILBOXES, json={"display_name": "x"})
    error = {"type": "missing", "loc": ["body", "agent_handle"], "msg": "Field required"}
    assert response.status_code == 422
    assert response.json() == {"detail": [{**error, "input": {"display_name": "x"}}]}


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("agent_handle", "", "string_too_short"),
        ("agent_handle", "@", "string_too_short"),
        ("agent_handle", "a" * 256, "string_too_long"),
        ("agent_handle", "a/b", "string_pattern_mismatch"),
        ("agent_handle", "a\0b", "string_pattern_mismatch"),
        ("agent_handle", 1, "string_type"),
        ("display_name", "a" * 256, "string_too_long"),
        ("display_name", "a\0b", "string_pattern_mismatch"),
        ("display_name", ["a"], "string_type"),
        ("email_local_part", "", "string_too_short"),
        ("email_local_part", "a" * 65, "string_too_long"),
        ("email_local_part", "sales@inkboxmail.com", "string_pattern_mismatch"),
        ("email_local_part", "sal\u00e9s", "string_pattern_mismatch"),
        ("email_local_part", "sales\n", "string_pattern_mismatch"),
    ],
)
async def test_bad_field_of_a_create_is_422(client: httpx2.AsyncClient, field: str, value: Any, kind: str) -> None:
    """The error names the rule and the field, and no mailbox is created."""
    response = await client.post(MAILBOXES, json={"agent_handle": "sales-agent", field: value})
    (error,) = response.json()["detail"]
    assert (response.status_code, error["type"], error["loc"]) == (422, kind, ["body", field])
    assert {"msg", "input"} <= error.keys()
    assert (await client.get(MAILBOXES)).json() == []


async def test_longest_values_are_accepted(client: httpx2.AsyncClient) -> None:
    """Values at the limit pass, and a leading @ does not count."""
    handle, name, local_part = "h" * 255, "n" * 255, "l" * 64
    url = "https://example.com/".ljust(2048, "u")
    mailbox = {"display_name": name, "email_local_part": local_part}
    body = {"agent_handle": f"@{handle}", "mailbox": mailbox}
    assert (await client.post(IDENTITIES, json=body)).json()["agent_handle"] == handle
    response = await client.patch(f"{MAILBOXES}/{local_part}", json={"webhook_url": url})
    assert (response.json()["display_name"], response.json()["webhook_url"]) == (name, url)
    response = await client.patch(f"{MAILBOXES}/{local_part}", json={"webhook_url": url + "u"})
    assert response.status_code == 422


@pytest.mark.parametrize(
    "url", ["https://example.com", "HTTPS://a.b:8443/c?d=e#f", "https://[::1]/x", "https://b\u00fc.de/"]
)
async def test_https_urls_are_kept_as_sent(client: httpx2.AsyncClient, url: str) -> None:
    """A webhook URL is checked but not rewritten."""
    await create(client, email_local_part="sales")
    response = await client.patch(f"{MAILBOXES}/sales", json={"webhook_url": url})
    assert (response.status_code, response.json()["webhook_url"]) == (200, url)


@pytest.mark.parametrize(
    "body",
    [
        *({"webhook_url": url} for url in ("", "http://example.com", "https://", "https:///x", "https:example.com",
                                           "ftp://a.b", " https://a.b", "https://a b", "https://u:p@a.b",
                                           "https://a.b/\0", "https://a.b\n", "https://a.b:port", 1)),
        {"display_name": None},
        {"display_name": "a" * 256},
        {"display_name": "ok", "webhook_url": "no"},
    ],
)  # fmt: skip
async def test_bad_update_is_422_and_changes_nothing(client: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    """One bad field makes the whole patch fail."""
    before = await create(client, email_local_part="sales")
    response = await client.patch(f"{MAILBOXES}/sales", json=body)
    assert (response.status_code, response.json()["detail"][0]["loc"][0]) == (422, "body")
    assert (await client.get(f"{MAILBOXES}/sales")).json() == before


DEEP = b"[" * 500 + b"]" * 500

BODIES = [
    (b"", 422),
    (b"null", 422),
    (b"[]", 422),
    (b'"sales-agent"', 422),
    (b"{", 422),
    (b'{"agent_handle": "sales-agent"', 422),
    (b"\xff\xfe\xfd", 400),
    (b'{"agent_handle": "\xff"}', 400),
    (b'{"agent_handle": "\\ud800"}', 422),
    (b'{"\\ud800": 1}', 422),
    (b'{"agent_handle": NaN}', 422),
    (b'{"agent_handle": -Infinity}', 422),
    (b'{"agent_handle": 1e999}', 422),
    (b'{"agent_handle": ' + b"1" * 4000 + b"}", 422),
    (b'{"agent_handle": ' + b"1" * 5000 + b"}", 400),
    (b"[" * 100_000, 400),
    (DEEP, 422),
    (b'{"agent_handle": ' + DEEP + b"}", 422),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_hostile_body_is_the_clients_mistake(client: httpx2.AsyncClient, body: bytes, status: int) -> None:
    """Every such body gets a 4xx with JSON that a strict parser reads."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    headers = {"Content-Type": "application/json"}
    for path in (MAILBOXES, IDENTITIES):
        response = await client.post(path, content=body, headers=headers)
        assert response.status_code == status
        assert json.loads(response.content, parse_constant=refuse).keys() == {"detail"}


async def test_no_depth_of_json_is_a_server_error(client: httpx2.AsyncClient) -> None:
    """Every depth is answered 422 or, if the body cannot be parsed, 400."""
    statuses: list[int] = []
    for depth in range(1, 1000, 7):
        body = b'{"agent_handle": ' + b"[" * depth + b"]" * depth + b"}"
        response = await client.post(MAILBOXES, content=body, headers={"Content-Type": "application/json"})
        statuses.append(response.status_code)
    assert statuses == sorted(statuses, reverse=True)
    assert set(statuses) <= {400, 422}


async def test_input_too_deep_to_be_written_back_is_400() -> None:
    """A body that can be parsed but not quoted is answered like one that cannot be parsed."""
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]
    response = await invalid(Request({"type": "http"}), RequestValidationError([{"input": deep}]))
    assert (response.status_code, response.body) == (400, b'{"detail":"There was an error parsing the body"}')


async def test_body_that_is_not_declared_json_is_422(client: httpx2.AsyncClient) -> None:
    """The answer quotes bytes of another type as text in `input`, even if they are not UTF-8."""
    for kind in ("text/plain", "application/octet-stream", "\u00e9;;="):
        response = await client.post(MAILBOXES, content=b"\xff{}", headers=[(b"Content-Type", kind.encode("latin-1"))])
        assert (response.status_code, response.json()["detail"][0]["input"]) == (422, "\ufffd{}")


async def test_unknown_paths_and_methods_are_answered_as_json(client: httpx2.AsyncClient) -> None:
    """The sandbox serves no other paths and does not redirect."""
    assert (await client.get("/")).json() == {"detail": "Not Found"}
    assert (await client.get(f"{MAILBOXES}//")).status_code == 404
    assert (await client.put(MAILBOXES)).json() == {"detail": "Method Not Allowed"}


async def test_every_operation_documents_its_errors(client: httpx2.AsyncClient) -> None:
    """The OpenAPI document has 401, 403 and 503 everywhere, and all statuses of the specification for a create."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert len(operations) == 26
    assert all({"401", "403", "503"} <= operation["responses"].keys() for operation in operations)
    expected = {"201", "400", "401", "403", "404", "409", "422", "503"}
    assert paths[MAILBOXES]["post"]["responses"].keys() == expected


# Concurrency


async def statuses(calls: Sequence[Callable[[], Awaitable[httpx2.Response]]]) -> list[int]:
    """Make calls concurrently and return their statuses, sorted."""
    found: list[int] = []

    async def run(call: Callable[[], Awaitable[httpx2.Response]]) -> None:
        found.append((await call()).status_code)

    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(run, call)
    return sorted(found)


async def test_of_many_creates_for_one_identity_one_succeeds(client: httpx2.AsyncClient) -> None:
    """Concurrent creates give an identity one mailbox."""
    body = {"agent_handle": "sales-agent"}
    assert await statuses([lambda: client.post(MAILBOXES, json=body)] * 20) == [201] + [409] * 19
    assert len((await client.get(MAILBOXES)).json()) == 1


async def test_of_many_creates_of_one_address_one_succeeds(store: Store) -> None:
    """One of many new organizations gets the address, and each gets its first identities once."""
    clients = [connect(store) for _ in range(10)]
    body = {"agent_handle": "sales-agent", "email_local_part": "sales"}
    calls = [lambda client=client: client.post(MAILBOXES, json=body) for client in clients for _ in range(2)]
    assert await statuses(calls) == [201] + [409] * 19
    for client in clients:
        assert await handles(client) == ["support-agent", "sales-agent"]
        await client.aclose()


# The file


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """A reopened store has the same mailboxes and remembers deleted addresses and identities."""
    path, key = tmp_path / "new" / "inkbox.db", new_key()
    with Store(path) as store:
        async with connect(store, key) as client:
            kept = await create(client, email_local_part="kept")
            await create(client, "support-agent", email_local_part="deleted")
            await client.delete(f"{MAILBOXES}/deleted")
            await client.delete(f"{IDENTITIES}/support-agent")
            organization = (await client.get(WHOAMI)).json()["organization_id"]
    with Store(str(path)) as store:
        async with connect(store, key) as client:
            assert (await client.get(MAILBOXES)).json() == [kept]
            assert await handles(client) == ["sales-agent"]
            assert (await client.get(WHOAMI)).json()["organization_id"] == organization
            body = {"agent_handle": "x", "mailbox": {"email_local_part": "deleted"}}
            assert (await client.post(IDENTITIES, json=body)).status_code == 409


async def test_file_is_the_owners_and_holds_no_key(tmp_path: Path) -> None:
    """The directory has mode 0700 and the files 0600, and the key's secret is not stored."""
    path, key = tmp_path / "new" / "inkbox.db", new_key()
    with Store(path) as store:
        async with connect(store, key) as client:
            await create(client)
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["inkbox.db", "inkbox.db-shm", "inkbox.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        secret = key.partition(".")[2].encode()
        assert not any(secret in file.read_bytes() or key.encode() in file.read_bytes() for file in files)
    assert [file.name for file in path.parent.iterdir()] == ["inkbox.db"]


async def test_time_never_stands_still(tmp_path: Path) -> None:
    """After the clock is set back, new objects are still newer than old ones."""
    path = tmp_path / "inkbox.db"
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE clock SET microseconds = 4102444800000000")
        async with connect(store) as client:
            first, second = await create(client), await create(client, "support-agent")
    assert "2100-01-01T00:00:00.000000Z" < first["created_at"] < second["created_at"]


OPEN_AND_CREATE = """
import sys
import anyio
import httpx2
from inkbox_mcp.sandbox import Store, create_app
path, key = sys.argv[1:]

async def create() -> int:
    with Store(path) as store:
        transport = httpx2.ASGITransport(app=create_app(store))
        async with httpx2.AsyncClient(transport=transport, headers={"X-API-Key": key}) as client:
            statuses = []
            for number in range(50):
                body = {"agent_handle": f"agent-{number}", "mailbox": {"email_local_part": f"mailbox-{number}"}}
                response = await client.post("http://sandbox/api/v1/identities", json=body)
                statuses.append(response.status_code)
    assert {*statuses} <= {201, 409}, statuses
    return statuses.count(201)

print("ready", flush=True)
sys.stdin.readline()
print(anyio.run(create))
"""


def test_processes_share_a_file_from_its_first_moment(tmp_path: Path) -> None:
    """Processes may create the file concurrently, and each mailbox is made by exactly one of them."""
    path, key = tmp_path / "inkbox.db", new_key()
    command = [executable, "-c", OPEN_AND_CREATE, str(path), key]
    processes = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    made = [int(process.communicate(timeout=15)[0]) for process in processes]
    assert sum(made) == 50
    with closing(sqlite3.connect(path)) as other:
        (moments,) = other.execute("SELECT count(DISTINCT created_at) FROM mailboxes").fetchone()
    assert moments == 50


def test_threads_may_open_and_use_one_file_at_once(tmp_path: Path) -> None:
    """Stores that open a new file concurrently see each other's identities."""
    barrier = threading.Barrier(8, timeout=10)

    def create_one(number: int) -> int:
        barrier.wait()
        with Store(tmp_path / "inkbox.db") as store:
            organization = store.organization("org_shared")
            with organization.transaction() as connection:
                insert_identity(connection, organization.id, f"agent-{number}")
            barrier.wait()
            return len(organization.list_identities()) - 2

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create_one, range(8))) == [8] * 8


async def test_busy_database_is_503(tmp_path: Path) -> None:
    """While another process locks the file, writes ask the client to retry, and reads work."""
    path = tmp_path / "inkbox.db"
    with Store(path, busy_timeout=0) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with connect(store) as client:
            mailbox = await create(client)
            other.execute("BEGIN IMMEDIATE")
            response = await client.post(MAILBOXES, json={"agent_handle": "support-agent"})
            assert (response.status_code, "retry" in response.json()["detail"]) == (503, True)
            assert (await client.get(MAILBOXES)).json() == [mailbox]
            other.execute("ROLLBACK")
            await create(client, "support-agent")


async def test_other_database_failures_are_not_hidden(tmp_path: Path) -> None:
    """A damaged file is a server error, because a retry would not help."""
    path = tmp_path / "inkbox.db"
    with Store(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DROP TABLE mailboxes")
        async with connect(store) as client:
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                await client.get(MAILBOXES)


async def test_commit_that_fails_leaves_the_store_usable(tmp_path: Path) -> None:
    """A full disk ends a transaction by itself; the next one must start clean."""
    with Store(tmp_path / "inkbox.db") as store:
        client = connect(store)
        with closing(sqlite3.connect(tmp_path / "inkbox.db")) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON mailboxes BEGIN SELECT RAISE(ROLLBACK, 'full'); END")
            other.commit()
            with pytest.raises(sqlite3.Error, match="full"):
                await create(client)
            other.execute("DROP TRIGGER full")
            other.commit()
        assert (await create(client))["display_name"] == "Inkbox user"
        await client.aclose()


def another_program(path: Path) -> None:
    """Write a database of another program."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
        other.commit()


def later_version(path: Path) -> None:
    """Write a database of a later release."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")


def not_a_database(path: Path) -> None:
    """Write a text file."""
    path.write_text("dear diary\n" * 100)


def directory(path: Path) -> None:
    """Put a directory at the path of the file."""
    path.mkdir()


def under_a_file(path: Path) -> None:
    """Make the path impossible: its parent is a file."""
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (another_program, "another program"),
        (later_version, "version 99"),
        (not_a_database, "not a database"),
        (directory, "unable to open"),
        (under_a_file, "File exists|Not a directory"),
    ],
)
def test_unusable_file_is_named_and_left_as_it_was(
    tmp_path: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    """Opening it explains the problem and does not change the file."""
    path = tmp_path / "parent" / "file.db"
    path.parent.mkdir()
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=reason) as caught:
        Store(path)
    assert str(path) in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_new_file_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    """Opening waits for another process that creates the file, but only for a limited time."""
    path = tmp_path / "inkbox.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            Store(path, busy_timeout=0.05)
        other.execute("ROLLBACK")
        Store(path, busy_timeout=0.05).close()


def test_store_closes_twice() -> None:
    """Closing twice is safe, and a closed store cannot be used."""
    store = Store(":memory:")
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.organization("org_closed")
