"""The arguments of tools that send mail."""

import base64
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from email_validator import validate_email
from hypothesis import example, given
from hypothesis import strategies as st
from mcp import Client
from pydantic import create_model

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.toolkit.arguments import Args, checked
from inkbox_mcp.toolkit.data_urls import MAX_DATA
from inkbox_mcp.toolkit.mail_fields import (
    MAX_BODY,
    MAX_SUBJECT,
    AttachmentSource,
    IdempotencyKey,
    MailBody,
    MailSubject,
    Recipient,
    recipient,
)
from tests.support.agents import text
from tests.support.extra_tools import extra_stdio, offering
from tests.support.extra_tools.tools.letters import send_letter
from tests.support.http_in_process import serve_service

BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\x7f"]


def parse(kind: Any, value: object) -> Any:
    """Return a value of an argument of this type, as a tool gets it."""
    model = create_model("Arguments", __base__=Args, one=(kind, ...))
    return checked(model, "send_thing", {"one": value}).model_dump()["one"]


def complaint(kind: Any, value: object) -> str:
    """Return the error about a value of an argument of this type."""
    with pytest.raises(InvalidArguments) as caught:
        parse(kind, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("jane@example.com", "jane@example.com"),
        (" jane@example.com\n", "jane@example.com"),
        ("Jane <jane@example.com>", "jane@example.com"),
        ("<jane@example.com>", "jane@example.com"),
        ('"Doe, Jane" <jane@example.com>', "jane@example.com"),
        ("mailto:jane@example.com", "jane@example.com"),
        ("mailto:jane@example.com?subject=Hello", "jane@example.com"),
        ("[Jane](mailto:jane@example.com)", "jane@example.com"),
        ("Jane.Doe+news@Example.COM", "Jane.Doe+news@example.com"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
        ("jane@例え.jp", "jane@xn--r8jz45g.jp"),
    ],
)
def test_an_address_is_taken_in_the_notations_of_mail_programs(written: str, sent: str) -> None:
    """International domains are sent in ASCII."""
    assert parse(Recipient, written) == sent
    assert parse(list[Recipient], [written, written]) == [sent, sent]
    assert recipient(sent) == sent


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("sales", 'must have an @ and a domain after it; write the full address, such as "jane@example.com"'),
        ("jane＠example.com", "must have an @"),
        ("", "at least 1 character"),
        ("a@x.org, b@y.org", "must be one address"),
        ("a@x.org;b@y.org", "must be one address"),
        ("a@x.org b@y.org", "must be one address"),
        ("Doe, Jane <jane@x.org>", "must be one address"),
        ('"boss@acme.com" <jane@x.org>', "must be one address"),
        ("Jane <a@x.org> <b@y.org>", "must be one address"),
        ("mailto:a@x.org,b@y.org", "must be one address"),
        ("mailto:a@x.org?cc=b%40y.org", 'without "mailto:"'),
        ("mailto:a@x.org?subject=x&BCC=b", 'without "mailto:"'),
        ("mailto:jane%2Bnews@x.org", 'without "mailto:"'),
        ("a@x", "It should have a period"),
        ("a@localhost", "no address"),
        ("a@printer.local", "no address"),
        ("a@[127.0.0.1]", "no address"),
        ("jörg@x.org", "no address"),
        ('"a b"@x.org', "no address"),
        ("a..b@x.org", "no address"),
        ("a@b@x.org", "no address"),
        ("<a@x.org", "no address"),
        ("@evil.com:a@x.org", "no address"),
        ("group:a@x.org;", "no address"),
        ("a@x.org,", "no address"),
        ("a(comment)@x.org", "no address"),
        (f"{'a' * 65}@x.org", "too long"),
        (f"a@{'b.' * 200}org", "too long"),
        ("a" * 990 + "@x.org", "too long"),
        ("a" * 999 + "@x.org", "must have at most 998 characters"),
        ("ja\u200bne@x.org", "U+200B"),
        ("jane@x.org\u202e", "U+202E"),
        ("Jane\u2066 <jane@x.org>", "U+2066"),
        *((f"jane@x.org{each}Bcc: b@y.org", f"U+{ord(each[0]):04X}") for each in BREAKS),
    ],
)
def test_what_is_no_address_or_may_be_two_is_refused(written: str, why: str) -> None:
    """The sentence says what is wrong, and is short."""
    message = complaint(Recipient, written)
    assert message.startswith("one: ")
    assert why in message
    assert len(message) < 400
    with pytest.raises(ValueError):
        recipient(written)


