"""Mail from outside: by HTTP and by `Store.deliver`; ordinary, broken and hostile."""

import json
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

from inkbox_mcp.sandbox import Store, Unreadable
from tests.sandbox.mail.people import Person, upload
from tests.support.alike import GENERATIONS_ALIKE, choices

DELIVERIES = "/sandbox/deliveries"
RAW = {"Content-Type": "message/rfc822"}


async def post(person: Person, content: bytes, status: int = 201, **query: Any) -> dict[str, Any]:
    """Deliver a message over HTTP, without a key."""
    async with person.without_key() as client:
        response = await client.post(DELIVERIES, content=content, params=query, headers=RAW)
    assert response.status_code == status, response.text
    return response.json()


async def test_message_from_outside_is_read_as_others_wrote_it(alice: Person, store: Store) -> None:
    """Names, subject, both bodies, attachments and what it answers."""
    message = EmailMessage()
    message["From"] = 'Zoë, the "boss" <zoe@example.com>'
    message["To"] = f"Alice <{alice.address}>, someone@example.com"
    message["Cc"] = "c@example.com"
    message["Subject"] = "Votre code – 日本"
    message["Message-ID"] = "<1@example.com>"
    message["References"] = "<0@example.com>"
    message.set_content("Le code est 123456\n")
    message.add_alternative("<p>Le code est <b>123456</b></p>", subtype="html")
    message.add_attachment(b"%PDF", "application", "pdf", filename="reçu.pdf")
    delivered, others = store.deliver(message.as_bytes(), [alice.address.upper(), "someone@example.com"])
    received = await alice.newest()
    assert (delivered, others) == ({alice.address: received["id"]}, ["someone@example.com"])
    assert received["from_address"] == "zoe@example.com"
    assert received["to_addresses"] == [alice.address, "someone@example.com"]
    assert (received["cc_addresses"], received["subject"]) == (["c@example.com"], "Votre code – 日本")
    assert received["body_text"] == "Le code est 123456\n"
    assert received["body_html"].strip() == "<p>Le code est <b>123456</b></p>"
    assert [each["filename"] for each in received["attachment_metadata"]] == ["reçu.pdf"]
    assert (received["message_id"], received["references"]) == ("<1@example.com>", ["<0@example.com>"])
    assert (received["status"], received["is_read"] in {False, True}) == ("received", True)


async def test_filename_in_raw_utf_8_is_kept(alice: Person, store: Store) -> None:
    """As many programs write it, in either header."""
    parts = "".join(
        f"--b\r\nContent-Type: application/pdf{name}\r\n\r\nx\r\n"
        for name in ('; name="Größe.pdf"', '\r\nContent-Disposition: attachment; filename="請求書.pdf"')
    )
    raw = f"Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n"
    store.deliver(raw.encode(), [alice.address])
    metadata = (await alice.newest())["attachment_metadata"]
    assert [each["filename"] for each in metadata] == ["Größe.pdf", "請求書.pdf"]


async def test_answer_from_outside_joins_the_thread(alice: Person, store: Store) -> None:
    """By In-Reply-To, or by the last of its references that the mailbox has."""
    sent = await alice.send("x@example.com")
    for line in ("In-Reply-To: {}", "References: <unknown@example.com> {} <later@example.com>"):
        raw = f"From: x@example.com\r\n{line.format(sent['message_id'])}\r\n\r\nyes".encode()
        store.deliver(raw, [alice.address])
        assert (await alice.newest())["thread_id"] == sent["thread_id"]
    store.deliver(b"Subject: Hello\r\n\r\nno", [alice.address])
    assert (await alice.newest())["thread_id"] != sent["thread_id"]


async def test_spam_is_in_its_folder(alice: Person, store: Store) -> None:
    """If the message says so."""
    store.deliver(b"X-Spam-Flag: YES\r\n\r\nbuy", [alice.address])
    assert await alice.ask("GET", "/threads/folders") == ["spam"]


async def test_route_takes_a_message_with_or_without_envelope(alice: Person, bobby: Person) -> None:
    """Without recipients it goes to those that it names; unknown ones are named."""
    answer = await post(alice, f"To: {alice.address}\r\nBcc: {bobby.address}\r\n\r\nhi".encode())
    assert answer["delivered"].keys() == {alice.address, bobby.address}
    answer = await post(alice, b"To: x@example.com\r\n\r\nhi", to=[bobby.address, "x@example.com"])
    assert (list(answer["delivered"]), answer["undeliverable"]) == ([bobby.address], ["x@example.com"])
    assert len(await bobby.list()) == 2
    await post(alice, b"\r\nhi", 404)
    await post(alice, b"\r\nhi", 404, to="nobody@inkboxmail.com")
    await post(alice, b"\r\nhi", 422, to="not an address")


