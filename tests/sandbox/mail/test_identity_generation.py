"""What only the identity generation does with mail: reading marks, dates, answers to everyone, keys, inline images."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from typing import Any

import pytest

from inkbox_mcp.sandbox import Limits, Store
from tests.sandbox.mail.people import Person, people, upload


@pytest.fixture
async def three(store: Store) -> AsyncIterator[list[Person]]:
    """Alice, Bobby and Carol."""
    async with people(store, "identity", "alice", "bobby", "carol") as found:
        yield found


@pytest.fixture
def alice(three: list[Person]) -> Person:
    """A mailbox."""
    return three[0]


@pytest.fixture
def bobby(three: list[Person]) -> Person:
    """Another mailbox."""
    return three[1]


@pytest.fixture
def carol(three: list[Person]) -> Person:
    """A third mailbox."""
    return three[2]


async def test_getting_a_message_marks_it_read(alice: Person, bobby: Person) -> None:
    """Lists and threads do not, and flags can be set back."""
    await alice.send(bobby.address)
    (listed,) = await bobby.list()
    await bobby.ask("GET", f"/threads/{listed['thread_id']}")
    assert not (await bobby.list())[0]["is_read"]
    assert (await bobby.get(listed["id"]))["is_read"]
    assert (await bobby.list())[0]["is_read"]
    await bobby.ask("PATCH", f"/messages/{listed['id']}", json={"is_read": False})
    assert not (await bobby.list())[0]["is_read"]


async def test_getting_a_message_of_the_spec_generation_does_not_mark_it(store: Store) -> None:
    """It has no such rule."""
    async with people(store, "spec", "dora") as (dora,):
        await dora.send(dora.address)
        (inbound,) = await dora.list(direction="inbound")
        assert not (await dora.get(inbound["id"]))["is_read"]


async def test_list_is_limited_by_dates(alice: Person, store: Store) -> None:
    """A date is its whole day in the time zone; a time with a zone is exact."""
    await alice.send("x@example.com")
    message = (await alice.list())[0]
    moment = 1_782_950_399_999_999  # 2026-07-01T23:59:59.999999Z
    with store.transaction() as connection:
        connection.execute("UPDATE messages SET created_at = ?", (moment,))

    async def found(**query: str) -> bool:
        return [each["id"] for each in await alice.list(**query)] == [message["id"]]

    assert await found(start_datetime="2026-07-01", end_datetime="2026-07-01")
    assert not await found(start_datetime="2026-07-02")
    assert not await found(end_datetime="2026-06-30")
    assert await found(start_datetime="2026-07-02", tz="Europe/Berlin")
    assert not await found(end_datetime="2026-07-01", tz="Europe/Berlin")
    assert await found(start_datetime="2026-07-01T23:59:59.999999Z", end_datetime="2026-07-01T23:59:59.999999Z")
    assert not await found(start_datetime="2026-07-02T00:00:00")
    assert await found(end_datetime="2026-07-02T02:00:00+02:00")


@pytest.mark.parametrize(
    "query",
    [
        {"start_datetime": "yesterday"},
        {"end_datetime": ""},
        {"end_datetime": "9999-12-31"},
        {"start_datetime": "2026-13-01"},
        {"start_datetime": "2026-07-01", "tz": "Mars/Olympus"},
        {"tz": "../etc/passwd"},
        {"tz": "Europe"},
        {"tz": "\x00"},
    ],
)
async def test_bad_date_is_422(alice: Person, query: dict[str, str]) -> None:
    """As is a time zone that does not exist."""
    await alice.ask("GET", "/messages", 422, params=query)


async def test_answer_to_everyone_goes_to_everyone_else(alice: Person, bobby: Person, carol: Person) -> None:
    """Not to Bcc and not to the one who answers; the recipients are those that the message shows."""
    await alice.send(bobby.address, cc=[carol.address, "x@example.com"], bcc=["secret@example.com"], subject="Plan")
    received = await bobby.newest()
    assert received["reply_all_recipients"] == {"to": [alice.address], "cc": [carol.address, "x@example.com"]}
    sent = await bobby.ask("POST", f"/messages/{received['id']}/reply-all", 201, json={"body_text": "Yes"})
    assert (sent["to_addresses"], sent["cc_addresses"]) == ([alice.address], [carol.address, "x@example.com"])
    assert (sent["subject"], sent["thread_id"]) == ("Re: Plan", received["thread_id"])
    for person in (alice, carol):
        assert (await person.newest())["in_reply_to"] == received["message_id"]
    answer = await alice.newest()
    sent = await alice.ask("POST", f"/messages/{answer['id']}/reply-all", 201, json={"subject": "Other"})
    assert sent["subject"] == "Other"
    again = await alice.ask("POST", f"/messages/{answer['id']}/reply-all", 201, json={})
    assert again["subject"] == "Re: Plan"


async def test_answer_to_everyone_goes_to_reply_to(alice: Person, store: Store) -> None:
    """Instead of the sender."""
    raw = b"From: list@example.com\r\nReply-To: a@example.com, b@example.com\r\nTo: alice@inkboxmail.com\r\n\r\nx"
    store.deliver(raw, [alice.address])
    assert (await alice.newest())["reply_all_recipients"] == {"to": ["a@example.com", "b@example.com"], "cc": []}


async def test_key_sends_once(alice: Person, bobby: Person) -> None:
    """The same input gets the first answer, other input a conflict, another operation or mailbox its own message."""
    first = await alice.send(bobby.address, headers={"Idempotency-Key": "k"})
    assert await alice.send(bobby.address, headers={"Idempotency-Key": "k"}) == first
    assert len(await bobby.list()) == 1
    changed = await alice.send(bobby.address, subject="Other", status=409, headers={"Idempotency-Key": "k"})
    assert changed["detail"]["error"] == "idempotency_key_reused"
    path = f"/messages/{first['id']}"
    key = {"Idempotency-Key": "k"}
    await alice.ask("POST", f"{path}/reply-all", 201, json={"body_text": "x"}, headers=key)
    await alice.ask("POST", f"{path}/forward", 201, json={"recipients": {"to": [bobby.address]}}, headers=key)
    await bobby.send(alice.address, headers=key)
    assert len(await bobby.list(direction="inbound")) == 3
    await alice.send(bobby.address)
    assert len(await bobby.list(direction="inbound")) == 4


async def test_first_answer_stays_though_the_message_changes(alice: Person, bobby: Person) -> None:
    """Even if it is deleted: the key does not send it again."""
    key = {"Idempotency-Key": "k"}
    first = await alice.send(bobby.address, headers=key)
    await alice.ask("DELETE", f"/messages/{first['id']}", 204)
    assert (await alice.send(bobby.address, headers=key))["status"] == "sent"
    assert len(await bobby.list()) == 1


async def test_answer_says_that_it_is_replayed(alice: Person) -> None:
    """And that the preference was understood."""
    body = {"recipients": {"to": ["x@example.com"]}, "subject": "x"}
    path = f"/api/v1/mail/mailboxes/{alice.address}/messages"
    headers = {"Idempotency-Key": "k", "Prefer": "idempotency-replay"}
    answers = [await alice.client.post(path, json=body, headers=headers) for _ in range(2)]
    assert [each.headers.get("Idempotency-Replayed") for each in answers] == [None, "true"]
    assert {each.headers["Preference-Applied"] for each in answers} == {"idempotency-replay"}


async def test_refused_send_leaves_its_key_free(alice: Person, bobby: Person) -> None:
    """After the reason is gone, the same key sends."""
    key = {"Idempotency-Key": "k"}
    await alice.send("blocked@example.com", status=403, headers=key)
    await alice.send(bobby.address, headers=key)
    assert len(await bobby.list()) == 1


async def test_key_is_forgotten_after_seven_days(alice: Person, bobby: Person, store: Store) -> None:
    """Then it sends again."""
    for age, expected in ((6, 1), (7, 2)):
        await alice.send(bobby.address, headers={"Idempotency-Key": "k"})
        with store.transaction() as connection:
            days = age * 24 * 60 * 60 * 1_000_000
            connection.execute("UPDATE idempotency_keys SET created_at = created_at - ?", (days,))
        await alice.send(bobby.address, headers={"Idempotency-Key": "k"})
        assert len(await bobby.list()) == expected
        with store.transaction() as connection:
            connection.execute("UPDATE idempotency_keys SET created_at = (SELECT microseconds FROM clock)")


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "\x7f", "a\tb"])
async def test_bad_key_is_refused(alice: Person, key: str) -> None:
    """It has 1 to 255 printable ASCII characters and is not blank."""
    await alice.send("x@example.com", status=422, headers={"Idempotency-Key": key})
    assert await alice.list() == []


async def test_message_is_looked_up_by_its_key(alice: Person, bobby: Person) -> None:
    """By the mailbox that sent it, and the operation."""
    sent = await alice.send(bobby.address, headers={"Idempotency-Key": "k"})

    async def status(person: Person, key: str | None = "k", **query: str) -> tuple[int, Any]:
        wanted = {"sender_kind": "mailbox", "sender_id": sent["mailbox_id"], "operation": "mail.send", **query}
        response = await person.client.get(
            "/api/v1/message-sends/lookup", params=wanted, headers={"Idempotency-Key": key} if key else {}
        )
        return response.status_code, response.json().get("message_id")

    assert await status(alice) == (200, sent["id"])
    assert (await status(alice, "other"))[0] == 404
    assert (await status(alice, operation="mail.forward"))[0] == 404
    assert (await status(bobby))[0] == 404
    assert (await status(alice, None))[0] == 422
    assert (await status(alice, sender_kind="phone_number"))[0] == 422


async def test_inline_image_is_part_of_the_html(alice: Person, store: Store) -> None:
    """It is listed as inline and does not count as an attachment."""
    image = upload("chart.png", b"png", "image/png", content_id="chart1")
    sent = await alice.send(alice.address, body_html='<img src="cid:chart1">', attachments=[image])
    assert not sent["has_attachments"]
    (shown,) = (await alice.newest())["attachment_metadata"]
    assert (shown["content_id"], shown["is_inline"]) == ("chart1", True)
    with store.reading() as connection:
        raw = connection.execute("SELECT raw FROM contents").fetchone()["raw"]
    message = message_from_bytes(raw, policy=policy.default)
    assert [part["Content-ID"] for part in message.walk() if part["Content-ID"]] == ["<chart1>"]


@pytest.mark.parametrize(
    "body",
    [
        {"attachments": [upload("a.png", b"x", "image/png", content_id="a")]},
        {"body_html": "x", "attachments": [upload("a.txt", b"x", content_id="a")]},
        {"body_html": "x", "attachments": [upload(f"{n}.png", b"x", "image/png", content_id="a") for n in "ab"]},
        {"body_html": "x", "attachments": [upload("a.png", b"x", "image/png", content_id="a b")]},
        {"track_opens": True},
        {"reply_to": "nobody"},
        {"staged_attachments": []},
    ],
)
async def test_bad_option_of_a_send_is_422(alice: Person, body: dict[str, Any]) -> None:
    """Images need HTML and an id of their own, open tracking needs HTML, unknown members are refused."""
    await alice.send("x@example.com", status=422, **body)


async def test_a_send_continues_a_thread(alice: Person, bobby: Person) -> None:
    """It answers the last message of the thread, so that its recipients see it there, too."""
    await alice.send(bobby.address, subject="Plans")
    first = await bobby.newest()
    sent = await bobby.send(alice.address, subject="Other words", thread_id=first["thread_id"])
    assert sent["thread_id"] == first["thread_id"]
    received = await alice.newest()
    assert received["in_reply_to"] == first["message_id"]
    (thread,) = (await alice.ask("GET", "/threads"))["items"]
    assert (thread["id"], thread["message_count"]) == (received["thread_id"], 2)
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        await bobby.send(alice.address, thread_id=first["thread_id"], headers=key)
    assert (await bobby.ask("GET", f"/threads/{first['thread_id']}"))["message_count"] == 3
    await bobby.send(alice.address, status=409, headers=key)


async def test_a_send_does_not_continue_another_thread(alice: Person, bobby: Person) -> None:
    """Neither one that the mailbox does not have, nor one without the message that it answers."""
    sent = [await alice.send(bobby.address, subject=subject) for subject in ("a", "b")]
    await alice.send(bobby.address, status=404, thread_id=sent[0]["id"])
    await bobby.send(alice.address, status=404, thread_id=sent[0]["thread_id"])
    answered = {"in_reply_to_message_id": sent[1]["message_id"]}
    await alice.send(bobby.address, status=400, thread_id=sent[0]["thread_id"], **answered)
    answer = await alice.send(bobby.address, thread_id=sent[1]["thread_id"], **answered)
    assert answer["thread_id"] == sent[1]["thread_id"]


async def test_forward_refuses_inline_images(alice: Person) -> None:
    """As the API does."""
    sent = await alice.send("x@example.com")
    image = upload("a.png", b"x", "image/png", content_id="a")
    body = {"recipients": {"to": ["x@example.com"]}, "additional_attachments": [image]}
    await alice.ask("POST", f"/messages/{sent['id']}/forward", 422, json=body)


async def test_signature_is_added_when_it_is_enabled(alice: Person) -> None:
    """To both bodies."""
    await alice.ask("PATCH", "", json={"signature_text": "Alice\nSales", "signature_enabled": True})
    await alice.send(alice.address, body_html="<b>Hi</b>")
    message = await alice.newest()
    assert message["body_text"] == "How are you?\n\n-- \nAlice\nSales"
    assert message["body_html"] == "<b>Hi</b><br><br>Alice<br>Sales"
    await alice.ask("PATCH", "", json={"signature_enabled": False})
    await alice.send(alice.address)
    assert (await alice.newest())["body_text"] == "How are you?"


async def test_signup_status_shows_the_limits(alice: Person, store: Store) -> None:
    """An agent is claimed unless its recipients are limited."""
    path = "/api/v1/agent-signup/status"
    assert (await alice.client.get(path)).json()["claim_status"] == "agent_claimed"
    store.limits = Limits(allowed_recipients=("human@example.com",), recipients_per_day=5, can_receive=False)
    status = (await alice.client.get(path)).json()
    assert (status["claim_status"], status["human_email"]) == ("agent_unclaimed", "human@example.com")
    assert status["restrictions"] == {
        "max_sends_per_day": 5,
        "allowed_recipients": ["human@example.com"],
        "can_receive": False,
        "can_create_mailboxes": False,
    }