hostile = st.lists(
    st.sampled_from(
        ["a@evil.com", "b@acme.com", '"', "'", "<", ">", ",", ";", ":", " ", "\n", "\r", "\t", "\0", "\u202e", "\u200b",
         "(", ")", "[", "]", "\\", "@", ".", "%40", "%", "mailto:", "?cc=", "&to=", "=?utf-8?q?", "?=", "＠", "。",
         "，", "jane", "x.org", "ü", "xn--", "\ud800"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(hostile | st.text(max_size=60))
@example("a@evil.com, b@acme.com")
@example('"a@evil.com, b" <b@acme.com>')
@example('a@evil.com"@acme.com')
def test_an_address_of_a_stranger_is_one_or_refused(written: str) -> None:
    """What comes out is ASCII, stands in the text alone, and is an address for those who read it anew."""
    try:
        found = recipient(written)
    except ValueError:
        return
    assert found.isascii()
    assert found.count("@") == 1
    assert not {*found} & {*' "<>,;:()[]\\\r\n\t\0'}
    assert recipient(found) == found == validate_email(found, check_deliverability=False).ascii_email
    assert not ("a@evil.com" in written and "b@acme.com" in written)


def test_the_package_that_checks_addresses_is_loaded_by_the_first_address() -> None:
    """It would make every start slower."""
    program = (
        "import sys; from inkbox_mcp.toolkit.mail_fields import recipient\n"
        "print('email_validator' in sys.modules, recipient('a@x.org'), 'dns' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False a@x.org False\n"


@pytest.mark.parametrize(
    "subject",
    ["Hi", "Re: Ünïcödé 日本語", "Family 👨‍👩‍👧 ❤️", "نامه‌ها", "Prix : 5\u202f€", "1 + 1 = 2?", "x" * MAX_SUBJECT],
)
def test_a_subject_is_any_line_that_a_person_can_see(subject: str) -> None:
    """Joiners and styles stay where emoji and scripts need them."""
    assert parse(MailSubject, f" {subject}\r\n") == subject


@pytest.mark.parametrize(
    "subject",
    [
        *(f"Hi{each}Bcc: b@y.org" for each in BREAKS),
        "Hi\u202e",
        "H\u200bi",
        "\U000e0041Hi",
        "Hi \ud83d",
        "=?utf-8?q?Hi=0D=0ABcc:_b?=",
        "",
        " \n",
        "x" * (MAX_SUBJECT + 1),
        5,
    ],
    ids=lambda value: f"{value!a:.30} {len(str(value))}",
)
def test_a_subject_cannot_begin_another_header(subject: object) -> None:
    """Nor hide anything in it."""
    assert complaint(MailSubject, subject).startswith("one: ")


def test_a_body_is_sent_as_it_is() -> None:
    """Blanks and line breaks are a part of it, and so is all that mail may show."""
    body = "  Hello,\r\n\r\n\tJane\n" + "👨‍👩‍👧 \u202b\u2028" + " \n"
    assert parse(MailBody, body) == body
    assert parse(MailBody, "é" * (MAX_BODY // 2)) == "é" * (MAX_BODY // 2)
    assert f"at most {MAX_BODY:,} bytes" in complaint(MailBody, "é" * (MAX_BODY // 2) + "x")


@pytest.mark.parametrize("char", ["\0", "\x08", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\x9b", "\ud83d"])
def test_a_body_has_no_control_characters(char: str) -> None:
    """They are named by their place, so that the model can remove them."""
    assert f"(U+{ord(char):04X} at position 3)" in complaint(MailBody, f"abc{char}")


class Sending(Args):
    """Arguments with a key."""

    never_empty: ClassVar[frozenset[str]] = frozenset({"key"})

    key: IdempotencyKey | None = None
    other: IdempotencyKey | None = None


def test_an_empty_key_is_refused_and_none_is_omitted() -> None:
    """Who sends an empty key believes that it protects; an empty string elsewhere is what strict clients send."""
    assert checked(Sending, "send_thing", {"key": None, "other": ""}).supplied() == {}
    assert checked(Sending, "send_thing", {"key": " a b~!\n"}).supplied() == {"key": "a b~!"}
    for empty in ("", " ", "\n"):
        with pytest.raises(InvalidArguments, match="key: must not be empty; leave it out, and the server makes a key"):
            checked(Sending, "send_thing", {"key": empty})


@pytest.mark.parametrize("key", ["é", "a\nb", "a\tb", "a\0", "\x7f", "x" * 256, "\u200b"], ids=ascii)
def test_a_key_is_printable_ascii(key: str) -> None:
    """It is sent in a header."""
    assert "1 to 255 printable ASCII" in complaint(IdempotencyKey, key)
    assert parse(IdempotencyKey, "x" * 255) == "x" * 255


def url(content: bytes, head: str = "text/csv;name=a.csv") -> str:
    """Write a data: URL."""
    return f"data:{head};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    "source",
    [
        "report.csv",
        "in/report 2026.csv",
        "/home/jane/files/report.csv",
        "日本語.pdf",
        "[draft].pdf",
        "C:\\files\\a.txt",
        url(b"a,b\n"),
        url(bytes(MAX_DATA)),
        url(b""),
    ],
    ids=lambda value: f"{value[:20]} {len(value)}",
)
def test_a_file_is_named_by_a_path_or_brought_in_a_url(source: str) -> None:
    """Where the path leads is not looked at here."""
    assert parse(AttachmentSource, f" {source}\n") == source
    assert parse(list[AttachmentSource], [source, source]) == [source, source]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "1 to 4,096 bytes"),
        ("é" * 2049, "1 to 4,096 bytes"),
        ("a\0b", "U+0000"),
        ("a\nb", "U+000A"),
        ("https://example.com/a.pdf", "not fetched"),
        ("file:///etc/passwd", "not fetched"),
        ("data:text/csv;base64,YQ==", "one name"),
        (url(bytes(MAX_DATA + 1)), "may have 100,000; pass the path"),
        ("data:text/csv;name=a.csv;base64," + "A" * 150_000, "at most 150,000 bytes"),
        (7, "string"),
    ],
    ids=lambda value: f"{value!a:.30} {len(str(value))}",
)
def test_another_source_is_refused(source: object, why: str) -> None:
    """The sentence says what to pass instead."""
    message = complaint(AttachmentSource, source)
    assert message.startswith("one: ")
    assert why in message
    assert len(message) < 400


@asynccontextmanager
async def within(era: str, _: Path) -> AsyncGenerator[Client]:
    """Connect a client to a server in this process."""
    async with Client(server_of(offering(send_letter)), mode=era) as client:
        yield client


@asynccontextmanager
async def over_http(era: str, _: Path) -> AsyncGenerator[Client]:
    """Connect a client over HTTP."""
    async with (
        serve_service(offering(send_letter, http=True)) as origin,
        Client(f"{origin}/mcp", mode=era) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("way", "era"),
    [
        *((way, era) for way in (within, over_http) for era in ("auto", "legacy")),
        pytest.param(extra_stdio, "auto", marks=pytest.mark.slow),
        pytest.param(extra_stdio, "legacy", marks=pytest.mark.slow),
    ],
)
async def test_the_longest_mail_reaches_its_tool_on_every_way(way: Any, era: str, tmp_path: Path) -> None:
    """Two bodies and twenty files of the most bytes; what is longer is explained by the tool."""
    file = url(bytes(MAX_DATA))
    longest = {"text": "x" * MAX_BODY, "html": "é" * (MAX_BODY // 2), "attachments": [file] * 20}
    async with way(era, tmp_path) as client:
        sent = await client.call_tool("send_letter", longest)
        assert (sent.structured_content or {})["characters"] == MAX_BODY + MAX_BODY // 2 + 20 * len(file)
        refused = await client.call_tool("send_letter", {**longest, "text": "é" * MAX_BODY})
        assert refused.is_error
        assert "text: must be at most 200,000 bytes" in text(refused)