async def test_route_takes_members(alice: Person) -> None:
    """As JSON."""
    body = {
        "from": "x@example.com",
        "from_name": "X",
        "to": [alice.address],
        "subject": "Hi",
        "text": "t",
        "html": "<b>h</b>",
        "attachments": [upload("a.txt", b"a")],
    }
    response = await alice.client.post(DELIVERIES, json=body)
    assert response.status_code == 201, response.text
    received = await alice.newest()
    assert (received["from_address"], received["subject"], received["body_text"]) == ("x@example.com", "Hi", "t\n")
    assert received["has_attachments"]
    answer = {"from": "x@example.com", "to": [alice.address], "in_reply_to": received["message_id"]}
    assert (await alice.client.post(DELIVERIES, json=answer)).status_code == 201
    assert (await alice.newest())["thread_id"] == received["thread_id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"from": "x", "to": ["alice@inkboxmail.com"]},
        {"from": "x@example.com", "to": []},
        {"from": "x@example.com", "to": ["alice@inkboxmail.com"], "subject": "a\nb"},
        {"from": "x@example.com", "to": ["alice@inkboxmail.com"], "text": 1},
        {"from": "x@example.com", "to": ["alice@inkboxmail.com"], "other": 1},
    ],
)
async def test_bad_members_are_422(alice: Person, body: Any) -> None:
    """With FastAPI's list of errors."""
    response = await alice.client.post(DELIVERIES, json=body)
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], list)


async def test_other_bodies_are_refused(alice: Person) -> None:
    """Forms are 415, broken JSON is 422, more than 40 MB is 413."""
    for content_type, content, status in (
        ("text/plain", b"x", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
        ("application/json", b"{", 422),
        ("application/json", b"\xff", 422),
        ("application/json", b"[" * 100_000, 422),
        ("message/rfc822", b"x" * (40 * 1024**2 + 1), 413),
    ):
        response = await alice.client.post(DELIVERIES, content=content, headers={"Content-Type": content_type})
        assert response.status_code == status, content[:10]
    assert await alice.list() == []


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "only zeros": b"\x00" * 1000,
    "no headers": b"just text\r\nmore text",
    "broken headers": b"no colon here\r\n: no name\r\nFrom\r\n\r\nhi",
    "eight-bit headers": "Subject: Größe\r\nFrom: Jörg <j@example.com>\r\n\r\nhi".encode(),
    "latin headers": b"Subject: Gr\xf6\xdfe\r\n\r\nhi",
    "lone surrogate": b"Subject: =?utf-8?q?=ED=A0=80?=\r\n\r\n\xed\xa0\x80",
    "broken encoded word": b"Subject: =?utf-8?b?!!!?= =?nope?q?x?=\r\nFrom: =?x\r\n\r\nhi",
    "unknown charset": b"Content-Type: text/plain; charset=nope\r\n\r\n\xff\xfe",
    "wrong charset": b"Content-Type: text/plain; charset=ascii\r\n\r\n\xff\xfe",
    "no text encoding": b"Content-Type: text/plain; charset=rot13\r\n\r\nhi",
    "escapes": b"Content-Type: text/plain; charset=unicode_escape\r\n\r\n\\ud800\\u0000",
    "unknown transfer encoding": b"Content-Transfer-Encoding: x-nope\r\n\r\nhi",
    "broken Base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!",
    "multipart without boundary": b"Content-Type: multipart/mixed\r\n\r\nhi",
    "multipart that does not end": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi",
    "message in Base64": b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD",
    "empty addresses": b"From: <>\r\nTo: ,,;:\r\nCc: undisclosed-recipients:;\r\n\r\nhi",
    "two froms": b"From: a@example.com\r\nFrom: b@example.com\r\n\r\nhi",
    "injected address": b"From: =?utf-8?q?x=0D=0ABcc=3A_y?= <a@example.com>\r\n\r\nhi",
    "path as a name": b'Content-Disposition: attachment; filename="../../etc/passwd"\r\n\r\nhi',
    "controls in a name": b'Content-Disposition: attachment; filename="a\x00\x1b.txt"\r\n\r\nhi',
    "long id": b"Message-ID: <" + b"x" * 5000 + b">\r\n\r\nhi",
    "odd id": b"Message-ID: a b c\r\nIn-Reply-To: ><\r\n\r\nhi",
    "report": b"Content-Type: message/delivery-status\r\n\r\nA: b\r\n\r\nC: d\r\n",
}


