"""Strict clients accept every result: it fits the published schema, even with unexpected fields from Inkbox."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import jsonschema
import pytest

from inkbox_mcp.sandbox import Generation, Store, create_app
from inkbox_mcp.toolkit.bounds import MAX_RESULT
from inkbox_mcp.toolkit.rows import ListPage
from tests.support.agents import Agent, connect, text
from tests.support.catalogue import CATALOGUES, EVERY

OPERATIONS = EVERY
ID = "123e4567-e89b-42d3-a456-426614174000"
TIME = "2026-05-13T08:30:00+00:00"
MAILBOX: dict[str, Any] = {
    "filter_mode": "blacklist",
    "id": ID,
    "updated_at": TIME,
    "email_address": "sales@inkboxmail.com",
    "created_at": "2026-05-13T08:30:00.123456Z",
    "status": "active",
}
IDENTITY: dict[str, Any] = {**MAILBOX, "agent_handle": "sales", "mailbox": MAILBOX}
WEBHOOK: dict[str, Any] = {"created_at": TIME, "id": ID, "url": "https://e.com/", "event_types": ["message.received"]}
ODD = [None, 5, True, "soon", [1], {"a": 1}]

formats = jsonschema.FormatChecker(())


@formats.checks("date-time", ValueError)
def is_a_time(value: Any) -> bool:
    """Check that a time has an offset, as strict clients do."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@formats.checks("uuid", ValueError)
def is_an_id(value: Any) -> bool:
    """Check that an id is a UUID in its canonical form."""
    return not isinstance(value, str) or str(UUID(value)) == value


@formats.checks("uri")
def is_a_url(value: Any) -> bool:
    """Check that a URL contains only the characters of RFC 3986."""
    return not isinstance(value, str) or re.fullmatch(r"[a-z]+:[\w.~:/?#@!$&'()*+,;=%-]+", value, re.ASCII) is not None


@formats.checks("email")
def is_an_address(value: Any) -> bool:
    """Check that an address has one @ and no adjacent dots."""
    return not isinstance(value, str) or (value.count("@") == 1 and ".." not in value)


def fits(generation: Generation, tool: str, data: Any) -> Any:
    """Validate a result as a strict client does, and return it."""
    jsonschema.validate(data, CATALOGUES[generation].tools[tool].output_schema, format_checker=formats)
    return data


@asynccontextmanager
async def sandboxed(generation: Generation, era: str = "auto") -> AsyncGenerator[Agent]:
    """Connect an agent to an empty sandbox."""
    with Store(":memory:") as store:
        app = create_app(store, generation)
        settings: dict[str, Any] = {"sandbox": True, "sandbox_generation": generation, "confirm": "never"}
        async with connect(httpx2.ASGITransport(app), era, **settings) as agent:
            await agent.client.list_tools()  # the client needs the schemas to validate results
            yield agent


LIVES: dict[Generation, list[tuple[str, dict[str, Any]]]] = {
    "spec": [
        ("create_identity", {"agent_handle": "sales", "with_mailbox": False}),
        ("create_mailbox", {"agent_handle": "sales", "email_local_part": "sales"}),
        ("update_mailbox", {"email_address": "sales", "webhook_url": "https://example.com/a|b?{c}"}),
        ("update_mailbox", {"email_address": "sales", "webhook_url": None}),
        ("update_identity", {"agent_handle": "sales", "status": "paused"}),
        ("unlink_mailbox", {"agent_handle": "sales"}),
        ("list_identities", {}),
        ("link_mailbox", {"agent_handle": "sales", "email_address": "sales"}),
        ("delete_mailbox", {"email_address": "sales"}),
    ],
    "identity": [
        ("create_identity", {"agent_handle": "sales"}),
        ("update_identity", {"agent_handle": "sales", "display_name": "Sales"}),
        ("create_webhook", {"email_address": "sales", "webhook_url": "https://example.com/é%"}),
        (
            "create_webhook",
            {"email_address": "sales", "webhook_url": "https://example.com/", "event_types": ["message.sent"]},
        ),
        ("list_webhooks", {"email_address": "sales"}),
    ],
}
IN_BOTH: list[tuple[str, dict[str, Any]]] = [
    ("whoami", {}),
    ("create_identity", {"agent_handle": "support"}),
    ("get_identity", {"agent_handle": "support"}),
    ("list_identities", {"limit": 1}),
    ("list_mailboxes", {"limit": 1}),
    ("delete_identity", {"agent_handle": "support"}),
]


