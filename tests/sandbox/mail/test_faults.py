"""Faults that tests ask for."""

from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from inkbox_mcp.sandbox import Fault, Generation, Store, create_app
from tests.sandbox.mail.people import MAILBOXES, Person


async def send(person: Person) -> httpx2.Response:
    """Send a message to nobody of the sandbox."""
    body = {"recipients": {"to": ["x@example.com"]}, "subject": "x"}
    return await person.client.post(f"{MAILBOXES}/{person.address}/messages", json=body)


@pytest.mark.parametrize("effect", [False, True])
async def test_refusal_has_its_code_and_may_have_an_effect(alice: Person, store: Store, effect: bool) -> None:
    """It meets one request, if nothing else is asked for."""
    store.add_fault(Fault("send_message", error="send_outcome_ambiguous", effect=effect, retry_after=2))
    response = await send(alice)
    assert (response.status_code, response.json()["detail"]["error"]) == (503, "send_outcome_ambiguous")
    assert response.headers["Retry-After"] == "2"
    assert len(await alice.list()) == effect
    assert (await send(alice)).status_code == 201


async def test_lost_answer_has_its_effect(alice: Person, store: Store) -> None:
    """The client gets an answer that is cut off."""
    store.add_fault(Fault("send_message", "lost"))
    with pytest.raises(ConnectionError):
        await send(alice)
    assert len(await alice.list()) == 1


async def test_lost_answer_without_a_body_is_not_whole(alice: Person, store: Store, generation: Generation) -> None:
    """A server has sent all of a 204 with its status, so one byte is announced that never comes."""
    sent = (await send(alice)).json()
    store.add_fault(Fault("delete_message", "lost"))
    app, starts = create_app(store, generation), list[Message]()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            starts.append(message)
            await send(message)

        await app(scope, receive, keep)

    transport = httpx2.ASGITransport(watched)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x", headers=alice.client.headers) as client:
        with pytest.raises(ConnectionError):
            await client.delete(f"{MAILBOXES}/{alice.address}/messages/{sent['id']}")
    assert await alice.list() == []
    (start,) = starts
    assert (start["status"], dict(start["headers"])[b"content-length"]) == (200, b"1")


async def test_fault_meets_its_operation_only(alice: Person, store: Store) -> None:
    """So often as is asked for, in order; `*` is any operation."""
    store.add_fault(Fault("list_messages", status=500, times=2))
    store.add_fault(Fault("*", status=429, error="later"))
    assert (await send(alice)).status_code == 429
    assert (await send(alice)).status_code == 201
    for status in (500, 500, 200):
        await alice.ask("GET", "/messages", status)


async def test_fault_meets_whoami(alice: Person) -> None:
    """As it does what needs a mailbox."""
    fault = {"operation": "whoami", "status": 502}
    assert (await alice.client.post("/sandbox/faults", json=fault)).status_code == 201
    assert [(await alice.client.get("/api/whoami")).status_code for _ in range(2)] == [502, 200]


async def test_faults_are_forgotten_on_demand(alice: Person, store: Store) -> None:
    """All of them."""
    store.add_fault(Fault("*", times=100))
    store.clear_faults()
    assert (await send(alice)).status_code == 201


async def test_slow_answer_is_an_answer(alice: Person, store: Store) -> None:
    """After a while."""
    store.add_fault(Fault("list_messages", "slow", seconds=0.01))
    assert await alice.list() == []


async def test_faults_are_set_over_http_without_a_key(alice: Person) -> None:
    """And cleared."""
    async with alice.without_key() as client:
        fault = {"operation": "list_messages", "status": 502, "times": 10}
        assert (await client.post("/sandbox/faults", json=fault)).status_code == 201
        await alice.ask("GET", "/messages", 502)
        assert (await client.delete("/sandbox/faults")).status_code == 204
        await alice.ask("GET", "/messages")


@pytest.mark.parametrize(
    "body",
    [{}, {"operation": ""}, {"operation": "whoami", "kind": "odd"}, {"operation": "whoami", "status": 200},
     {"operation": "whoami", "seconds": -1}, {"operation": "whoami", "times": 0}, {"operation": "whoami", "other": 1},
     {"operation": "no_such"}, {"operation": "get_limits"}],
)  # fmt: skip
async def test_bad_fault_is_422(alice: Person, body: dict[str, Any]) -> None:
    """Each member is checked."""
    assert (await alice.client.post("/sandbox/faults", json=body)).status_code == 422
