"""Reads RFC 5322 messages, also broken and hostile ones: what cannot be read is refused, nothing else is an error."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email._policybase import Compat32  # the library exports its instances only
from email.message import Message
from typing import Any, cast

from inkbox_mcp.sandbox.mail.headers import (
    UNREADABLE,
    addresses,
    as_utf_8,
    clean,
    decoded,
    header,
    message_ids,
    one_line,
    safe_filename,
)

MAX_MESSAGE_BYTES = 40 * 1024 * 1024
"""Bytes of a message; 25 MB of attachments have 35 MB in Base64."""
MAX_HEADER_BYTES = 256 * 1024
"""Bytes of the headers of a message."""
MAX_LINES = 1_000_000
"""Lines of a message; 25 MB of attachments have 460,000."""
MAX_PARTS = 5_000
"""Parts of a message, at all levels."""
MAX_DEPTH = 50
"""Levels of parts within parts."""
_MAX_PARAMETERS = 2_048
_MAX_BOUNDARY_LINES = 20_000
# The parser compares each line with the boundaries of all parts that are open.
_MAX_COMPARISONS = 20_000_000
# Not text encodings, or so slow that a message could stop the sandbox.
_REFUSED_CHARSETS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}


class Unreadable(ValueError):
    """The message cannot be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a message that is not its body.

    Attributes:
        filename: Without directories and control characters.
        content_type: Such as `image/png`.
        content: Decoded.
        content_id: By which the HTML body shows it, without angle brackets.
    """

    filename: str
    content_type: str
    content: bytes
    content_id: str | None = None

    def described(self) -> dict[str, Any]:
        """Return the members of `attachment_metadata`."""
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": len(self.content),
            "content_id": self.content_id,
            "is_inline": self.content_id is not None,
        }


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a message says. Ids have angle brackets, addresses no names."""

    message_id: str | None
    from_address: str | None
    from_display_name: str | None
    to: list[str]
    cc: list[str]
    bcc: list[str]
    reply_to: list[str]
    subject: str | None
    in_reply_to: str | None
    references: list[str]
    is_spam: bool
    body_text: str | None
    body_html: str | None
    attachments: list[Attachment]