@GENERATIONS_ALIKE
@pytest.mark.parametrize("name", BROKEN)
async def test_broken_message_is_stored_and_can_be_read(alice: Person, store: Store, name: str) -> None:
    """With a Message-ID, a sender, and text that JSON can hold; it can also be forwarded, found and downloaded."""
    delivered, _ = store.deliver(BROKEN[name], [alice.address])
    assert list(delivered) == [alice.address]
    received = await alice.newest()
    json.dumps(received, ensure_ascii=False).encode()
    assert received["message_id"].startswith("<")
    assert "@" in received["from_address"]
    assert "\x00" not in json.dumps(received)
    attachments: list[dict[str, Any]] = received["attachment_metadata"] or []
    for each in attachments:
        assert "/" not in each["filename"]
        assert each["filename"].isprintable()
        path = f"/messages/{received['id']}/attachments/{each['filename']}"
        url = (await alice.ask("GET", path, params={"redirect": "false"}))["url"]
        assert (await alice.client.get(url)).status_code == 200
    for mode in ("inline", "wrapped"):
        body = {"recipients": {"to": [alice.address]}, "mode": mode}
        await alice.ask("POST", f"/messages/{received['id']}/forward", 201, json=body)


def nested(depth: int) -> bytes:
    """Return parts within parts."""
    parts = "".join(f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(depth))
    return f"Content-Type: multipart/mixed; boundary=b0\n\n{parts}".encode()


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\n\n"

BOMBS: dict[str, Callable[[], bytes]] = {
    "deep": lambda: nested(100),
    "very deep": lambda: nested(100_000),
    "deep and long": lambda: nested(300) + b"x\n" * 300_000,
    "deep messages": lambda: b"Content-Type: message/rfc822\n\n" * 5000,
    "parts": lambda: MULTIPART + b"--b\n\nx\n" * 300_000,
    "blocks of a report": lambda: b"Content-Type: message/delivery-status\n\n" + b"A: b\n\n" * 100_000,
    "lines": lambda: b"\n" * 10_000_000,
    "headers": lambda: b"X: y\n" * 100_000 + b"\nhi",
    "header": lambda: b"Subject: " + b"x" * 1_000_000 + b"\n\nhi",
    "size": lambda: b"\n" + b"x" * (40 * 1024**2 + 1),
}


@GENERATIONS_ALIKE
@pytest.mark.parametrize("name", BOMBS)
async def test_bomb_is_refused_with_its_reason(alice: Person, store: Store, name: str) -> None:
    """By both ways in; nothing is stored."""
    raw = BOMBS[name]()
    with pytest.raises(Unreadable, match=r"The (message|headers|parts)"):
        store.deliver(raw, [alice.address])
    answer = await post(alice, raw, 413 if name == "size" else 400, to=alice.address)
    assert answer["detail"]
    assert await alice.list() == []


LARGE: dict[str, Callable[[], bytes]] = {
    "thousands of parts": lambda: MULTIPART + b"--b\n\nx\n" * 4_000 + b"--b--",
    "thousands of attachments": lambda: MULTIPART + b"--b\nContent-Disposition: attachment\n\nx\n" * 2_000 + b"--b--",
    "parameters": lambda: MULTIPART + b"--b\nContent-Type: text/plain" + b"; a=b" * 2_000_000 + b"\n\nx",
    "parameters of many parts": lambda: MULTIPART + (b"--b\nContent-Type: a/b" + b"; a=b" * 500 + b"\n\nx\n") * 1_000,
    "texts about boundaries": lambda: (
        MULTIPART + b"--b\n\n" + b"boundary " * 60 + b"\n--b\nA: b\n\n" + b"x\n" * 340_000
    ),
    "attachments of 25 MB": lambda: (
        MULTIPART + b"--b\nA: b\n\nx\n--b\nContent-Type: a/b\n\n" + (b"x" * 76 + b"\n") * 470_000
    ),
    "quotes": lambda: b"From: " + b'"' * 200_000 + b"\n\nhi",
    "addresses": lambda: b"To: " + b"a@example.com, " * 15_000 + b"\n\nhi",
    "references": lambda: b"References: " + b"<a@b> " * 40_000 + b"\n\nhi",
    "long line": lambda: b"\n" + b"x" * 20_000_000,
    "lines": lambda: b"\n\n" + b"x\n" * 900_000,
    "tags": lambda: b"Content-Type: text/html\n\n" + b"<b " * 1_000_000 + b"<style" * 100_000,
}


@GENERATIONS_ALIKE
@pytest.mark.parametrize("name", choices(LARGE, {"attachments of 25 MB", "parameters of many parts", "long line"}))
async def test_large_message_is_stored(alice: Person, store: Store, name: str) -> None:
    """And can be read."""
    delivered, _ = store.deliver(LARGE[name](), [alice.address])
    assert list(delivered) == [alice.address]
    assert (await alice.newest())["direction"] == "inbound"