@pytest.mark.parametrize("generation", LIVES)
async def test_a_whole_life_fits_the_schemas_with_their_formats(generation: Generation, era: str) -> None:
    """The test covers both generations, and the schemas also check the formats of ids, times and URLs."""
    async with sandboxed(generation, era) as agent:
        for tool, arguments in [*LIVES[generation], *IN_BOTH]:
            fits(generation, tool, await agent.ask(tool, **arguments))


async def test_what_a_program_needs_is_published() -> None:
    """The schemas contain ids and times of both generations, and the signing key that is shown only once."""
    for tool in ("get_mailbox", "get_identity", "create_webhook"):
        properties = OPERATIONS[tool].output_schema["properties"]
        assert (
            properties["created_at"] == properties["updated_at"] == {"format": "date-time", "type": ["string", "null"]}
        )
        assert properties["id"]["format"] == "uuid"
    assert OPERATIONS["create_webhook"].output_schema["properties"]["signing_key"] == {"type": ["string", "null"]}
    assert OPERATIONS["get_identity"].output_schema["properties"]["mailbox"]["properties"]["id"]["format"] == "uuid"
    for operation in OPERATIONS.values():
        notes = not operation.hints.read_only or issubclass(operation.result, ListPage)
        assert ("note" in operation.output_schema["properties"]) is (notes or "note" in operation.result.also)


async def test_published_fields_stand_where_the_api_sends_them() -> None:
    """Publishing a field must not move it: fields that tools read come first, and others keep the API's order."""
    async with connect(lambda _: httpx2.Response(200, json=IDENTITY)) as agent:
        shown = text(await agent.call("get_identity", agent_handle="sales"))
    assert shown == (
        '{"agent_handle":"sales","email_address":"sales@inkboxmail.com","filter_mode":"blacklist",'
        f'"id":"{ID}","updated_at":"{TIME}","created_at":"2026-05-13T08:30:00.123456Z","status":"active",'
        f'"mailbox":{{"filter_mode":"blacklist","id":"{ID}"}}}}'
    )


def optional_fields(tool: str) -> list[str]:
    """Return the published fields that the API may omit."""
    schema = OPERATIONS[tool].output_schema
    return sorted(set(schema["properties"]) - set(schema.get("required", [])))


ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "get_mailbox": (MAILBOX, {"email_address": "sales"}),
    "get_identity": (IDENTITY, {"agent_handle": "sales"}),
    "whoami": ({}, {}),
}
CASES = [(tool, field) for tool in ANSWERS for field in optional_fields(tool)]


@pytest.mark.parametrize(("tool", "field"), CASES)
async def test_an_odd_field_is_no_reason_to_refuse_an_answer(tool: str, field: str) -> None:
    """If a field is null or has another type, the client still gets a valid result with all other fields."""
    answer, arguments = ANSWERS[tool]
    answers = iter([{**answer, field: odd} for odd in ODD])

    def inkbox(request: httpx2.Request) -> httpx2.Response:
        is_beside = request.url.path == "/api/v1/agent-signup/status"
        return httpx2.Response(200, json={} if is_beside else next(answers))

    async with connect(inkbox) as agent:
        await agent.client.list_tools()
        for odd in ODD:
            shown = await agent.ask(tool, **arguments)
            jsonschema.validate(shown, OPERATIONS[tool].output_schema)
            if odd is None or isinstance(odd, str):
                assert shown.get(field, odd) == odd or (odd is None and field == "email_address")
            assert {**shown, field: None, "mailbox": None} == {**answer, field: None, "mailbox": None}