class _Capped(Compat32):
    """Cuts the headers that describe a part: reading them takes time that grows with the square of their length."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return name and value of a header."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MAX_PARAMETERS] if name.lower().startswith("content-") else value

    def header_fetch_parse(self, name: str, value: str) -> Any:
        """Return the value of a header, in which those that describe a part keep text in raw UTF-8."""
        if name.lower() in {"content-disposition", "content-type"}:
            return as_utf_8(value)
        return super().header_fetch_parse(name, value)


_POLICY = _Capped()


def parse(raw: bytes) -> Parsed:
    """Read a message.

    Raises:
        Unreadable: It is too large, or has too many lines, parts or levels.
    """
    message = _tree(raw)
    bodies: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    attachments: list[Attachment] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        if _is_body(part, kind):
            bodies[kind].append(_text(part))
        else:
            attachments.append(_attachment(part, kind, len(attachments) + 1))
    ((name, address), *_) = [*addresses(message, "From"), ("", "")]
    return Parsed(
        message_id=next(iter(message_ids(header(message, "Message-ID"))), None),
        from_address=address or None,
        from_display_name=name or None,
        to=[address for _, address in addresses(message, "To")],
        cc=[address for _, address in addresses(message, "Cc")],
        bcc=[address for _, address in addresses(message, "Bcc")],
        reply_to=[address for _, address in addresses(message, "Reply-To")],
        subject=header(message, "Subject"),
        in_reply_to=next(iter(message_ids(header(message, "In-Reply-To"))), None),
        references=message_ids(header(message, "References")),
        is_spam=(header(message, "X-Spam-Flag") or "").lower() == "yes",
        body_text="\n".join(bodies["text/plain"]) if bodies["text/plain"] else None,
        body_html="\n".join(bodies["text/html"]) if bodies["text/html"] else None,
        attachments=attachments,
    )


def is_message(content: bytes) -> bool:
    """Whether a file can be a `message/rfc822` part: read as a message and written again, it is the same."""
    try:
        return _tree(content).as_bytes() == content.replace(b"\r\n", b"\n")
    except (Unreadable, RecursionError, *UNREADABLE):
        return False


def _tree(raw: bytes) -> Message:
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Unreadable(f"The message is larger than {MAX_MESSAGE_BYTES} bytes")
    lines = raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n")
    if lines > MAX_LINES:
        raise Unreadable(f"The message has more than {MAX_LINES} lines")
    end = re.search(rb"\A\r?\n|\r?\n\r?\n|\r\r", raw)
    if (end.start() if end else len(raw)) > MAX_HEADER_BYTES:
        raise Unreadable(f"The headers of the message are longer than {MAX_HEADER_BYTES} bytes")
    # With the forms of RFC 2231, and all that the parser strips; the bare word stands in ordinary texts.
    open_parts = len(re.findall(rb"boundary[\x00-\x20*0-9\x80-\xff]*=", raw, re.IGNORECASE))
    blocks = raw.count(b"\n\n") + raw.count(b"\n\r\n") if b"delivery-status" in raw.lower() else 0
    if blocks > _MAX_BOUNDARY_LINES:
        raise Unreadable("The message has too many parts for its length")
    if open_parts and (raw.count(b"\n--") > _MAX_BOUNDARY_LINES or open_parts * lines > _MAX_COMPARISONS):
        raise Unreadable("The message has too many parts for its length")
    try:
        return message_from_bytes(raw, policy=_POLICY)
    except RecursionError:
        raise Unreadable(f"The parts of the message are nested more than {MAX_DEPTH} levels deep") from None
    except UNREADABLE as error:
        raise Unreadable(f"The message cannot be read: {one_line(str(error))[:200]}") from None


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that contain no parts; a message in the message is one part."""
    stack: list[tuple[Message, int]] = [(message, 0)]
    seen = 0
    while stack:
        part, depth = stack.pop()
        seen += 1
        if seen > MAX_PARTS:
            raise Unreadable(f"The message has more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise Unreadable(f"The parts of the message are nested more than {MAX_DEPTH} levels deep")
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            parts = cast("list[Message]", part.get_payload())
            stack += [(each, depth + 1) for each in reversed(parts)]
        else:
            yield part


def _is_body(part: Message, kind: str) -> bool:
    if kind not in {"text/plain", "text/html"} or part.is_multipart():
        return False
    return _disposition(part) != "attachment" and not _filename(part)


def _disposition(part: Message) -> str | None:
    try:
        return part.get_content_disposition()
    except UNREADABLE:
        return None


def _filename(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except UNREADABLE:
        return None
    return name and decoded(name)


def _attachment(part: Message, kind: str, number: int) -> Attachment:
    content_id = (header(part, "Content-ID") or "").strip("<> ")[:255] or None
    inline = _disposition(part) != "attachment" and kind.startswith("image/")
    suffix = ".eml" if kind == "message/rfc822" else ""
    name = safe_filename(_filename(part), f"attachment-{number}{suffix}")
    shown = kind if re.fullmatch(r"[!-~]{1,200}", kind) else "application/octet-stream"
    return Attachment(name, shown, _content(part), content_id if inline else None)


def _content(part: Message) -> bytes:
    try:
        if part.is_multipart():
            inner = cast("list[Message]", part.get_payload())
            return b"".join(each.as_bytes() for each in inner)
        payload = cast("object", part.get_payload(decode=True))
    except UNREADABLE:
        return b""
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    content = _content(part)
    try:
        charset = codecs.lookup(part.get_content_charset("utf-8")).name
        if charset in _REFUSED_CHARSETS:
            charset = "utf-8"
        text = content.decode(charset, "replace")
    except UNREADABLE:
        text = content.decode("utf-8", "replace")
    return clean(text.replace("\r\n", "\n"))
