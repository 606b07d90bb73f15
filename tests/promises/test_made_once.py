"""Nothing is made twice, and no call reports more about an outcome than the server knows."""

import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
import pytest
from mcp.types import CallToolResult
from pydantic import BaseModel

from inkbox_mcp.api.creation import Creations
from inkbox_mcp.calls import Call
from inkbox_mcp.errors import Conflict, InkboxError, OutcomeUnknown
from inkbox_mcp.sandbox import Generation
from tests.support.agents import Agent, connect, text
from tests.support.alike import choices
from tests.support.faults import (
    BAD_GATEWAY_AFTER,
    BAD_GATEWAY_BEFORE,
    CUT,
    DROPPED_AFTER,
    DROPPED_AND_LATE,
    DROPPED_BEFORE,
    FINE,
    GARBLED_AFTER,
    LIMITED,
    Fault,
    FaultyInkbox,
    faulty_inkbox,
    refusal,
)

EVENTS = "https://Hooks.Example.com/inkbox"


@asynccontextmanager
async def failing(generation: Generation = "spec", **settings: Any) -> AsyncGenerator[tuple[Agent, FaultyInkbox]]:
    """Connect an agent to a server whose Inkbox fails as scripted; changes are not confirmed."""
    async with (
        faulty_inkbox(generation=generation) as inkbox,
        connect(inkbox.url, confirm="never", **settings) as agent,
    ):
        if generation == "identity":
            await agent.ask("create_identity", agent_handle="sales-agent")
        await agent.ask("list_identities")
        inkbox.requests.clear()
        yield agent, inkbox


def posts(inkbox: FaultyInkbox) -> int:
    """Count the requests that could make something."""
    return inkbox.methods().count("POST")


def code(result: CallToolResult) -> str:
    """Return `ok` or an error's code."""
    return str((result.meta or {})["code"]) if result.is_error else "ok"


UNCLEAR = [303, 500, 501, 508, 520, 521, 522, 523, 524, 525, 530, 599]
MAKERS: list[tuple[Generation, str, dict[str, Any]]] = [
    ("spec", "create_mailbox", {"agent_handle": "sales-agent"}),
    ("spec", "create_identity", {"agent_handle": "new-agent"}),
    ("identity", "create_identity", {"agent_handle": "new-agent"}),
    ("identity", "create_webhook", {"email_address": "sales-agent", "webhook_url": EVENTS}),
]


@pytest.mark.parametrize(("generation", "tool", "arguments"), MAKERS)
@pytest.mark.parametrize("status", choices(UNCLEAR, {*UNCLEAR} - {303, 500, 520}))
async def test_a_status_that_says_nothing_about_the_change_is_looked_into(
    generation: Generation, tool: str, arguments: dict[str, Any], status: int
) -> None:
    """An object that was made is the answer. If none is found, the error must not call a retry safe."""
    async with failing(generation) as (agent, inkbox):
        look = [FINE] if tool == "create_webhook" else []
        inkbox.fails(*look, Fault(answers=refusal(status)))
        result = await agent.call(tool, **arguments)
        assert code(result) == "outcome_unknown"
        assert (result.meta or {})["retryable"] is False
        assert posts(inkbox) == 1
        inkbox.fails(*look, Fault(serves=True, answers=refusal(status)))
        assert code(await agent.call(tool, **arguments)) == "ok"
        assert posts(inkbox) == 2


@pytest.mark.parametrize(("generation", "tool", "arguments"), MAKERS)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_that_comes_after_the_change_is_a_success(
    generation: Generation, tool: str, arguments: dict[str, Any], status: int
) -> None:
    """A repeated request finds the object of the first one; a webhook is looked up instead."""
    async with failing(generation) as (agent, inkbox):
        look, made = [FINE] if tool == "create_webhook" else [], inkbox.served.count(("POST", 201))
        inkbox.fails(*look, Fault(serves=True, answers=refusal(status)))
        assert code(await agent.call(tool, **arguments)) == "ok"
        assert inkbox.served.count(("POST", 201)) == made + 1
        assert posts(inkbox) == (1 if tool == "create_webhook" else 2)


LOST = [DROPPED_BEFORE, DROPPED_AFTER, CUT, BAD_GATEWAY_BEFORE, BAD_GATEWAY_AFTER, GARBLED_AFTER, DROPPED_AND_LATE]


