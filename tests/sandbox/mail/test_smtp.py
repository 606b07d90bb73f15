"""SMTP, with the standard library's client."""

import smtplib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from socket import create_server
from threading import Thread

import anyio
import anyio.from_thread
import pytest

from inkbox_mcp.sandbox import Store
from inkbox_mcp.sandbox.mail.smtp import serving_smtp
from tests.sandbox.mail.people import people

ALICE = "alice@inkboxmail.com"


@contextmanager
def smtp(store: Store) -> Generator[int]:
    """Take mail in a thread, and yield the port."""
    with create_server(("127.0.0.1", 0)) as listener, anyio.from_thread.start_blocking_portal() as portal:
        port: int = listener.getsockname()[1]
        with portal.wrap_async_context_manager(serving_smtp(store, listener, max_bytes=500_000)):
            yield port


async def make_alice(store: Store) -> None:
    """Make the mailbox."""
    async with people(store, "identity", "alice"):
        pass


@pytest.fixture
def port(store: Store) -> Iterator[int]:
    """The port of a server for Alice."""
    anyio.run(make_alice, store)
    with smtp(store) as port:
        yield port


def subjects(store: Store) -> list[str | None]:
    """Return the subjects of all messages, oldest first."""
    with store.reading() as connection:
        return [row["subject"] for row in connection.execute("SELECT subject FROM messages ORDER BY created_at")]


def test_any_program_writes_to_a_mailbox(store: Store, port: int) -> None:
    """Several messages on one connection, with lines that begin with a dot, and text of any language."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "x@example.com", ALICE, "Grüße"
    message.set_content(".\n..\nTschüß\n" + "x" * 5000)
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        assert client.send_message(message) == {}
        assert client.sendmail("x@example.com", [ALICE], "Subject: Second\r\n\r\nhi") == {}
    assert subjects(store) == ["Grüße", "Second"]
    with store.reading() as connection:
        first, _ = connection.execute("SELECT body_text FROM contents ORDER BY id").fetchall()
        senders = [row["from_address"] for row in connection.execute("SELECT from_address FROM messages")]
    assert first["body_text"].startswith(".\n..\nTschüß\n")
    assert senders == ["x@example.com"] * 2  # the second has no From, but an envelope


@pytest.mark.parametrize(
    "sender", [b"", b"nodomain", b"a\x00b@x.org", b"a" * 400 + b"@x.org", b"\xed\xa0\x80@x.org", b"\xff@x.org"]
)
def test_sender_that_is_no_address_counts_as_none(store: Store, port: int, sender: bytes) -> None:
    """Mail that reports a bounce has none; no other one stops a message."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.ehlo()
        client.send(b"MAIL FROM:<" + sender + b"> SMTPUTF8\r\n")
        if client.getreply()[0] == 250:
            client.rcpt(ALICE)
            assert client.data("Subject: x\r\n\r\nhi")[0] == 250
    with store.reading() as connection:
        senders = {row["from_address"] for row in connection.execute("SELECT from_address FROM messages")}
    assert senders <= {"unknown@unknown.invalid"}


def test_unknown_recipients_are_refused_and_the_others_are_not(store: Store, port: int) -> None:
    """The client learns which."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        refused = client.sendmail("x@example.com", [ALICE, "nobody@inkboxmail.com", "x@example.com"], "\r\nhi")
        assert {address: code for address, (code, _) in refused.items()} == {
            "nobody@inkboxmail.com": 550,
            "x@example.com": 550,
        }
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("x@example.com", ["nobody@inkboxmail.com"], "\r\nhi")
    assert len(subjects(store)) == 1


def test_too_large_a_message_is_refused(store: Store, port: int) -> None:
    """Whether its size is announced or not."""
    text = "\r\n" + ("x" * 76 + "\r\n") * 10_000
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("x@example.com", [ALICE], text)
        client.helo()
        client.mail("x@example.com")
        client.rcpt(ALICE)
        assert client.data(text)[0] == 552
    assert subjects(store) == []


def test_bomb_is_refused_with_its_reason(store: Store, port: int) -> None:
    """The connection goes on."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        with pytest.raises(smtplib.SMTPDataError, match="headers of the message"):
            client.sendmail("x@example.com", [ALICE], "X: y\r\n" * 50_000 + "\r\nhi")
        assert client.sendmail("x@example.com", [ALICE], "\r\nhi") == {}


def test_client_that_leaves_in_the_middle_leaves_nothing(store: Store, port: int) -> None:
    """Neither a message nor a broken server."""
    client = smtplib.SMTP("127.0.0.1", port, timeout=10)
    client.helo()
    client.mail("x@example.com")
    client.rcpt(ALICE)
    client.putcmd("data")
    client.getreply()
    client.send(b"Subject: half\r\n\r\nhal")
    client.close()
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as other:
        other.sendmail("x@example.com", [ALICE], "Subject: whole\r\n\r\nhi")
    assert subjects(store) == ["whole"]


def test_many_clients_write_at_once(store: Store, port: int) -> None:
    """Each message arrives once."""

    def write(number: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("x@example.com", [ALICE], f"Subject: {number}\r\n\r\nhi")

    threads = [Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(subjects(store), key=str) == sorted((str(number) for number in range(20)), key=str)
