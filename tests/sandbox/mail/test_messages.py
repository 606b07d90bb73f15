"""Messages, threads, search and attachments, on both generations of the API."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest

from inkbox_mcp.sandbox import Generation, Limits, Store
from tests.sandbox.mail.people import MAILBOXES, Person, people, upload

LISTED = {
    "id", "mailbox_id", "thread_id", "message_id", "from_address", "to_addresses", "cc_addresses", "subject",
    "snippet", "direction", "status", "is_read", "is_starred", "has_attachments", "created_at",
}  # fmt: skip
ADDED = {"from_display_name", "first_opened_at", "open_count", "import_job_id"}
DETAILS = {
    "body_text", "body_html", "bcc_addresses", "in_reply_to", "references", "attachment_metadata", "ses_message_id",
    "updated_at",
}  # fmt: skip


async def test_message_has_the_fields_of_its_generation(alice: Person, generation: Generation) -> None:
    """A list shows no bodies; the identity generation shows more."""
    await alice.send(alice.address)
    expected = LISTED | (ADDED if generation == "identity" else set[str]())
    listed = await alice.list()
    assert all(message.keys() == expected for message in listed)
    more = {"reply_all_recipients"} if generation == "identity" else set[str]()
    assert (await alice.newest()).keys() == expected | DETAILS | more


async def test_message_reaches_a_mailbox_of_another_organization(alice: Person, bobby: Person) -> None:
    """Both have a copy of one Message-ID; the sender's shows Bcc and is delivered, the receiver's does not."""
    sent = await alice.send(
        bobby.address, cc=["cc@example.com"], bcc=["bcc@example.com"], subject="Grüße", body_html="<b>Hi</b>"
    )
    assert (sent["status"], sent["direction"], sent["is_read"]) == ("sent", "outbound", True)
    kept, received = await alice.newest(), await bobby.newest()
    assert (kept["status"], kept["bcc_addresses"]) == ("delivered", ["bcc@example.com"])
    assert (received["status"], received["direction"], received["bcc_addresses"]) == ("received", "inbound", None)
    assert kept["message_id"] == received["message_id"] == sent["message_id"]
    assert kept["id"] != received["id"]
    for copy in (kept, received):
        assert (copy["subject"], copy["body_text"], copy["body_html"]) == ("Grüße", "How are you?", "<b>Hi</b>")
        assert (copy["from_address"], copy["to_addresses"]) == (alice.address, [bobby.address])
        assert (copy["cc_addresses"], copy["snippet"]) == (["cc@example.com"], "How are you?")


@pytest.mark.parametrize(
    ("recipient", "status"),
    [
        ("someone@example.com", "delivered"),
        ("Bounce@example.com", "bounced"),
        ("fail@example.com", "failed"),
        ("nobody@inkboxmail.com", "bounced"),
    ],
)
async def test_message_to_elsewhere_ends_in_its_status(alice: Person, recipient: str, status: str) -> None:
    """It is sent first; some addresses bounce or fail."""
    assert (await alice.send(recipient, "other@example.com"))["status"] == "sent"
    assert (await alice.newest())["status"] == status


async def test_blocked_recipient_is_refused_and_nothing_is_sent(alice: Person, bobby: Person) -> None:
    """The detail names the address, and the other recipients get nothing."""
    answer = await alice.send(bobby.address, cc=["blocked@example.com"], status=403)
    assert answer["detail"]["error"] == "recipient_blocked"
    assert answer["detail"]["address"] == "blocked@example.com"
    assert await alice.list() == await bobby.list() == []


async def test_bcc_is_in_nobody_elses_copy(alice: Person, bobby: Person, store: Store) -> None:
    """Not even in the text of the message."""
    await alice.send("someone@example.com", bcc=[bobby.address])
    received = await bobby.newest()
    assert received["to_addresses"] == ["someone@example.com"]
    with store.reading() as connection:
        raws = [row["raw"] for row in connection.execute("SELECT raw FROM contents")]
    assert all(bobby.address.encode() not in raw for raw in raws)


async def test_recipient_who_is_named_twice_gets_one_copy(alice: Person, bobby: Person) -> None:
    """Whatever the case of the address."""
    await alice.send(bobby.address, cc=["BOBBY@inkboxmail.com"])
    assert len(await bobby.list()) == 1


async def test_list_is_paged_without_gaps_and_doubles_while_mail_comes(alice: Person, bobby: Person) -> None:
    """A page begins after the last message of the page before."""
    for number in range(7):
        await alice.send(bobby.address, subject=str(number))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await bobby.ask("GET", "/messages", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        seen += [message["subject"] for message in page["items"]]
        await alice.send(bobby.address, subject="new")
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


async def test_list_shows_one_direction(alice: Person, bobby: Person) -> None:
    """Or both."""
    await alice.send(bobby.address, subject="out")
    await bobby.send(alice.address, subject="in")
    assert [each["subject"] for each in await alice.list(direction="inbound")] == ["in"]
    assert [each["subject"] for each in await alice.list(direction="outbound")] == ["out"]
    assert len(await alice.list()) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": f"{10**18}.{'0' * 32}"},
        {"direction": "up"},
    ],
)
async def test_bad_query_is_422(alice: Person, query: dict[str, Any]) -> None:
    """Limits, cursors and directions are checked."""
    await alice.ask("GET", "/messages", 422, params=query)


@pytest.mark.parametrize(
    "change",
    [
        {"recipients": {"to": []}},
        {"recipients": {"to": ["not an address"]}},
        {"recipients": {"to": ["a@b.example\r\nBcc: c@d.example"]}},
        {"recipients": {"to": ["Name <a@b.example>"]}},
        {"recipients": None},
        {"subject": "x" * 999},
        {"subject": "two\nlines"},
        {"subject": None},
        {"body_text": "\x00"},
        {"attachments": [upload("virus.EXE", b"x")]},
        {"attachments": [upload("../x.txt", b"x")]},
        {"attachments": [upload("x" * 256, b"x")]},
        {"attachments": [{"filename": "x", "content_type": "text/plain", "content_base64": "%%%"}]},
        {"attachments": [upload("x.txt", b"x", "text/plain\r\nX: y")]},
    ],
)
async def test_bad_send_is_422_and_sends_nothing(alice: Person, change: dict[str, Any]) -> None:
    """Recipients, subject, bodies and attachments are checked."""
    await alice.send(alice.address, status=422, **change) if "recipients" not in change else None
    body = {"recipients": {"to": [alice.address]}, "subject": "x", **change}
    await alice.ask("POST", "/messages", 422, json=body)
    assert await alice.list() == []


@pytest.mark.parametrize("by", ["message_id", "bare", "id"])
async def test_answer_joins_the_thread_on_both_sides(alice: Person, bobby: Person, by: str) -> None:
    """Whether the message is named by its Message-ID, with or without brackets, or by its id."""
    await alice.send(bobby.address)
    received = await bobby.newest()
    named = received["message_id"].strip("<>") if by == "bare" else received[by]
    answer = await bobby.send(alice.address, subject="Re: Hello", in_reply_to_message_id=named)
    assert answer["thread_id"] == received["thread_id"]
    came = await alice.newest()
    assert came["in_reply_to"] == received["message_id"]
    assert came["references"] == [received["message_id"]]
    (thread,) = (await alice.ask("GET", "/threads"))["items"]
    assert (thread["id"], thread["message_count"], thread["subject"]) == (came["thread_id"], 2, "Hello")
    assert thread["last_message_at"] == came["created_at"]
    detail = await alice.ask("GET", f"/threads/{thread['id']}")
    assert [message["direction"] for message in detail["messages"]] == ["outbound", "inbound"]
    assert all("body_text" not in message for message in detail["messages"])


async def test_answer_to_an_unknown_message_begins_a_thread(alice: Person, bobby: Person) -> None:
    """As does one to a message of another mailbox."""
    first = await alice.send(bobby.address)
    second = await alice.send(bobby.address, in_reply_to_message_id="<nobody@example.com>")
    third = await alice.send(bobby.address, in_reply_to_message_id=(await bobby.newest())["id"])
    assert len({each["thread_id"] for each in (first, second, third)}) == 3


async def test_threads_are_in_folders(alice: Person, bobby: Person) -> None:
    """A thread can be moved, only the server blocks, and new mail brings an archived thread back."""
    await alice.send(bobby.address)
    received = await bobby.newest()
    path = f"/threads/{received['thread_id']}"
    assert await bobby.ask("GET", "/threads/folders") == ["inbox"]
    assert (await bobby.ask("PATCH", path, json={"folder": "archive"}))["folder"] == "archive"
    assert (await bobby.ask("GET", "/threads", params={"folder": "inbox"}))["items"] == []
    assert len((await bobby.ask("GET", "/threads", params={"folder": "archive"}))["items"]) == 1
    for folder in ("blocked", "trash", None):
        await bobby.ask("PATCH", path, 422, json={"folder": folder})
    sent = (await alice.list())[0]
    await alice.send(bobby.address, in_reply_to_message_id=sent["message_id"])
    assert (await bobby.ask("GET", path))["folder"] == "inbox"
    await bobby.ask("PATCH", path, json={"folder": "spam"})
    await alice.send(bobby.address, in_reply_to_message_id=sent["message_id"])
    assert await bobby.ask("GET", "/threads/folders") == ["spam"]


async def test_flags_change_alone(alice: Person, bobby: Person) -> None:
    """What is absent stays, null is refused, and an equal value changes nothing."""
    await alice.send(bobby.address)
    message = (await bobby.list())[0]
    path = f"/messages/{message['id']}"
    assert not message["is_read"]
    assert (await bobby.ask("PATCH", path, json={"is_read": True})) == {**message, "is_read": True}
    starred = await bobby.ask("PATCH", path, json={"is_starred": True})
    assert (starred["is_read"], starred["is_starred"]) == (True, True)
    before = (await bobby.get(message["id"]))["updated_at"]
    await bobby.ask("PATCH", path, json={"is_starred": True})
    assert (await bobby.get(message["id"]))["updated_at"] == before
    await bobby.ask("PATCH", path, 422, json={"is_read": None})
    await bobby.ask("PATCH", f"/messages/{uuid4()}", 404, json={"is_read": True})


async def test_deleted_messages_and_threads_are_gone_here_only(alice: Person, bobby: Person, store: Store) -> None:
    """The other mailbox keeps its copy; what nobody has is not stored any more."""
    await alice.send(bobby.address)
    await alice.send(bobby.address, in_reply_to_message_id=(await alice.list())[0]["message_id"])
    last, first = await bobby.list()
    await bobby.ask("DELETE", f"/messages/{last['id']}", 204)
    await bobby.ask("DELETE", f"/messages/{last['id']}", 404)
    await bobby.ask("GET", f"/messages/{last['id']}", 404)
    thread = await bobby.ask("GET", f"/threads/{first['thread_id']}")
    assert (thread["message_count"], thread["last_message_at"]) == (1, first["created_at"])
    await bobby.ask("DELETE", f"/threads/{first['thread_id']}", 204)
    await bobby.ask("GET", f"/threads/{first['thread_id']}", 404)
    assert await bobby.list() == (await bobby.ask("GET", "/threads"))["items"] == []
    assert len(await alice.list()) == 2
    await alice.ask("DELETE", f"/threads/{(await alice.list())[0]['thread_id']}", 204)
    with store.reading() as connection:
        for table in ("messages", "threads", "contents"):
            assert connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone() == {"n": 0}
        used = connection.execute("SELECT sum(storage_used_bytes) AS n FROM mailboxes").fetchone()
    assert used == {"n": 0}


async def test_nobody_sees_the_mail_of_others(alice: Person, bobby: Person) -> None:
    """Neither by the address of the other mailbox nor by ids in the own one."""
    sent = await alice.send("someone@example.com", attachments=[upload("a.txt", b"a")])
    for base in (f"{MAILBOXES}/{alice.address}", f"{MAILBOXES}/{bobby.address}"):
        for path in ("messages/{id}", "threads/{thread_id}", "messages/{id}/attachments/a.txt"):
            response = await bobby.client.get(f"{base}/{path.format(**sent)}")
            assert response.status_code == 404


async def test_search_finds_messages_that_have_every_word(alice: Person, bobby: Person) -> None:
    """In subject, people and bodies, ignoring case; a word also finds longer ones; the best comes first."""
    await alice.send(bobby.address, subject="Lunch", body_text="The invoice is paid. Invoice invoice!")
    await alice.send(bobby.address, subject="Your INVOICE", body_text="pay it")
    await alice.send(bobby.address, subject="Ärger", body_text=None, body_html="<style>x</style><p>straße</p>")

    async def found(query: str, **options: Any) -> list[str]:
        answer = await bobby.ask("GET", "/search", params={"q": query, **options})
        assert answer.keys() == {"items"}
        return [message["subject"] for message in answer["items"]]

    assert await found("invoice") == ["Your INVOICE", "Lunch"]
    assert await found("invoice", limit=1) == ["Your INVOICE"]
    assert await found("invo paid") == ["Lunch"]
    assert await found("invoice straße") == []
    assert await found("STRASSE ärger") == ["Ärger"]
    assert len(await found("alice")) == 3
    assert await found("style") == await found("%") == await found("'") == []
    for query in ("", "x" * 501, "\x00"):
        await bobby.ask("GET", "/search", 422, params={"q": query})


async def test_attachment_is_fetched_by_a_signed_url(alice: Person, bobby: Person) -> None:
    """Without a key, on the base of the request; the content and its type are those that were sent."""
    await alice.send(
        bobby.address,
        attachments=[upload("ü 1%2F.txt", b"\x00\xff\r\n.\r\n"), upload("b.pdf", b"pdf", "application/pdf")],
    )
    message = await bobby.newest()
    assert message["has_attachments"]
    assert [(each["filename"], each["content_type"], each["size"]) for each in message["attachment_metadata"]] == [
        ("ü 1%2F.txt", "text/plain", 7),
        ("b.pdf", "application/pdf", 3),
    ]
    path = f"/messages/{message['id']}/attachments"
    signed = await bobby.ask("GET", f"{path}/%C3%BC%201%252F.txt", params={"redirect": "false"})
    assert signed.keys() == {"url", "filename", "expires_in"}
    assert signed["url"].startswith("http://sandbox/sandbox/attachments/")
    assert signed["expires_in"] > 0
    bobby.client.headers.pop("X-API-Key")
    response = await bobby.client.get(signed["url"])
    assert (response.status_code, response.content) == (200, b"\x00\xff\r\n.\r\n")
    assert response.headers["content-disposition"].startswith("attachment; ")
    for url in (signed["url"][:-1] + "g", signed["url"].replace("/0/", "/1/"), signed["url"].replace("es=1", "es=2")):
        assert (await bobby.client.get(url)).status_code == 403


async def test_attachment_is_redirected_to(alice: Person) -> None:
    """A redirect leads to the same URL; an unknown name is 404."""
    await alice.send(alice.address, attachments=[upload("a.txt", b"hello")])
    path = f"{MAILBOXES}/{alice.address}/messages/{(await alice.list())[0]['id']}/attachments"
    response = await alice.client.get(f"{path}/a.txt", params={"redirect": "true"})
    assert response.status_code == 302
    assert (await alice.client.get(response.headers["location"])).content == b"hello"
    assert (await alice.client.get(f"{path}/b.txt")).status_code == 404


async def test_url_of_an_attachment_expires(alice: Person, store: Store) -> None:
    """After the time that it says."""
    store.limits = Limits(attachment_url_seconds=0)
    await alice.send(alice.address, attachments=[upload("a.txt", b"hello")])
    path = f"/messages/{(await alice.list())[0]['id']}/attachments/a.txt"
    signed = await alice.ask("GET", path, params={"redirect": "false"})
    assert (await alice.client.get(signed["url"])).status_code == 403


async def test_inline_forward_quotes_the_message_and_takes_its_attachments(alice: Person, bobby: Person) -> None:
    """It begins a new thread; attachments may be left out or added."""
    await alice.send(bobby.address, subject="Plan", body_html="<i>How</i>", attachments=[upload("a.txt", b"a")])
    source = await bobby.newest()
    body = {"recipients": {"to": [alice.address]}, "body_text": "See <below>"}
    more = {"additional_attachments": [upload("b.txt", b"b")]}
    sent = await bobby.ask("POST", f"/messages/{source['id']}/forward", 201, json=body | more)
    assert (sent["subject"], sent["thread_id"] == source["thread_id"]) == ("Fwd: Plan", False)
    received = await alice.newest()
    assert received["body_text"].startswith("See <below>\n\n---------- Forwarded message")
    assert received["body_text"].endswith("How are you?")
    assert received["body_html"].startswith("See &lt;below&gt;<br>")
    assert received["body_html"].endswith("<i>How</i>")
    assert [each["filename"] for each in received["attachment_metadata"]] == ["a.txt", "b.txt"]
    options = {"include_original_attachments": False, "subject": "Mine"}
    await alice.ask("POST", f"/messages/{received['id']}/forward", 201, json=body | options)
    again = await alice.newest()
    assert (again["subject"], again["attachment_metadata"]) == ("Mine", None)
    await alice.ask("POST", f"/messages/{received['id']}/forward", 201, json=body)
    assert (await alice.newest())["subject"] == "Fwd: Plan"


@pytest.mark.parametrize("name", ["plans.eml", "Pläne.eml"])
async def test_inline_forward_takes_messages_that_are_attached(
    alice: Person, bobby: Person, store: Store, name: str
) -> None:
    """They stay messages, with their own attachments, however often they are forwarded."""
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "dora@example.com", "Plans, für später"
    inner.set_content("How about Friday?\nOr later, grüße")
    inner.add_attachment(b"\0\xff" * 99, "application", "pdf", filename="plan.pdf")
    outer = EmailMessage()
    outer["From"], outer["To"], outer["Subject"] = "carl@example.com", alice.address, "See below"
    outer.set_content("Here it is.")
    outer.add_attachment(inner, filename=name)
    store.deliver(bytes(outer))
    received = await alice.newest()
    for sender, recipient in ((alice, bobby), (bobby, alice), (alice, bobby)):
        source, body = await sender.newest(), {"recipients": {"to": [recipient.address]}}
        await sender.ask("POST", f"/messages/{source['id']}/forward", 201, json=body)
        forwarded = await recipient.newest()
        assert forwarded["attachment_metadata"] == received["attachment_metadata"]
    assert forwarded["attachment_metadata"][0]["content_type"] == "message/rfc822"
    assert forwarded["attachment_metadata"][0]["filename"] == name


@pytest.mark.parametrize("content", [b"no message", b"", b"\xff\0", b"A: b\n\n" + b"\n--x" * 99])
async def test_an_attachment_that_only_says_it_is_a_message_arrives_unchanged(
    alice: Person, bobby: Person, content: bytes
) -> None:
    """As a file of another type, if a message would be changed."""
    await alice.send(bobby.address, attachments=[upload("a.eml", content, "message/rfc822")])
    (shown,) = (await bobby.newest())["attachment_metadata"]
    assert (shown["filename"], shown["size"]) == ("a.eml", len(content))


async def test_wrapped_forward_contains_the_message_as_it_was(alice: Person, bobby: Person, store: Store) -> None:
    """Byte by byte, also if it is not valid."""
    raw = b"From: a@b.example\r\nSubject: odd\r\nX: \xff\r\n\r\nlatin \xe9 \x00\r\n"
    store.deliver(raw, [bobby.address])
    source = await bobby.newest()
    body = {"recipients": {"bcc": [alice.address]}, "mode": "wrapped", "body_text": "Look"}
    await bobby.ask("POST", f"/messages/{source['id']}/forward", 201, json=body)
    received = await alice.newest()
    (attachment,) = received["attachment_metadata"]
    assert (attachment["content_type"], received["body_text"]) == ("message/rfc822", "Look")
    with store.reading() as connection:
        (outer,) = [row["raw"] for row in connection.execute("SELECT raw FROM contents WHERE raw LIKE '%Look%'")] or [
            row["raw"] for row in connection.execute("SELECT raw FROM contents ORDER BY id DESC LIMIT 1")
        ]
    assert raw in outer


@pytest.mark.parametrize("body", [{}, {"to": []}, {"to": None, "cc": []}])
async def test_forward_needs_a_recipient(alice: Person, body: dict[str, Any]) -> None:
    """In any of the three."""
    message = await alice.send(alice.address)
    await alice.ask("POST", f"/messages/{message['id']}/forward", 422, json={"recipients": body})


async def test_what_is_stored_is_a_message_for_others(alice: Person, store: Store) -> None:
    """The standard library's parser reads bodies, names and attachments from it."""
    subject = "Grüße" + " Grüße" * 40
    files = [upload("ü.txt", b"\xff" * 100)]
    await alice.send("x@example.com", subject=subject, body_html="<b>ü</b>", attachments=files)
    with store.reading() as connection:
        raw = connection.execute("SELECT raw FROM contents").fetchone()["raw"]
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert message["Subject"] == subject
    assert (message["From"].addresses[0].addr_spec, message["To"]) == (alice.address, "x@example.com")
    assert message["From"].addresses[0].display_name == "Alice"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert (text.get_content().strip(), html.get_content().strip()) == ("How are you?", "<b>ü</b>")
    (attachment,) = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_payload(decode=True)) == ("ü.txt", b"\xff" * 100)
    assert not message.defects