@pytest.mark.parametrize("fault", LOST)
async def test_a_webhook_is_asked_for_once(fault: Fault) -> None:
    """Inkbox may keep two equal webhooks, so the server looks for a lost one and never repeats the request."""
    async with failing("identity") as (agent, inkbox):
        inkbox.fails(FINE, fault)
        result = await agent.call("create_webhook", email_address="sales-agent", webhook_url=EVENTS)
        assert posts(inkbox) == 1
        assert code(result) == ("outcome_unknown" if fault in [DROPPED_BEFORE, BAD_GATEWAY_BEFORE] else "ok")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_webhook_that_was_refused_is_not_asked_for_again(status: int) -> None:
    """No such webhook exists, so the refusal is the answer."""
    async with failing("identity") as (agent, inkbox):
        inkbox.fails(FINE, Fault(answers=refusal(status)))
        result = await agent.call("create_webhook", email_address="sales-agent", webhook_url=EVENTS)
        assert (result.meta or {})["status"] == status
        assert posts(inkbox) == 1


async def test_a_webhook_that_was_found_again_says_that_its_key_is_lost() -> None:
    """Inkbox shows a signing key only once, in the answer that was lost."""
    wanted = {"email_address": "sales-agent", "webhook_url": EVENTS, "event_types": ["message.sent", "message.bounced"]}
    async with failing("identity") as (agent, inkbox):
        inkbox.fails(FINE, DROPPED_AFTER)
        found = await agent.ask("create_webhook", **wanted)
        assert "signing_key" not in found
        assert "call delete_webhook and create_webhook again" in found["note"]
        await agent.ask("delete_webhook", email_address="sales-agent", webhook_id=found["id"])
        made = await agent.ask("create_webhook", **wanted)
        assert "note" not in made


@pytest.mark.parametrize(
    ("url", "events"),
    [
        ("https://hooks.example.com/inkbox", ["message.sent", "message.received"]),
        ("https://HOOKS.example.com:443/inkbox", ["message.received", "message.sent", "message.sent"]),
    ],
)
async def test_a_lost_webhook_is_known_as_the_api_stores_it(url: str, events: list[str]) -> None:
    """Hosts are compared in lower case, and event types as a set."""
    stored = {
        "id": str(UUID(int=7)),
        "url": url,
        "event_types": events,
        "created_at": (datetime.now(UTC) + timedelta(seconds=5)).isoformat(),
    }
    async with failing("identity") as (agent, inkbox):
        odd = {**stored, "id": str(UUID(int=8)), "url": "https://[::1"}
        listed = refusal(200, body=json.dumps({"subscriptions": [odd, stored]}).encode())
        inkbox.fails(FINE, DROPPED_BEFORE, Fault(answers=listed))
        types = ["message.sent", "message.received"]
        found = await agent.ask("create_webhook", email_address="sales-agent", webhook_url=EVENTS, event_types=types)
        assert found["id"] == stored["id"]


@pytest.mark.parametrize("name", ["Zoe\u0308", " Zo\u00eb", "Zo\u00eb "])
async def test_a_lost_mailbox_is_known_by_its_name_as_the_api_stores_it(name: str) -> None:
    """The API trims a name and composes its characters."""
    identity = {"agent_handle": "sales-agent", "email_address": "a@inkboxmail.com"}
    mailbox = {"id": "1", "email_address": "A@inkboxmail.com", "display_name": "Zo\u00eb", "created_at": now(5)}
    async with failing() as (agent, inkbox):
        looks = [Fault(answers=refusal(200, body=json.dumps(body).encode())) for body in (identity, mailbox)]
        inkbox.fails(DROPPED_BEFORE, *looks)
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="a", display_name=name)
        assert made["id"] == "1"


@dataclass
class Late:
    """A request that is carried out after a gateway gave up on it."""

    looks: int
    made: BaseModel | None = None

    async def find(self) -> BaseModel | None:
        """Return the object that the request made, if it is visible yet."""
        self.looks -= 1
        return self.made if self.looks < 0 else None


class Made(BaseModel):
    """An object that a request made."""

    id: str = "1"
    created_at: str


