"""Events and their deliveries to webhooks."""

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.sandbox import Generation, Store
from inkbox_mcp.sandbox.mail import webhooks
from inkbox_mcp.sandbox.mail.events import MAX_BODY
from tests.sandbox.mail.people import MAILBOXES, Person, people
from tests.sandbox.mail.webhook_receiver import Receiver, receiving

SUBSCRIPTIONS = "/api/v1/webhooks/subscriptions"
DELIVERIES = "/api/v1/webhooks/deliveries"
ALL = [f"message.{name}" for name in ("received", "sent", "forwarded", "delivered", "bounced", "failed")]


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    """A webhook on this machine."""
    with receiving() as receiver:
        yield receiver


async def subscribe(person: Person, generation: Generation, url: str, events: list[str] = ALL) -> str | None:
    """Subscribe a URL to the events of a mailbox, and return the signing key."""
    if generation == "spec":
        await person.ask("PATCH", "", json={"webhook_url": url})
        return None
    mailbox = await person.ask("GET", "")
    body = {"mailbox_id": mailbox["id"], "url": url, "event_types": events}
    response = await person.client.post(SUBSCRIPTIONS, json=body)
    assert response.status_code == 201, response.text
    return response.json()["signing_key"]


def events(store: Store, webhook: Receiver) -> list[dict[str, Any]]:
    """Return the events that a webhook has received, after all are delivered."""
    store.finish_deliveries()
    return [json.loads(body) for _, body in webhook.received]


async def test_events_of_a_message_arrive_in_their_order(
    alice: Person, bobby: Person, store: Store, webhook: Receiver, generation: Generation
) -> None:
    """Sent and delivered with the sender, received with the receiver, whose event has the body."""
    for person in (alice, bobby):
        await subscribe(person, generation, webhook.url)
    sent = await alice.send(bobby.address, bcc=["x@example.com"])
    first, received, last = events(store, webhook)
    assert [each["event_type"] for each in (first, received, last)] == [
        "message.sent",
        "message.received",
        "message.delivered",
    ]
    assert first["id"].startswith("evt_")
    assert len({first["id"], received["id"], last["id"]}) == 3
    for event in (first, last):
        message = event["data"]["message"]
        assert (message["id"], message["bcc_addresses"], message["body"]) == (sent["id"], ["x@example.com"], None)
    assert (first["data"]["message"]["status"], last["data"]["message"]["status"]) == ("sent", "delivered")
    message = received["data"]["message"]
    assert (message["email_address"], message["direction"]) == (bobby.address, "inbound")
    assert (message["body"], message["body_state"], message["body_truncated"]) == ("How are you?", "complete", False)
    assert (message["body_total_chars"], message["body_included_chars"], message["bcc_addresses"]) == (12, 12, None)
    assert received["data"]["contacts"] == received["data"]["agent_identities"] == []


@pytest.mark.parametrize(("recipient", "last"), [("bounce@example.com", "bounced"), ("fail@example.com", "failed")])
async def test_bounce_and_failure_are_events(
    alice: Person, store: Store, webhook: Receiver, generation: Generation, recipient: str, last: str
) -> None:
    """After the message was sent; a forward is forwarded, not sent."""
    await subscribe(alice, generation, webhook.url)
    sent = await alice.send(recipient)
    body = {"recipients": {"to": ["x@example.com"]}}
    await alice.ask("POST", f"/messages/{sent['id']}/forward", 201, json=body)
    assert [each["event_type"].removeprefix("message.") for each in events(store, webhook)] == [
        "sent", last, "forwarded", "delivered",
    ]  # fmt: skip


async def test_delivery_is_signed_with_the_key_of_the_identity(store: Store, webhook: Receiver) -> None:
    """Over its id, its time and the bytes of its body; a rotated key counts at once."""
    async with people(store, "identity", "alice") as (alice,):
        key = await subscribe(alice, "identity", webhook.url)
        for _ in range(2):
            assert key is not None
            webhook.received.clear()
            await alice.send("x@example.com")
            assert len(events(store, webhook)) == 2
            for headers, body in webhook.received:
                signed = f"{headers['x-inkbox-request-id']}.{headers['x-inkbox-timestamp']}.".encode() + body
                expected = hmac.new(key.removeprefix("whsec_").encode(), signed, hashlib.sha256).hexdigest()
                assert headers["x-inkbox-signature"] == f"sha256={expected}"
                assert headers["path"] == "/hook?a=b"
            key = (await alice.client.post("/api/v1/identities/alice/signing-key")).json()["signing_key"]


