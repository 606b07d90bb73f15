"""The argument types that tools share, with their rules and error messages.

Each is a `str` or `int`, checked so that the value can be put into a URL path, a mail header or a JSON body without
breaking out of it. Rules that JSON Schema can express are in the annotation. The others are functions, whose messages
are for the model that sent the value. A type's `Mark` says what the text names, for the operator's limits.
"""

import re
import unicodedata
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from inkbox_mcp.text import MAX_URL, quoted
from inkbox_mcp.toolkit.addresses import address_in
from inkbox_mcp.toolkit.forms import Separable, boolean, trimmed, whole_number
from inkbox_mcp.toolkit.handles import existing_handle, new_handle
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.paging import decode_cursor
from inkbox_mcp.toolkit.plain_text import plain_line, refuse_at, shown_line, without_controls, without_encoded_words
from inkbox_mcp.toolkit.webhook_guard import NO_WEBHOOK, webhook_url

_LOCAL_PART = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_ID = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")

# An address as mail programs find it in a text, also with spaces around the @ (RFC 5322); not "@acme", "Jane (@jane)"
# or "Sales @ Acme".
_ADDRESS = re.compile(r"[^\s(\[{<,;:/](@\s*[^\s@]|\s+@\s*[^\s@]+[.\u3002]\w)")
# Brackets that look like "<" and ">". A name with an @ and such a bracket looks like an address.
_BRACKETS = re.compile("[<>\u02c2\u02c3\u1433\u1438\u2039\u203a\u3008-\u300b\u00ab\u00bb\u27e8-\u27eb\u276c-\u2771]")

_SPACES = frozenset(" \u3000")  # of Latin and of East Asian writing
_NOTHING = frozenset({"false", "nil", "null", "undefined", "unsubscribe"})  # said for `NO_WEBHOOK`
LIST_ITEM_LENGTH = 100


def _display_name(text: str) -> str:
    """Refuse hidden characters, and text that makes a mail program show another sender."""
    shown_line(text)
    refuse_at(text, next((at for at, char in enumerate(text) if char.isspace() and char not in _SPACES), None))
    if not any(unicodedata.category(char)[0] in "LNPS" for char in text):
        raise ValueError("must have a letter, a digit or a sign that can be seen")
    plain = unicodedata.normalize("NFKC", text)  # people read full-width characters like normal ones
    if _ADDRESS.search(plain) or ("@" in plain and _BRACKETS.search(plain)):
        raise ValueError(
            "must not contain an email address, because people would take it for the sender's; write the name alone"
        )
    return without_encoded_words(text)


def _list_item(text: str) -> str:
    if not 1 <= len(text) <= LIST_ITEM_LENGTH:
        raise ValueError(f"must have 1 to {LIST_ITEM_LENGTH} characters")
    return text


def _local_part(text: str) -> str:
    if "@" in text:
        local_part = quoted(text.partition("@")[0], 64)
        raise ValueError(f"must be only the part before the @, here {local_part}; Inkbox adds the domain")
    if not _LOCAL_PART.fullmatch(text):
        raise ValueError('must be letters, digits, "_", "+", "-", and single dots between them, such as "sales.team"')
    return text


def _mailbox_address(text: str) -> str:
    local_part, at, domain = text.partition("@")
    if not _LOCAL_PART.fullmatch(local_part) or (at and not _DOMAIN.fullmatch(domain)):
        raise ValueError(
            'must be a mailbox address such as "sales.team@inkboxmail.com", or its part before the @ ("sales.team")'
        )
    return text