def now(seconds: float = 0) -> str:
    """Return the time this many seconds from now, as text."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_what_is_done_after_the_first_look_is_found_by_a_later_one(unique: bool, looks: int) -> None:
    """The API may still work on a request after its answer was lost."""
    late, sent = Late(looks), 0

    async def send() -> BaseModel:
        nonlocal sent
        sent += 1
        late.made = late.made or Made(created_at=now())
        raise OutcomeUnknown("504.", status=504)

    assert await Creations().create(Call(30), send, late.find, unique=unique) is late.made
    assert sent == (1 if not unique else looks + 1)


async def test_a_conflict_after_a_loss_is_looked_into_until_there_is_something_to_see() -> None:
    """The second request is refused because the first one is still in progress."""
    late, answers = Late(2), [OutcomeUnknown("504.", status=504), Conflict(409)]

    async def send() -> BaseModel:
        late.made = late.made or Made(created_at=now())
        raise answers.pop(0)

    assert await Creations().create(Call(30), send, late.find) is late.made
    answers = [OutcomeUnknown("504.", status=504), Conflict(409)]
    with pytest.raises(Conflict):  # the advice on the conflict names the object that exists by then
        await Creations().create(Call(30), send, Late(99).find)


AGES = [
    # seconds that the API's clock is ahead, whether it sends Date, age of the found object, whether this call made it
    (0, True, -0.001, True),
    (0, True, 0.5, False),
    (0, True, 30, False),
    (3600, True, -0.001, True),
    (3600, True, 0.5, False),
    (3600, True, 1800, False),
    (3600, True, -30, False),  # the API's two clocks disagree, so the age is unknown
    (-3600, True, -0.001, True),
    (-3600, True, 0.5, False),
    (-3600, True, 60, False),
    (0, False, -0.001, True),
    (0, False, 0.5, False),
    (3600, False, 1800, False),
    (3600, False, -0.001, False),
    (-3600, False, -0.001, False),
    (-3600, False, 1800, False),
]


@pytest.mark.parametrize(("ahead", "is_dated", "age", "is_ours"), AGES)
async def test_what_is_older_than_the_request_is_somebody_elses(
    ahead: float, is_dated: bool, age: float, is_ours: bool
) -> None:
    """Another replica may have made it a moment before. The API's own clock decides."""
    call = Call(30)
    if is_dated:
        call.answered(200, datetime.now(UTC) + timedelta(seconds=ahead))
    found = Made(created_at=now(ahead - age))

    async def send() -> BaseModel:
        raise OutcomeUnknown("lost.", status=504)

    async def find() -> BaseModel:
        return found

    try:
        assert await Creations().create(call, send, find) is found
        assert is_ours
    except InkboxError:
        assert not is_ours


async def test_the_clock_is_read_from_the_answer_that_came_nearest_to_a_full_second() -> None:
    """A Date header has whole seconds, so it may be late by up to one second."""
    call = Call(30)
    for late in (0.9, 0.2, 0.7):
        call.answered(200, datetime.now(UTC) - timedelta(seconds=late))
    call.answered(200, None)
    assert call.clock is not None
    assert call.clock + anyio.current_time() == pytest.approx(datetime.now(UTC).timestamp() - 0.2, abs=0.1)


async def test_a_link_is_a_success_when_it_is_there() -> None:
    """The answer may be lost, or a repeated request may meet the link that the first one made."""
    async with failing() as (agent, inkbox):
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        await agent.ask("unlink_mailbox", agent_handle="sales-agent")
        link = {"agent_handle": "support-agent", "email_address": "sales"}
        for fault in (
            Fault(serves=True, answers=refusal(409)),
            Fault(serves=True, answers=refusal(500)),
            Fault(serves=True, answers=refusal(503)),
            DROPPED_AFTER,
        ):
            inkbox.fails(FINE, fault)
            assert (await agent.ask("link_mailbox", **link))["email_address"] == "sales@inkboxmail.com"


async def test_a_lost_deletion_of_what_is_known_never_to_have_been_there_is_no_success() -> None:
    """The operator's limits made the call look at the identity first."""
    async with failing(allow_addresses="*@inkboxmail.com") as (agent, inkbox):
        inkbox.fails(FINE, DROPPED_BEFORE)
        assert "404" in await agent.refused("delete_identity", agent_handle="nobody")
        inkbox.fails(FINE, DROPPED_AFTER)
        assert (await agent.ask("delete_identity", agent_handle="sales-agent"))["deleted"] is True


async def test_a_lost_unlinking_of_an_identity_that_never_was_is_no_success() -> None:
    """An identity outlives its mailbox, so a missing identity means that nothing was unlinked."""
    async with failing() as (agent, inkbox):
        inkbox.fails(DROPPED_BEFORE)
        assert "404" in await agent.refused("unlink_mailbox", agent_handle="nobody")
        await agent.ask("create_mailbox", agent_handle="sales-agent")
        inkbox.fails(FINE, DROPPED_AFTER)
        assert (await agent.ask("unlink_mailbox", agent_handle="sales-agent"))["unlinked"] is True


LARGE = b'{"id": "1", "email_address": "sales@inkboxmail.com", "padding": "' + b"x" * 11_000_000 + b'"}'


def large(status: int) -> Fault:
    """Carry out the request, and send an answer that is too large."""
    return Fault(serves=True, answers=refusal(status, body=LARGE))