async def test_a_mailbox_of_ten_thousand_messages_is_listed_by_indexes(store: Store) -> None:
    """The plans of all lists use an index and sort nothing."""
    mailbox = "m"
    queries = [
        ("SELECT * FROM messages WHERE mailbox_id = ? AND is_blocked = 0 AND created_at <= 5"
         " AND (created_at, id) < (5, 'x') ORDER BY created_at DESC, id DESC LIMIT 5"),
        ("SELECT * FROM messages WHERE mailbox_id = ? AND is_blocked = 0 AND direction = 'inbound'"
         " ORDER BY created_at DESC, id DESC LIMIT 5"),
        "SELECT * FROM threads WHERE mailbox_id = ? AND folder <> 'x' ORDER BY last_message_at DESC, id DESC LIMIT 5",
        "SELECT * FROM threads WHERE mailbox_id = ? AND folder = 'x' ORDER BY last_message_at DESC, id DESC LIMIT 5",
    ]  # fmt: skip
    with store.reading() as connection:
        for query in queries:
            plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", (mailbox,))]
            assert len(plan) == 1
            assert "USING INDEX" in plan[0]


async def test_whitelist_blocks_both_directions(store: Store) -> None:
    """Without rules nobody is on it: what comes is only in the folder `blocked`, what leaves is refused."""
    async with people(store, "identity", "alice", "bobby") as (alice, bobby):
        await alice.ask("PATCH", "", json={"inbound_filter_mode": "whitelist"})
        await bobby.send(alice.address)
        assert (await bobby.newest())["status"] == "delivered"
        assert await alice.list() == (await alice.ask("GET", "/threads"))["items"] == []
        assert (await alice.ask("GET", "/search", params={"q": "hello"}))["items"] == []
        assert await alice.ask("GET", "/threads/folders") == ["blocked"]
        (thread,) = (await alice.ask("GET", "/threads", params={"folder": "blocked"}))["items"]
        blocked = (await alice.ask("GET", f"/threads/{thread['id']}"))["messages"][0]
        await alice.send(bobby.address, in_reply_to_message_id=blocked["message_id"])
        await alice.ask("PATCH", "", json={"inbound_filter_mode": "blacklist"})
        await bobby.send(alice.address, in_reply_to_message_id=blocked["message_id"])
        assert len(await alice.list()) == 2  # neither is hidden in the blocked thread
        await alice.ask("PATCH", f"/threads/{thread['id']}", json={"folder": "inbox"})
        assert len(await alice.list()) == 3
        await alice.ask("PATCH", "", json={"outbound_filter_mode": "whitelist"})
        assert (await alice.send(bobby.address, status=403))["detail"]["matched_rule_id"] is None


