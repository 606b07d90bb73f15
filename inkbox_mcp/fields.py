"""The argument types that tools share: format, limits and what to say when they are broken.

Each is an ordinary `str` or `int` for pydantic, checked so that a value can be put into a URL path, a mail header or
a JSON body without leaving its place. The rules that JSON Schema can carry are in the annotation; the others are
functions, because a model reads their sentence when it got the value wrong.
"""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field

from inkbox_mcp.pages import decode_cursor
from inkbox_mcp.webhooks import webhook_url

_LOCAL_PART = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_NOT_IN_A_HANDLE = re.compile(r"[\s/\\?#%@]")
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _one_line(text: str) -> str:
    """Refuse control characters, line breaks and lone surrogates: no mail header or log line can be split by them."""
    if found := _NOT_IN_A_LINE.search(text):
        raise ValueError(
            f"control characters and line breaks are not allowed (U+{ord(found[0]):04X} at position {found.start()})"
        )
    return text


def _handle(text: str) -> str:
    handle = text.removeprefix("@")
    if not handle or _NOT_IN_A_HANDLE.search(handle) or handle in {".", ".."} or ".." in handle:
        if re.fullmatch(r"[^@\s]+@[^@\s]+", handle):
            raise ValueError('must be a handle such as "sales-agent", not an address; list_identities shows both')
        raise ValueError(
            'must be a handle such as "sales-agent", without spaces, "@", "/", "\\", "?", "#", "%" or ".."'
        )
    return handle


def _local_part(text: str) -> str:
    if "@" in text:
        raise ValueError(f'must be only the part before the @, here "{text.partition("@")[0]}"; Inkbox adds the domain')
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
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("must be a UUID such as 123e4567-e89b-42d3-a456-426614174000") from None


def _cursor(text: str) -> str:
    decode_cursor(text)
    return text


def _whole_number(value: object) -> object:
    """Take 5, 5.0 and "5" alike, as models send them; pydantic refuses what is left."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _boolean(value: object) -> object:
    """Take true and "true" alike, as models send them; pydantic refuses what is left."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_one_line)]
"""One line of text."""

AgentHandle = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_line), AfterValidator(_handle)]
"""The handle of an agent identity, without its leading @."""

LocalPart = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line), AfterValidator(_local_part)]
"""The part of an address before the @."""

MailboxAddress = Annotated[str, Field(min_length=1, max_length=320), AfterValidator(_mailbox_address)]
"""A mailbox's full address, or its local part."""

DisplayName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_line)]
"""The sender name people see."""

WebhookURL = Annotated[str, Field(max_length=2048), AfterValidator(_one_line), AfterValidator(webhook_url)]
"""An https URL on the public internet, see `inkbox_mcp.webhooks`."""

WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
"""An integer; `true` and 1.5 are none."""

Boolean = Annotated[bool, BeforeValidator(_boolean)]
"""True or false; 1 and 0 are neither."""

ResourceID = Annotated[str, AfterValidator(_uuid)]
"""A UUID."""

PageSize = Annotated[WholeNumber, Field(ge=1, le=200)]
"""How many items one page of a list holds."""

SearchText = Annotated[str, Field(max_length=320), AfterValidator(_one_line)]
"""Text to look for; empty finds everything."""

Cursor = Annotated[Text, AfterValidator(_cursor)]
"""Where the next page of a list begins."""
