"""The limits of a plan, on both generations of the API."""

from pathlib import Path

import pytest

from inkbox_mcp.sandbox import Limits, Store
from tests.sandbox.mail.people import Person, upload


async def test_full_mailbox_refuses_to_send_and_bounces_what_comes(alice: Person, bobby: Person, store: Store) -> None:
    """Until something is deleted."""
    await alice.send(bobby.address)
    with store.reading() as connection:
        (used, _) = [each["storage_used_bytes"] for each in connection.execute("SELECT * FROM mailboxes").fetchall()]
    store.limits = Limits(storage_limit_bytes=used)
    detail = (await alice.send("x@example.com", status=402))["detail"]
    assert (detail["error"], detail["limit_bytes"]) == ("storage_limit_exceeded", used)
    assert detail.keys() == {"error", "message", "upgrade_url", "limit_bytes"}
    assert store.deliver(b"\r\nhi", [bobby.address]) == ({}, [bobby.address])
    await alice.ask("DELETE", f"/messages/{(await alice.list())[0]['id']}", 204)
    await alice.send(bobby.address)
    assert (await alice.newest())["status"] == "bounced"


async def test_recipients_of_a_day_are_counted(alice: Person, store: Store) -> None:
    """To, Cc and Bcc each; what is refused does not count, and deleting gives nothing back."""
    store.limits = Limits(recipients_per_day=4)
    sent = await alice.send("a@example.com", cc=["b@example.com"], bcc=["c@example.com"])
    await alice.ask("DELETE", f"/messages/{sent['id']}", 204)
    answer = await alice.client.post(
        f"/api/v1/mail/mailboxes/{alice.address}/messages",
        json={"recipients": {"to": ["d@example.com", "e@example.com"]}, "subject": "x"},
    )
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 24 * 60 * 60
    assert answer.json()["detail"]["limit"] == 4
    await alice.send("d@example.com")
    await alice.send("e@example.com", status=429)
    with store.transaction() as connection:
        connection.execute("UPDATE recipient_sends SET day = day - 1")
    await alice.send("e@example.com")


async def test_only_allowed_recipients_are_written_to(alice: Person, store: Store) -> None:
    """While nobody has claimed the agent."""
    store.limits = Limits(allowed_recipients=("human@example.com",))
    await alice.send("Human@example.com")
    detail = (await alice.send("human@example.com", "x@example.com", status=403))["detail"]
    assert (detail["error"], detail["address"]) == ("recipient_not_allowed", "x@example.com")


async def test_attachments_are_limited_together(alice: Person, store: Store) -> None:
    """Decoded, with those of a forwarded message."""
    store.limits = Limits(attachment_bytes=10)
    sent = await alice.send("x@example.com", attachments=[upload("a", b"12345"), upload("b", b"12345")])
    files = [upload("a", b"12345"), upload("b", b"123456")]
    answer = await alice.send("x@example.com", status=413, attachments=files)
    assert answer["detail"]["error"] == "attachments_too_large"
    forward = {"recipients": {"to": ["x@example.com"]}, "additional_attachments": [upload("c", b"1")]}
    await alice.ask("POST", f"/messages/{sent['id']}/forward", 413, json=forward)


@pytest.mark.slow
async def test_largest_attachment_arrives(alice: Person, bobby: Person) -> None:
    """25 MB, and not one byte more."""
    content = b"\xff" * 25 * 1024**2
    await alice.send(bobby.address, status=413, attachments=[upload("a.bin", content + b"x")])
    await alice.send(bobby.address, attachments=[upload("a.bin", content)])
    (attachment,) = (await bobby.newest())["attachment_metadata"]
    assert attachment["size"] == len(content)


async def test_footer_is_part_of_what_is_stored(alice: Person, store: Store) -> None:
    """As on the free plan; also of a message without a body."""
    store.limits = Limits(footer="Sent with <Inkbox>")
    await alice.send(alice.address, body_html="<b>Hi</b>")
    message = await alice.newest()
    assert message["body_text"] == "How are you?\n\nSent with <Inkbox>"
    assert message["body_html"] == "<b>Hi</b><br><br>Sent with &lt;Inkbox&gt;"
    await alice.send(alice.address, body_text=None)
    assert (await alice.newest())["body_text"] == "Sent with <Inkbox>"


async def test_agent_that_may_not_receive_gets_nothing(alice: Person, store: Store) -> None:
    """From outside."""
    store.limits = Limits(can_receive=False)
    assert store.deliver(b"\r\nhi", [alice.address]) == ({}, [alice.address])
    assert await alice.list() == []


async def test_limits_are_set_over_http_without_a_key(alice: Person, store: Store) -> None:
    """Each alone; wrong ones are refused."""
    del alice.client.headers["X-API-Key"]
    changed = await alice.client.patch("/sandbox/limits", json={"recipients_per_day": 7})
    assert changed.json() == (await alice.client.get("/sandbox/limits")).json()
    assert store.limits == Limits(recipients_per_day=7)
    await alice.client.patch("/sandbox/limits", json={"allowed_recipients": ["a@example.com"]})
    assert store.limits == Limits(recipients_per_day=7, allowed_recipients=("a@example.com",))
    for body in ({"storage_limit_bytes": -1}, {"storage_limit_bytes": None}, {"attachment_bytes": 2**63}, {"x": 1}):
        assert (await alice.client.patch("/sandbox/limits", json=body)).status_code == 422


def test_limits_stay_in_the_file(tmp_path: Path) -> None:
    """So that all processes that use it have the same."""
    limits = Limits(storage_limit_bytes=1, recipients_per_day=2, allowed_recipients=(), can_receive=False, footer="x")
    with Store(tmp_path / "x.db") as store:
        assert store.limits == Limits()
        store.limits = limits
    with Store(tmp_path / "x.db") as store:
        assert store.limits == limits


@pytest.mark.parametrize("name", ["limits", "faults", "deliveries"])
async def test_what_is_not_the_api_is_not_in_its_document(alice: Person, name: str) -> None:
    """Its clients cannot take it for a part of Inkbox."""
    assert not any(
        name in path for path in (await alice.client.get("/openapi.json")).json()["paths"] if "/sandbox" in path
    )
