"""Reads the headers of messages, also broken and hostile ones, without error."""

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Any, cast

MAX_ADDRESSES = 1_000
"""Addresses that are kept of one header."""

UNREADABLE = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What the standard library raises for messages that it cannot read."""

_MAX_HEADER_VALUE = 32_768
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(text: str) -> str:
    """Return text that the database and JSON can hold: without NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def as_utf_8(text: str) -> str:
    """Return what the library read of a header, with the bytes that are not ASCII read as UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def one_line(text: str) -> str:
    """Return the text of a header without control characters and line ends."""
    return clean(_CONTROLS.sub(" ", text)).strip()


def is_address(text: str) -> bool:
    """Whether a text is kept as an address: with an @, on one line, without what JSON cannot hold."""
    return "@" in text and len(text) <= 320 and one_line(text) == text


def message_ids(text: str | None) -> list[str]:
    """Return the Message-IDs in a text, each with its angle brackets, at most the last hundred."""
    return _MESSAGE_ID.findall(text or "")[-100:]


def safe_filename(name: str | None, fallback: str) -> str:
    """Return the last part of a file's name, on one line, at most 255 characters."""
    last = re.split(r"[/\\]", one_line(name or ""))[-1].strip()
    return last[-255:] if last.strip(".") else fallback


def header(message: Message, name: str) -> str | None:
    """Return the first header of a name as one line of text; None if it is absent or empty."""
    return one_line(decoded(_raw_header(message, name)))[:_MAX_HEADER_VALUE] or None


def addresses(message: Message, name: str) -> list[tuple[str, str]]:
    """Return the names and the addresses of a header."""
    try:
        found = getaddresses([_raw_header(message, name)])
    except UNREADABLE:
        return []
    # Names are decoded after the list is split: a name may contain an address.
    lines = [(one_line(decoded(display)), one_line(address)) for display, address in found[:MAX_ADDRESSES]]
    return [(display[:255], address) for display, address in lines if is_address(address)]


def _raw_header(message: Message, name: str) -> str:
    """Return a header as it came. Not by the library's own readers, whose time grows with the square of its length."""
    raw_items: Iterator[tuple[str, str]] = cast("Any", message).raw_items()
    text = next((value for key, value in raw_items if key.lower() == name.lower()), "")[:_MAX_HEADER_VALUE]
    unfolded = re.sub(r"[\r\n]+", "", text)
    return as_utf_8(unfolded)


def decoded(text: str) -> str:
    """Return text without encoded words."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except UNREADABLE:
        return text
