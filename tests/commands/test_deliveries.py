"""`inkbox-mcp sandbox deliver`, and the sandbox's SMTP port."""

import smtplib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from inkbox_mcp.cli import main
from inkbox_mcp.sandbox import Store
from tests.sandbox.mail.people import people
from tests.support.agents import KEY
from tests.support.processes import start

ALICE = "alice@inkboxmail.com"
SOMEONE = ("--from", "x@example.com")


async def make_alice(store: Store) -> None:
    """Make the mailbox."""
    async with people(store, "identity", "alice"):
        pass


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A file with a mailbox."""
    with Store(tmp_path / "x.db") as store:
        anyio.run(make_alice, store)
    return str(tmp_path / "x.db")


def messages(database: str) -> list[dict[str, Any]]:
    """Return the messages of a file, oldest first."""
    with Store(database) as store, store.reading() as connection:
        return connection.execute(
            "SELECT * FROM messages JOIN contents ON contents.id = content_id ORDER BY messages.created_at"
        ).fetchall()


def deliver(*arguments: str) -> int:
    """Run the command."""
    return main(["sandbox", "deliver", *arguments])


def test_message_is_delivered_into_a_file(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With all of its options; what is unknown is named, and the rest delivered."""
    (tmp_path / "a,b.txt").write_text("hello")
    attached = ("--attach", str(tmp_path / "a,b.txt"), "--attach", str(tmp_path / "a,b.txt"))
    recipients = ("--to", ALICE, "--to", "nobody@inkboxmail.com", "--cc", "c@example.com")
    texts = ("--subject", "Grüße, Alice", "--text", "t", "--html", "<b>h</b>", "--from-name", "X, Y")
    assert deliver(*recipients, *SOMEONE, *texts, *attached, "--in-reply-to", "<1@b>", "--db", database) == 0
    shown = capsys.readouterr()
    (message,) = messages(database)
    assert shown.out.startswith(f"delivered to {ALICE} as ")
    assert "nobody@inkboxmail.com" in shown.err
    assert (message["subject"], message["from_display_name"]) == ("Grüße, Alice", "X, Y")
    assert (message["body_text"], message["body_html"]) == ("t\n", "<b>h</b>\n")
    assert message["attachments"].count("a,b.txt") == 2
    assert message["in_reply_to"] == "<1@b>"