async def test_an_odd_field_of_one_item_spoils_no_list() -> None:
    """One bad item must not make a list of two hundred unusable."""
    odd: dict[str, Any] = {"display_name": 5, "status": None, "created_at": [], "webhook_url": {}}
    answer = [MAILBOX, MAILBOX | odd]

    def inkbox(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=answer if "mailboxes" in request.url.path else [])

    async with connect(inkbox) as agent:
        await agent.client.list_tools()
        page = await agent.ask("list_mailboxes", details=True)
    jsonschema.validate(page, OPERATIONS["list_mailboxes"].output_schema)
    assert page["mailboxes"][0] == MAILBOX | {"agent_handle": None}
    assert page["mailboxes"][1]["display_name"] == "5"


@pytest.mark.parametrize("field", ["id", "email_address"])
@pytest.mark.parametrize("odd", [None, 5, [], {}])
async def test_a_field_that_a_tool_cannot_do_without_must_be_right(field: str, odd: Any) -> None:
    """Without these fields the result would be useless, so the call fails."""
    async with connect(lambda _: httpx2.Response(200, json={**MAILBOX, field: odd})) as agent:
        assert f"{field} missing or wrong" in await agent.refused("get_mailbox", email_address="sales")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", ["signing_key", "note", "mailbox_id", "created_at"])
async def test_a_new_webhook_with_an_odd_field_is_a_webhook(field: str, odd: Any) -> None:
    """The webhook exists, and its key is shown only once, so the call must not fail."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(201, json={**WEBHOOK, "signing_key": "whsec_1", field: odd})
        mailbox = {**MAILBOX, "inbound_filter_mode": "blacklist"}
        return httpx2.Response(200, json=[mailbox] if is_list(request) else mailbox)

    async with connect(answer, confirm="never", api_generation="identity") as agent:
        await agent.client.list_tools()
        made = await agent.ask("create_webhook", email_address="sales", webhook_url="https://e.com/")
    jsonschema.validate(made, OPERATIONS["create_webhook"].output_schema)
    assert made["id"] == ID


@pytest.mark.parametrize("odd", [5, True, ["sales@inkboxmail.com"], {"a": 1}])
async def test_an_address_that_is_no_text_is_none_that_is_allowed(odd: Any) -> None:
    """An unusual type must not bypass the operator's limits or crash the server."""
    answer = {**IDENTITY, "mailbox": "none", "email_address": odd}
    async with connect(lambda _: httpx2.Response(200, json=answer), allow_addresses=["sales@*"]) as agent:
        assert "outside what this server's operator allows" in await agent.refused("get_identity", agent_handle="sales")


async def test_a_field_that_looks_like_a_published_one_fits_too() -> None:
    """Removing the hidden character gives it the name of a published field."""
    answer = {**MAILBOX, "webhook_url\u200b": 5}
    async with connect(lambda _: httpx2.Response(200, json=answer)) as agent:
        await agent.client.list_tools()
        shown = await agent.ask("get_mailbox", email_address="sales")
    assert shown["webhook_url"] == "5"


async def test_a_number_that_is_too_large_for_json_is_text() -> None:
    """JSON has no infinity, and null would mean that the value is missing."""
    content = json.dumps({**MAILBOX, "display_name": 0, "agent_identity_id": 0}).replace(": 0", ": 1e999")
    async with connect(lambda _: httpx2.Response(200, text=content)) as agent:
        await agent.client.list_tools()
        shown = await agent.ask("get_mailbox", email_address="sales")
    assert shown["display_name"] == shown["agent_identity_id"] == "Infinity"


@pytest.mark.parametrize(("tool", "code"), [("get_mailbox", "result_too_large"), ("update_mailbox", None)])
async def test_the_text_of_an_odd_field_counts(tool: str, code: str | None) -> None:
    """Encoding the value as text adds a backslash before each quotation mark, which makes the result longer."""
    answer = {**MAILBOX, "updated_at": ["a"] * (MAX_RESULT // 5)}
    async with connect(lambda request: httpx2.Response(200, json=[answer] if is_list(request) else answer)) as agent:
        result = await agent.call(tool, email_address="sales", **({} if code else {"display_name": "Sales"}))
    assert (result.meta or {}).get("code") == code
    assert len(text(result)) < MAX_RESULT


def is_list(request: httpx2.Request) -> bool:
    """Return whether a request asks for a list."""
    return request.url.path.endswith(("mailboxes", "identities"))
