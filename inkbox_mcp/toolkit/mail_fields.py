"""The argument types of tools that send mail; see `inkbox_mcp.toolkit.fields` for the rules of all types."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from inkbox_mcp.toolkit.bounds import MaxBytes
from inkbox_mcp.toolkit.data_urls import MAX_DATA_URL, data_file, is_data_url
from inkbox_mcp.toolkit.forms import trimmed
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.plain_text import shown_line, without_controls, without_encoded_words
from inkbox_mcp.toolkit.recipients import recipient

MAX_SUBJECT = 998
"""Characters of a subject, as of every line of mail (RFC 5322)."""

MAX_BODY = 200_000
"""Bytes of a body in UTF-8."""

MAX_PATH = 4096
"""Bytes of a path, as systems take it."""

# Without the marks of a text with several lines. U+0085 is a line break that mail does not have.
_NOT_IN_BODY = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PRINTABLE = re.compile("[\x20-\x7e]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_Trimmed: Final = BeforeValidator(trimmed)


def _subject(text: str) -> str:
    """Refuse what would end the header, or be shown in another form than the one that was sent."""
    return without_encoded_words(shown_line(text))


def _body(text: str) -> str:
    if found := _NOT_IN_BODY.search(text):
        raise ValueError(
            "control characters other than line breaks and tabs are not allowed "
            f"(U+{ord(found[0]):04X} at position {found.start()}); write it without them"
        )
    return text


def _idempotency_key(text: str) -> str:
    if not text:
        raise ValueError("must not be empty; leave it out, and the server makes a key of what is sent")
    if len(text) > 255 or not _PRINTABLE.fullmatch(text):
        raise ValueError('must have 1 to 255 printable ASCII characters; write a key such as "invoice-2026-0042"')
    return text


def _attachment_source(text: str) -> str:
    if is_data_url(text):
        data_file(text)
    elif _SCHEME.match(text):
        raise ValueError("must be a path or a data: URL; other URLs are not fetched, so pass the path of the file")
    elif not text or len(text.encode()) > MAX_PATH:
        raise ValueError(f"must have 1 to {MAX_PATH:,} bytes; only a data: URL may be longer")
    else:
        without_controls(text)
    return text


Recipient = Annotated[str, Mark.RECIPIENT, Field(min_length=1), _Trimmed, AfterValidator(recipient)]
"""The e-mail address of anybody, as it is sent. A name beside the address is left out."""

MailSubject = Annotated[
    str, Mark.PLAIN, Field(min_length=1, max_length=MAX_SUBJECT), _Trimmed, AfterValidator(_subject)
]
"""The subject of a mail: one line. It cannot begin another header."""

MailBody = Annotated[str, Mark.PLAIN, MaxBytes(MAX_BODY), AfterValidator(_body)]
"""The text or HTML of a mail, as it is: nothing is trimmed."""

IdempotencyKey = Annotated[str, Mark.PLAIN, _Trimmed, AfterValidator(_idempotency_key)]
"""A name for one sending. Put the argument into `Args.never_empty`: who sends an empty key expects it to be used."""

AttachmentSource = Annotated[str, Mark.PLAIN, MaxBytes(MAX_DATA_URL), _Trimmed, AfterValidator(_attachment_source)]
"""A path in the folder of attachments, or a `data:` URL; see `inkbox_mcp.toolkit.attached_files`."""