async def test_delivery_of_the_spec_generation_is_not_signed(store: Store, webhook: Receiver) -> None:
    """Its identities have no key."""
    async with people(store, "spec", "alice") as (alice,):
        await subscribe(alice, "spec", webhook.url)
        await alice.send("x@example.com")
        assert len(events(store, webhook)) == 2
        assert all("x-inkbox-signature" not in headers for headers, _ in webhook.received)


async def test_subscription_gets_only_what_it_wants(store: Store, webhook: Receiver) -> None:
    """And nothing of other mailboxes."""
    async with people(store, "identity", "alice", "bobby") as (alice, bobby):
        await subscribe(alice, "identity", webhook.url, ["message.bounced"])
        await alice.send(bobby.address)
        await bobby.send("bounce@example.com")
        await alice.send("bounce@example.com")
        assert [each["event_type"] for each in events(store, webhook)] == ["message.bounced"]


async def test_answer_does_not_wait_for_the_webhook(
    alice: Person, store: Store, webhook: Receiver, generation: Generation
) -> None:
    """Nor do other requests."""
    await subscribe(alice, generation, webhook.url)
    webhook.held.clear()
    await alice.send("x@example.com")
    assert len(await alice.list()) == 1
    assert webhook.received == []
    webhook.held.set()
    assert len(events(store, webhook)) == 2


async def test_closing_the_store_delivers_what_is_left_and_leaves_no_thread(webhook: Receiver) -> None:
    """Even if nothing was delivered yet."""
    before = threading.active_count()
    with Store(":memory:") as store:
        async with people(store, "identity", "alice") as (alice,):
            await subscribe(alice, "identity", webhook.url)
            webhook.held.clear()
            await alice.send("x@example.com")
            webhook.held.set()
    assert len(webhook.received) == 2
    assert [thread for thread in threading.enumerate() if "sandbox" in thread.name] == []
    assert threading.active_count() <= before + 3  # those of requests and of the webhook


async def test_events_of_a_process_that_ended_are_delivered_by_the_next(tmp_path: Path, webhook: Receiver) -> None:
    """They wait in the file."""
    with Store(tmp_path / "x.db") as store:
        async with people(store, "identity", "alice") as (alice,):
            await subscribe(alice, "identity", webhook.url)
            await alice.send("x@example.com")
        store.finish_deliveries()
        with store.transaction() as connection:
            connection.execute("UPDATE webhook_deliveries SET state = 'pending' WHERE event_type = 'message.sent'")
            connection.execute("UPDATE webhook_deliveries SET state = 'sending', claimed_at = 0 WHERE state = 'done'")
    webhook.received.clear()
    Store(tmp_path / "x.db").close()
    assert len(webhook.received) == 2


@pytest.mark.parametrize("status", [204, 302, 404, 500])
async def test_status_of_a_webhook_is_recorded(store: Store, webhook: Receiver, status: int) -> None:
    """No redirect is followed, nothing is tried twice."""
    webhook.status = status
    async with people(store, "identity", "alice") as (alice,):
        await subscribe(alice, "identity", webhook.url, ["message.sent"])
        await alice.send("x@example.com")
        assert len(events(store, webhook)) == 1
        (delivery,) = (await alice.client.get(DELIVERIES)).json()["deliveries"]
        assert delivery["response_status"] == status
        assert delivery["request_payload"].encode() == webhook.received[0][1]
        found = {flag: len((await alice.client.get(DELIVERIES, params={"success": flag})).json()["deliveries"])
                 for flag in ("true", "false")}  # fmt: skip
        assert found == ({"true": 1, "false": 0} if status == 204 else {"true": 0, "false": 1})


async def test_strangers_are_not_called(alice: Person, store: Store, generation: Generation) -> None:
    """The record says why."""
    await subscribe(alice, generation, "https://example.com/hook")
    await alice.send("x@example.com")
    store.finish_deliveries()
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM webhook_deliveries").fetchall()
    assert [row["state"] for row in rows] == ["done", "done"]
    assert all("this machine" in row["error_detail"] and row["response_status"] is None for row in rows)


