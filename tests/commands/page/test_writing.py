"""The form of the page, by which anybody writes to an agent."""

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from inkbox_mcp.sandbox import Limits, Store
from tests.sandbox.mail.people import Person
from tests.support.looking import ORIGIN, Onlooker, looking_at
from tests.support.time_lapse import TIME_LAPSE


async def test_mail_of_the_form_arrives(alice: Person, onlooker: Onlooker) -> None:
    """As from outside: with the sender's name, and both bodies."""
    form: dict[str, Any] = {
        "from": '"Ann, B." <ann@example.com>',
        "subject": "Grüße",
        "text": "Hi",
        "html": "<b>Hi</b>",
    }
    receipt = await onlooker.write(alice.address, "nobody@inkboxmail.com", **form)
    message = await alice.newest()
    assert receipt == {"delivered": {alice.address: message["id"]}, "refused": ["nobody@inkboxmail.com"]}
    assert (message["direction"], message["from_address"], message["subject"]) == (
        "inbound",
        "ann@example.com",
        "Grüße",
    )
    assert (message["body_text"], message["body_html"]) == ("Hi\n", "<b>Hi</b>\n")
    assert (await onlooker.rows(alice.address))[0]["from"] == "Ann, B. <ann@example.com>"


@pytest.mark.parametrize(
    ("form", "detail"),
    [
        ({"from": "ann"}, "From: That is not an e-mail address."),
        ({"from": ""}, "From: That is not an e-mail address."),
        ({"from": "a@example.com, b@example.com"}, "From: That is not an e-mail address."),
        ({"from": "x" * 601}, "From: It is too long."),
        ({"from": "a@example.com\r\nBcc: b@example.com"}, "From: That is not an e-mail address."),
        ({"from": None}, "From: Input should be a valid string."),
        ({"to": []}, "To: Name a recipient."),
        ({"to": ["nobody"]}, "To: That is not an e-mail address."),
        ({"to": "alice@inkboxmail.com"}, "To: Input should be a valid array."),
        ({"to": ["a@example.com"] * 501}, "To: These are too many recipients."),
        ({"to": ["nobody@inkboxmail.com"]}, "No mailbox takes mail for nobody@inkboxmail.com."),
        ({"to": ["elsewhere@example.com"]}, "No mailbox takes mail for elsewhere@example.com."),
        ({"subject": "a\nb"}, "Subject: It has characters that are not allowed there."),
        ({"subject": "x" * 999}, "Subject: It is too long."),
        ({"text": "\0"}, "Text: It has characters that are not allowed there."),
        ({"text": 5}, "Text: Input should be a valid string."),
        ({"cc": []}, "Cc: Extra inputs are not permitted."),
        ({"text": "a\r" * 1_000_001, "html": "b"}, "A message may have 2,000,000 bytes here."),
    ],
)
async def test_what_cannot_be_delivered_is_refused_in_a_sentence(
    alice: Person, onlooker: Onlooker, form: dict[str, Any], detail: str
) -> None:
    """And nothing arrives."""
    status = 413 if "bytes here" in detail else 422
    whole = {"to": [alice.address], **form}
    answer = await onlooker.write(status=status, **whole)
    assert answer["detail"].startswith(detail.removesuffix("."))
    assert answer["detail"].endswith(".")
    assert await alice.list() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"from": "\\ud800@example.com"}', b"\xff", b"{}", b"NaN"],
)
async def test_what_is_no_form_is_refused(alice: Person, onlooker: Onlooker, body: bytes) -> None:
    """In a sentence."""
    headers = {"Origin": ORIGIN, "Content-Type": "application/json; charset=utf-8"}
    answer = await onlooker.http.post("/page/messages", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_that_any_web_page_could_send_is_refused(alice: Person, onlooker: Onlooker, kind: str) -> None:
    """A browser sends JSON only where it may."""
    body = json.dumps({"from": "x@example.com", "to": [alice.address]})
    headers = {"Origin": ORIGIN, **({"Content-Type": kind} if kind else {})}
    answer = await onlooker.http.post("/page/messages", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (415, {"detail": "Send application/json."})
    assert await alice.list() == []


async def never_whole() -> AsyncGenerator[bytes]:
    """Begin a form, and send no more of it."""
    yield b"{"
    await anyio.sleep_forever()


@pytest.mark.parametrize("anyio_backend", [TIME_LAPSE])
async def test_a_form_that_does_not_come_is_given_up(anyio_backend: object) -> None:
    """After 20 seconds."""
    with Store(":memory:") as store:
        async with looking_at(store) as onlooker:
            headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
            answer = await onlooker.http.post("/page/messages", content=never_whole(), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert answer.json() == {"detail": "The message did not come in time."}


async def test_limits_of_the_sandbox_hold_for_the_form(alice: Person, onlooker: Onlooker, store: Store) -> None:
    """A full mailbox takes nothing, and nobody is told that it did."""
    store.limits = Limits(can_receive=False)
    answer = await onlooker.write(alice.address, status=422)
    assert answer == {"detail": f"No mailbox takes mail for {alice.address}."}


async def test_a_busy_database_is_said(tmp_path: Path) -> None:
    """Nothing is delivered; the mailboxes are shown all the same."""
    path = tmp_path / "x.db"
    with Store(path, busy_timeout=0.05) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with looking_at(store) as onlooker:
            other.execute("BEGIN IMMEDIATE")
            answer = await onlooker.write("alice@inkboxmail.com", status=503)
            assert answer == {"detail": "The database is busy; try again."}
            await onlooker.see("state")
            other.execute("ROLLBACK")
            await onlooker.write("alice@inkboxmail.com", status=422)
