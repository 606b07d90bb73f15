"""Writes RFC 5322 messages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from uuid import uuid4

from inkbox_mcp.sandbox.mail.parsing import Attachment, is_message
from inkbox_mcp.sandbox.rows import SENDING_DOMAIN


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be written.

    Attributes:
        sender: The address of its author.
        sender_name: The author's name, or None.
        to: Addresses; so are `cc` and `reply_to`. Those of Bcc are not part of a message.
        wrapped: A message that is attached as it is.
        in_reply_to: The Message-ID of the message that is answered, with angle brackets.
        references: The Message-IDs of the messages before it in its thread.
    """

    sender: str
    sender_name: str | None
    to: Sequence[str]
    subject: str
    text: str | None = None
    html: str | None = None
    cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    attachments: Sequence[Attachment] = ()
    wrapped: bytes | None = None
    in_reply_to: str | None = None
    references: Sequence[str] = ()
    message_id: str = field(default_factory=lambda: new_message_id())


def new_message_id() -> str:
    """Return a Message-ID that nobody else has."""
    return f"<{uuid4()}@{SENDING_DOMAIN}>"


def compose(letter: Letter) -> bytes:
    """Write a message with lines that end in CRLF."""
    message = EmailMessage(policy=policy.SMTP)
    _write_headers(message, letter)
    inline = [each for each in letter.attachments if each.content_id]
    if letter.text is not None or letter.html is None:
        message.set_content(letter.text or "", cte="base64")
    if letter.html is not None:
        if letter.text is None:
            message.set_content(letter.html, subtype="html", cte="base64")
        else:
            message.add_alternative(letter.html, subtype="html", cte="base64")
        _add_inline(message, inline)
    places: dict[bytes, bytes] = {}
    for each in letter.attachments:
        if each.content_type == "message/rfc822" and is_message(each.content):
            places[_make_place(message, each.filename)] = re.sub(rb"\r?\n", b"\r\n", each.content)
        elif each not in inline or letter.html is None:
            _add(message, each)
    if letter.wrapped is not None:
        places[_make_place(message, "forwarded.eml")] = letter.wrapped
    written = message.as_bytes()
    for place, content in places.items():
        written = written.replace(place, content)
    return written


def _write_headers(message: EmailMessage, letter: Letter) -> None:
    message["From"] = _named(letter.sender_name, letter.sender)
    for name, values in (("To", letter.to), ("Cc", letter.cc), ("Reply-To", letter.reply_to)):
        if values:
            message[name] = ", ".join(values)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = letter.message_id
    if letter.in_reply_to:
        message["In-Reply-To"] = letter.in_reply_to
    if letter.references:
        message["References"] = " ".join(letter.references[-50:])


def _named(name: str | None, address: str) -> Address | str:
    try:
        return Address(re.sub(r"[\x00-\x1f\x7f]+", " ", name or ""), addr_spec=address)
    except (ValueError, IndexError):
        return address


def _add_inline(message: EmailMessage, attachments: Sequence[Attachment]) -> None:
    body = message.get_body(("html",))
    if not isinstance(body, EmailMessage):
        return
    for each in attachments:
        main, _, sub = each.content_type.partition("/")
        body.add_related(
            each.content, main, sub, cid=f"<{each.content_id}>", filename=each.filename, disposition="inline"
        )


def _add(message: EmailMessage, attachment: Attachment) -> None:
    main, _, sub = attachment.content_type.partition("/")
    if main in {"message", "multipart"}:  # these are not written in Base64
        main, sub = "application", "octet-stream"
    message.add_attachment(attachment.content, main, sub, filename=attachment.filename)


def _make_place(message: EmailMessage, filename: str) -> bytes:
    """Attach a message that is a placeholder, because the library would change or refuse what it did not write."""
    place = uuid4().hex
    part = EmailMessage(policy=policy.SMTP)
    part["Content-Type"] = "message/rfc822"
    part.add_header("Content-Disposition", "attachment", filename=filename)
    part.set_payload(place)
    if message.get_content_type() != "multipart/mixed":
        message.make_mixed()
    message.attach(part)
    return place.encode()
