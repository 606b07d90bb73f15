"""Reads RFC 5322 messages, also broken and hostile ones: what cannot be read is refused, nothing else is an error."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email._policybase import Compat32  # the library exports its instances only
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Any, cast

MAX_MESSAGE_BYTES = 30 * 1024 * 1024
"""Bytes of a message from outside."""
MAX_HEADER_BYTES = 256 * 1024
"""Bytes of the headers of a message."""
MAX_LINES = 1_000_000
"""Lines of a message; 30 MB of attachments have 400,000."""
MAX_PARTS = 5_000
"""Parts of a message, at all levels."""
MAX_DEPTH = 50
"""Levels of parts within parts."""
MAX_ADDRESSES = 1_000
"""Addresses that are kept of one header."""

_MAX_HEADER_VALUE = 32_768
_MAX_PARAMETERS = 2_048
_MAX_BOUNDARY_LINES = 20_000
# The parser compares each line with the boundaries of all parts that are open.
_MAX_COMPARISONS = 20_000_000
_UNREADABLE = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
# Not text encodings, or so slow that a message could stop the sandbox.
_REFUSED_CHARSETS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


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


def clean(text: str) -> str:
    """Return text that the database and JSON can hold: without NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def one_line(text: str) -> str:
    """Return the text of a header without control characters and line ends."""
    return clean(_CONTROLS.sub(" ", text)).strip()


def message_ids(text: str | None) -> list[str]:
    """Return the Message-IDs in a text, each with its angle brackets, at most the last hundred."""
    return _MESSAGE_ID.findall(text or "")[-100:]


def safe_filename(name: str | None, fallback: str) -> str:
    """Return the last part of a file's name, on one line, at most 255 characters."""
    last = re.split(r"[/\\]", one_line(name or ""))[-1].strip()
    return last[-255:] if last.strip(".") else fallback


def header(message: Message, name: str) -> str | None:
    """Return the first header of a name as one line of text; None if it is absent or empty."""
    return one_line(_decoded(_raw_header(message, name)))[:_MAX_HEADER_VALUE] or None


def addresses(message: Message, name: str) -> list[tuple[str, str]]:
    """Return the names and the addresses of a header."""
    try:
        found = getaddresses([_raw_header(message, name)])
    except _UNREADABLE:
        return []
    # Names are decoded after the list is split: a name may contain an address.
    lines = [(one_line(_decoded(display)), one_line(address)) for display, address in found[:MAX_ADDRESSES]]
    return [(display[:255], address) for display, address in lines if "@" in address and len(address) <= 320]


def _raw_header(message: Message, name: str) -> str:
    """Return a header as it came. Not by the library's own readers, whose time grows with the square of its length."""
    raw_items: Iterator[tuple[str, str]] = cast("Any", message).raw_items()
    text = next((value for key, value in raw_items if key.lower() == name.lower()), "")[:_MAX_HEADER_VALUE]
    unfolded = re.sub(r"[\r\n]+", "", text)
    return unfolded.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _decoded(text: str) -> str:
    """Return text without encoded words."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except _UNREADABLE:
        return text


def _tree(raw: bytes) -> Message:
    if len(raw) > MAX_MESSAGE_BYTES * 4 // 3:
        raise Unreadable(f"The message is larger than {MAX_MESSAGE_BYTES} bytes")
    lines = raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n")
    if lines > MAX_LINES:
        raise Unreadable(f"The message has more than {MAX_LINES} lines")
    end = re.search(rb"\A\r?\n|\r?\n\r?\n|\r\r", raw)
    if (end.start() if end else len(raw)) > MAX_HEADER_BYTES:
        raise Unreadable(f"The headers of the message are longer than {MAX_HEADER_BYTES} bytes")
    open_parts = len(re.findall(rb"boundary", raw, re.IGNORECASE))
    blocks = raw.count(b"\n\n") + raw.count(b"\n\r\n") if b"delivery-status" in raw.lower() else 0
    if blocks > _MAX_BOUNDARY_LINES:
        raise Unreadable("The message has too many parts for its length")
    if open_parts and (raw.count(b"\n--") > _MAX_BOUNDARY_LINES or open_parts * lines > _MAX_COMPARISONS):
        raise Unreadable("The message has too many parts for its length")
    try:
        return message_from_bytes(raw, policy=_POLICY)
    except RecursionError:
        raise Unreadable(f"The parts of the message are nested more than {MAX_DEPTH} levels deep") from None
    except _UNREADABLE as error:
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
    except _UNREADABLE:
        return None


def _filename(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except _UNREADABLE:
        return None
    return name and _decoded(name)


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
    except _UNREADABLE:
        return b""
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    content = _content(part)
    try:
        charset = codecs.lookup(part.get_content_charset("utf-8")).name
        if charset in _REFUSED_CHARSETS:
            charset = "utf-8"
        text = content.decode(charset, "replace")
    except _UNREADABLE:
        text = content.decode("utf-8", "replace")
    return clean(text.replace("\r\n", "\n"))