async def test_webhook_that_nobody_serves_is_recorded(alice: Person, store: Store, generation: Generation) -> None:
    """With the reason; the next events are delivered nevertheless."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://localhost:{port}", f"https://127.0.0.1:{port}/ü?ü", "http://127.0.0.1:99999", "https://[::.]"):
        await subscribe(alice, generation, url)
    await alice.send("x@example.com")
    store.finish_deliveries()
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM webhook_deliveries").fetchall()
    assert rows
    assert all(row["state"] == "done" and row["error_detail"] for row in rows)


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_webhook_that_goes_on_answering_is_given_up(
    alice: Person, store: Store, generation: Generation, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """Although each byte of its answer comes in time."""
    monkeypatch.setattr(webhooks, "SECONDS_PER_DELIVERY", 0.2)
    finished = threading.Event()

    def drip(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(begun)
                    for _ in range(100):
                        if finished.wait(0.02):
                            break
                        connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        await subscribe(alice, generation, f"http://127.0.0.1:{listener.getsockname()[1]}")
        await alice.send("x@example.com")
        store.finish_deliveries()
        finished.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM webhook_deliveries").fetchall()
    assert [row["error_detail"] for row in rows] == ["timed out"] * 2


async def test_delivery_is_replayed_to_the_present_url(store: Store, webhook: Receiver) -> None:
    """With the same event, and as a delivery of its own."""
    async with people(store, "identity", "alice", "bobby") as (alice, bobby):
        await subscribe(alice, "identity", "https://example.com/hook", ["message.sent"])
        await alice.send("x@example.com")
        store.finish_deliveries()
        (delivery,) = (await alice.client.get(DELIVERIES)).json()["deliveries"]
        path = f"{DELIVERIES}/{delivery['id']}/replay"
        subscription = f"{SUBSCRIPTIONS}/{delivery['webhook_subscription_id']}"
        await alice.client.patch(subscription, json={"url": webhook.url})
        replay = (await alice.client.post(path)).json()
        assert (replay["event_id"], replay["is_replay"]) == (delivery["event_id"], True)
        assert (replay["response_status"], replay["url"]) == (200, webhook.url)
        assert json.loads(webhook.received[0][1]) == json.loads(delivery["request_payload"])
        assert (await bobby.client.post(path)).status_code == 404
        await alice.client.patch(subscription, json={"event_types": ["message.failed"]})
        assert (await alice.client.post(path)).status_code == 409
        await alice.client.delete(subscription)
        assert (await alice.client.post(path)).status_code == 409
        assert len((await alice.client.get(DELIVERIES)).json()["deliveries"]) == 2


async def test_long_body_is_cut_and_a_missing_one_is_unavailable(store: Store, webhook: Receiver) -> None:
    """The event says so."""
    async with people(store, "identity", "alice") as (alice,):
        await subscribe(alice, "identity", webhook.url, ["message.received"])
        store.deliver(b"\r\n" + b"x" * (MAX_BODY + 1), [alice.address])
        store.deliver(b"Content-Type: text/html\r\n\r\n<b>x</b>", [alice.address])
        long, html = [each["data"]["message"] for each in events(store, webhook)]
        assert (long["body_state"], len(long["body"]), long["body_total_chars"]) == (
            "truncated",
            MAX_BODY,
            MAX_BODY + 1,
        )
        assert (html["body_state"], html["body"]) == ("unavailable", None)


async def test_identities_of_the_same_organization_are_named(store: Store, webhook: Receiver) -> None:
    """With the place in which they are."""
    async with people(store, "identity", "alice") as (alice,):
        other = (await alice.client.post("/api/v1/identities", json={"agent_handle": "other"})).json()
        await subscribe(alice, "identity", webhook.url, ["message.sent"])
        await alice.send("x@example.com", cc=["Other@inkboxmail.com"])
        (event,) = events(store, webhook)
        assert event["data"]["agent_identities"] == [
            {
                "bucket": "cc",
                "address": "Other@inkboxmail.com",
                "id": other["id"],
                "agent_handle": "other",
                "display_name": "other",
            }
        ]


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://127.0.0.2", "http://localhost.example.com", "http://[::2]"]
)
async def test_only_this_machine_may_be_called_without_tls(alice: Person, generation: Generation, url: str) -> None:
    """Other URLs need https."""
    if generation == "spec":
        await alice.ask("PATCH", "", 422, json={"webhook_url": url})
    else:
        mailbox = await alice.client.get(f"{MAILBOXES}/{alice.address}")
        body = {"mailbox_id": mailbox.json()["id"], "url": url, "event_types": ALL}
        assert (await alice.client.post(SUBSCRIPTIONS, json=body)).status_code == 422