def _uuid(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError("must be a UUID such as 123e4567-e89b-42d3-a456-426614174000")
    return str(UUID(text))


def _cursor(text: str) -> str:
    decode_cursor(text)
    return text


def _webhook_url_or_none(text: str) -> str:
    word = text.lower()
    if word in _NOTHING:
        raise ValueError(f'must be an https URL or, to unsubscribe, "{NO_WEBHOOK}"; "{word}" is neither')
    return word if word == NO_WEBHOOK else webhook_url(text)


def _one_address(value: object) -> object:
    """Take the address out of the notations of mail programs, with nothing hidden in what is left out."""
    return address_in(plain_line(value)) if isinstance(value, str) else value


_Trimmed: Final = BeforeValidator(trimmed)
"""For types of one line. Blanks around it are not meant; inside it they are refused."""

Text = Annotated[str, Mark.PLAIN, _Trimmed, AfterValidator(plain_line)]
"""One line of text that the operator's limits do not concern."""

ListItem = Annotated[Text, Separable.BY_COMMAS, AfterValidator(_list_item)]
"""One line of a list, of at most `LIST_ITEM_LENGTH` characters, such as the name of an event."""

_AnyHandle = Annotated[str, Field(min_length=1, max_length=255), _Trimmed, AfterValidator(plain_line)]
_Handle = Annotated[_AnyHandle, AfterValidator(existing_handle)]

AgentHandle = Annotated[_Handle, Mark.HANDLE]
"""The handle of an existing agent identity, without a leading @."""

NewAgentHandle = Annotated[_AnyHandle, Mark.NEW_HANDLE, AfterValidator(new_handle)]
"""The handle of an agent identity that the call creates."""

NewMailboxOwner = Annotated[_Handle, Mark.NEW_OWNER]
"""The handle of an existing agent identity for which the call creates a mailbox."""

LocalPart = Annotated[
    str,
    Mark.NEW_LOCAL_PART,
    Field(min_length=1, max_length=64),
    _Trimmed,
    AfterValidator(plain_line),
    AfterValidator(_local_part),
]
"""The part before the @ of a mailbox that the call creates; None for a random one."""

MailboxAddress = Annotated[
    str,
    Mark.ADDRESS,
    Field(min_length=1, max_length=320),
    BeforeValidator(_one_address),
    _Trimmed,
    AfterValidator(_mailbox_address),
]
"""The full address of an existing mailbox, or its local part. A name beside the address is left out."""

DisplayName = Annotated[str, Mark.PLAIN, Field(max_length=255), _Trimmed, AfterValidator(_display_name)]
"""The sender name people see."""

_URL = Annotated[str, Mark.WEBHOOK_URL, Field(max_length=MAX_URL), _Trimmed, AfterValidator(plain_line)]

WebhookURL = Annotated[_URL, AfterValidator(webhook_url)]
"""An https URL on the public internet, see `inkbox_mcp.toolkit.webhook_guard`."""

WebhookURLOrNone = Annotated[_URL, AfterValidator(_webhook_url_or_none)]
"""A `WebhookURL`, or `NO_WEBHOOK` for the word "none" in any case, which unsubscribes.

In an argument `WebhookURLOrNone | None` that is `nullable`, null stays None, so a tool can tell the two apart.
"""

WholeNumber = Annotated[int, BeforeValidator(whole_number)]
"""An integer; not `true` or 1.5."""

Boolean = Annotated[bool, BeforeValidator(boolean)]
"""True or false; not 1 or 0."""

WithMailbox = Annotated[Boolean, Mark.WITH_MAILBOX]
"""Whether the call creates a mailbox. Without such an argument, a tool with a `LocalPart` always does."""

ResourceID = Annotated[Text, Separable.BY_COMMAS, AfterValidator(_uuid)]
"""A UUID."""

FileName = Annotated[str, Mark.PLAIN, Field(min_length=1, max_length=255), _Trimmed, AfterValidator(without_controls)]
"""The name of a file as a mail has it. Characters that are only invisible may be a part of it."""

PageSize = Annotated[WholeNumber, Field(ge=1, le=200)]
"""The number of items of a page."""

SearchText = Annotated[str, Mark.PLAIN, Field(max_length=320), _Trimmed, AfterValidator(plain_line)]
"""Text to look for; empty finds everything."""

Cursor = Annotated[Text, AfterValidator(_cursor)]
"""The cursor of a page."""