async def test_paused_identity_receives_and_does_not_send(store: Store) -> None:
    """No mail is lost while it is paused."""
    async with people(store, "spec", "alice", "bobby") as (alice, bobby):
        response = await alice.client.patch("/api/v1/identities/sales-agent", json={"status": "paused"})
        assert response.status_code == 200
        await bobby.send(alice.address)
        assert len(await alice.list()) == 1
        assert (await alice.send(bobby.address, status=403))["detail"]["error"] == "identity_paused"


async def test_mail_for_a_deleted_mailbox_bounces(alice: Person, bobby: Person, generation: Generation) -> None:
    """In both generations."""
    path = f"{MAILBOXES}/{bobby.address}" if generation == "spec" else "/api/v1/identities/bobby"
    assert (await bobby.client.delete(path)).status_code == 204
    await alice.send(bobby.address)
    assert (await alice.newest())["status"] == "bounced"


async def test_order_of_arrival_is_the_order_of_the_list(alice: Person, store: Store) -> None:
    """Also of messages of one moment: every moment is used once."""
    for number in range(20):
        store.deliver(b"Subject: %d\r\n\r\n" % number, [alice.address])
    listed = await alice.list()
    assert [each["subject"] for each in listed] == [str(number) for number in reversed(range(20))]
    assert len({each["created_at"] for each in listed}) == 20


async def test_answer_to_a_message_that_is_not_here_names_it(alice: Person) -> None:
    """So that its recipient, who has the message, finds the thread."""
    sent = await alice.send("x@example.com", in_reply_to_message_id="<elsewhere@example.com>")
    shown = await alice.ask("GET", f"/messages/{sent['id']}")
    assert (shown["in_reply_to"], shown["references"]) == ("<elsewhere@example.com>", ["<elsewhere@example.com>"])