async def test_a_change_whose_answer_is_too_large_was_made_once() -> None:
    """The object is read instead of changed again. If that fails, the error says that the change was made."""
    async with failing() as (agent, inkbox):
        inkbox.fails(large(201))
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        assert made["email_address"] == "sales@inkboxmail.com"
        inkbox.fails(large(200))
        assert (await agent.ask("update_mailbox", email_address="sales", display_name="B"))["display_name"] == "B"
        inkbox.fails(large(200), large(200))
        result = await agent.call("update_mailbox", email_address="sales", display_name="C")
        assert "The change was made. Do not repeat it" in text(result)
        assert (result.meta or {})["retryable"] is False
        inkbox.fails(large(200))
        assert (await agent.ask("delete_mailbox", email_address="sales"))["deleted"] is True
        assert [inkbox.methods().count(method) for method in ("POST", "PATCH", "DELETE")] == [1, 2, 1]


async def test_a_refusal_whose_answer_is_too_large_is_not_reported_as_done() -> None:
    """The status of a large answer is all that is known, and a status of 500 does not mean success."""
    async with failing() as (agent, inkbox):
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        for tool, more in (("update_mailbox", {"display_name": "B"}), ("delete_mailbox", {})):
            inkbox.fails(Fault(answers=refusal(500, body=LARGE)), FINE)
            assert code(await agent.call(tool, email_address="sales", **more)) == "unexpected_response"
        assert (await agent.ask("get_mailbox", email_address="sales"))["display_name"] != "B"


async def test_a_deletion_that_was_lost_and_then_answered_with_too_much_is_done() -> None:
    """The status of the second answer means success."""
    async with failing() as (agent, inkbox):
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        inkbox.fails(DROPPED_BEFORE, large(200))
        assert (await agent.ask("delete_mailbox", email_address="sales"))["deleted"] is True


def packed(times: int, body: bytes, *, name: str = "gzip") -> Fault:
    """Send an answer that is compressed this many times."""
    for _ in range(times):
        body = gzip.compress(body)
    encodings = ", ".join([name] * times)
    return Fault(answers=refusal(200, f"Content-Encoding: {encodings}", body=body))


@pytest.mark.parametrize(
    "fault",
    [
        packed(2, b"[]"),
        packed(3, b"[]"),
        packed(1, b"[]", name="deflate"),
        packed(1, b"[]", name="br"),
        packed(1, b"[]", name="gzip, identity"),
        packed(1, b"[" + b" " * 11_000_000 + b"]"),
        Fault(answers=refusal(200, "Content-Encoding: gzip", body=gzip.compress(b"[]")[:-9])),
        Fault(answers=refusal(200, "Content-Encoding: gzip", body=gzip.compress(b"[]") * 2)),
        Fault(answers=refusal(200, "Content-Encoding: gzip", body=b"[]")),
        Fault(answers=refusal(200, "Content-Encoding: gzip", "Content-Encoding: gzip", body=gzip.compress(b"[]"))),
    ],
    ids=range(10),
)
async def test_an_answer_is_unpacked_once_and_within_bounds(fault: Fault) -> None:
    """A few bytes that are compressed many times would keep a processor busy for minutes."""
    async with failing() as (agent, inkbox):
        inkbox.fails(fault)
        assert code(await agent.call("list_mailboxes")) == "unexpected_response"
        inkbox.fails(packed(1, b"[]"))
        assert (await agent.ask("list_mailboxes"))["total"] == 0


async def test_a_number_that_is_too_large_for_json_is_not_said_to_be_missing() -> None:
    """JSON has no infinity, and null would mean that the value is missing."""
    body = b'{"id": "1", "email_address": "a@inkboxmail.com", "storage_used_bytes": 1e999, "x": {"y": [-1e999]}}'
    async with failing() as (agent, inkbox):
        inkbox.fails(Fault(answers=refusal(200, body=body)))
        found = await agent.ask("get_mailbox", email_address="a")
        assert found["storage_used_bytes"] == "Infinity"
        assert found["x"] == {"y": ["-Infinity"]}


@pytest.mark.parametrize("value", ["2\x1f", "\x1f2", "2\x0b", "\xa02", "2 \t", " 2", "soon", "1e3", "2" * 400])
async def test_any_retry_after_is_read_or_passed_over(value: str) -> None:
    """A value that is not a number of seconds is ignored and must not cause an internal error."""
    limited = replace(LIMITED, answers=refusal(429, f"Retry-After: {value}"))
    async with failing(timeout=0.5) as (agent, inkbox):
        inkbox.fails(*[limited] * 3)
        assert code(await agent.call("list_mailboxes")) in {"rate_limited", "unreachable"}