def test_whole_message_is_delivered_to_those_it_names(database: str, tmp_path: Path) -> None:
    """Or to others."""
    (tmp_path / "m.eml").write_bytes(f"From: x@example.com\nTo: {ALICE}\nSubject: Hi\n\nhi".encode())
    assert deliver("--file", str(tmp_path / "m.eml"), "--db", database) == 0
    assert deliver("--file", str(tmp_path / "m.eml"), "--to", "nobody@inkboxmail.com", "--database", database) == 1
    assert [message["subject"] for message in messages(database)] == ["Hi"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "--to is missing"),
        (("--to", ALICE), "--from is missing"),
        (("--to", "nobody", *SOMEONE), "--to: not an e-mail address"),
        (("--to", ALICE, "--from", "x\r\nBcc: y@example.com"), "--from: not an e-mail address"),
        (("--to", ALICE, *SOMEONE, "--attach", "no such file"), "--attach: No such file"),
        (("--to", ALICE, *SOMEONE, "--attach", "\0"), "--attach: "),
        (("--to", ALICE, *SOMEONE, "--attach", "."), "--attach: "),
        (("--to", ALICE, *SOMEONE, "--subject", "a", "--subject", "b"), "--subject was given twice"),
        (("--to", ALICE, *SOMEONE, "--db", "no such file"), "--db: there is no file"),
        (("--to", ALICE, *SOMEONE, "--db", "."), "--db: there is no file"),
        (("--to", ALICE, *SOMEONE, "--db", "x", "--url", "http://x"), "give one of them"),
        (("--to", ALICE, *SOMEONE, "--url", "file:///etc/passwd"), "--url must begin"),
        (("--to", ALICE, *SOMEONE, "--url", "http://127.0.0.1:1"), "--url: "),
        (("--to", ALICE, *SOMEONE, "--url", "http://[::1"), "--url: "),
        (("--file", "/dev/null", "--to", "caf\udce9@x", "--url", "http://127.0.0.1:1"), "--file: there is no message"),
        (("--file", __file__, "--to", "caf\udce9@x", "--url", "http://127.0.0.1:1"), "--url: "),
        (("--to", ALICE, *SOMEONE, "--subject", "a\nb"), "--subject: it has characters"),
        (("--file", "x", "--text", "t"), "--text: the message of --file has its own"),
        (("--file", "no such file"), "--file: No such file"),
        (("--nonsense",), "unrecognized"),
    ],
)
def test_wrong_options_stop_it(
    arguments: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With one line that says why; no file is made."""
    monkeypatch.chdir(tmp_path)
    assert deliver(*arguments) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_database_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And left as it was."""
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE x (y)")
    assert deliver("--to", ALICE, *SOMEONE, "--db", str(path)) == 2
    assert "another program" in capsys.readouterr().err


def test_message_that_cannot_be_read_is_refused(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its reason."""
    (tmp_path / "m.eml").write_bytes(b"X: y\n" * 100_000)
    assert deliver("--file", str(tmp_path / "m.eml"), "--to", ALICE, "--db", database) == 2
    assert "headers of the message" in capsys.readouterr().err


def test_refused_attachment_is_said_in_plain_words(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the words of the library that checks it."""
    (tmp_path / "x.exe").write_bytes(b"x")
    assert deliver("--to", ALICE, *SOMEONE, "--attach", str(tmp_path / "x.exe"), "--db", database) == 2
    shown = capsys.readouterr().err
    assert "--attach: Files that end in .exe" in shown


def test_message_without_recipient_is_told(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of silence."""
    (tmp_path / "m.eml").write_bytes(b"Subject: Hi\n\nhi")
    assert deliver("--file", str(tmp_path / "m.eml"), "--db", database) == 1
    assert "names no recipient" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["x", "-1", "65536", "", "1e3"])
def test_smtp_port_is_a_number(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Or the sandbox does not start."""
    assert main(["sandbox", "--port", "0", "--db", ":memory:", f"--smtp-port={port}"]) == 2
    assert "--smtp-port" in capsys.readouterr().err


async def test_running_sandbox_takes_mail_in_three_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By SMTP, over HTTP, and by its file while it runs; what it refuses is said in the same words."""
    database = str(tmp_path / "x.db")
    options = ("--port", "0", "--smtp-port", "0", "--db", database, "--generation", "identity")
    async with start("sandbox", *options, home=tmp_path) as sandbox:
        await sandbox.line()
        url = (await sandbox.line()).strip().removeprefix("export INKBOX_BASE_URL=")
        await sandbox.line()
        await sandbox.line()
        port = int((await sandbox.line()).rpartition(":")[2])
        async with httpx2.AsyncClient(base_url=url, headers={"X-API-Key": KEY}) as client:
            assert (await client.post("/api/v1/identities", json={"agent_handle": "alice"})).status_code == 201

            def write() -> None:
                for message, says in (
                    (b"Subject: Hi\n\nhi", "names no recipient"),
                    (
                        b"To: nobody@inkboxmail.com, or@example.com\n\nhi",
                        "no mailbox takes it: nobody@inkboxmail.com\n",
                    ),
                ):
                    (tmp_path / "m.eml").write_bytes(message)
                    assert deliver("--file", str(tmp_path / "m.eml"), "--url", url) == 1
                    assert says in capsys.readouterr().err
                (tmp_path / "m.eml").write_bytes(b"X: y\n" * 100_000)
                assert deliver("--file", str(tmp_path / "m.eml"), "--to", ALICE, "--url", url) == 2
                assert "answered 400: The headers of the message are longer" in capsys.readouterr().err
                with smtplib.SMTP("127.0.0.1", port, timeout=10) as smtp:
                    smtp.sendmail("x@example.com", [ALICE], "Subject: smtp\r\n\r\nhi")
                assert deliver("--to", ALICE, *SOMEONE, "--subject", "http", "--url", url) == 0
                assert deliver("--to", "nobody@inkboxmail.com", *SOMEONE, "--url", f"{url}/") == 1
                assert deliver("--to", ALICE, *SOMEONE, "--subject", "file", "--db", database) == 0

            await anyio.to_thread.run_sync(write)
            answer = await client.get("/api/v1/mail/mailboxes/alice/messages")
            assert [each["subject"] for each in answer.json()["items"]] == ["file", "http", "smtp"]
