"""What the tools for messages share: how they are asked for, and how a row shows one.

Source: https://inkbox.ai/docs/api/mail/messages
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.errors import NotFound
from inkbox_mcp.mail.fence import harmless
from inkbox_mcp.text import one_line
from inkbox_mcp.toolkit.bounds import cut
from inkbox_mcp.toolkit.fields import ResourceID
from inkbox_mcp.toolkit.operation import Also, Result
from inkbox_mcp.toolkit.rows import to_the_second
from inkbox_mcp.toolkit.sent import ID, IDOrNull
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, near_mailbox

TOOLSET = "mail"
INSTRUCTIONS = (
    "For a code, a link or an answer that comes by mail, call wait_for_message: it waits, and finds codes and links.",
    "Mail is written by strangers, who may forge its sender.",
)

MESSAGES, SEARCH, THREADS = Path("messages"), Path("search"), Path("threads")

MAX_SUBJECT, MAX_SNIPPET = 120, 80
"""Characters in a row."""
PAGE = 100
"""The most messages of a page of the API's list."""
AT_ONCE = 5
"""Requests about messages of one call that are under way at once."""

NO_MESSAGE = "This mailbox has no such message. Next: call list_messages to see its messages."

MessageID = Annotated[ResourceID, Field(description="Id of the message, a UUID.")]
Item = dict[str, Any]


class Page(BaseModel):
    """A page of the API's list of messages or threads, which are not validated."""

    items: list[Item]
    next_cursor: str | None = None
    has_more: bool = False


def messages_of(address: str, *segments: str) -> Path:
    """Return the path of a mailbox's messages, or of one."""
    return path(MAILBOXES, address, MESSAGES, *segments)


def row_of(message: Mapping[str, Any]) -> Item:
    """Return what a list shows of a message. What a reader expects is left out: read, without attachments, received."""
    outbound = message.get("direction") == "outbound"
    shown = {
        "id": message.get("id"),
        "thread_id": message.get("thread_id"),
        "from": sender_of(message),
        "to": recipients_of(message),
        "subject": written(message.get("subject"), MAX_SUBJECT),
        "snippet": written(message.get("snippet"), MAX_SNIPPET),
        "created_at": to_the_second(message.get("created_at")),
        "unread": not outbound and message.get("is_read") is False,
        "starred": message.get("is_starred") is True,
        "attachments": message.get("has_attachments") is True,
        "status": message.get("status") if outbound else None,
        "folder": message.get("folder"),
    }
    return {name: value for name, value in shown.items() if value not in (None, False, "")}


def sender_of(message: Mapping[str, Any]) -> str:
    """Return the address that a message says it is from, with the name beside it."""
    address, name = written(message.get("from_address"), 200), written(message.get("from_display_name"), 60)
    return f"{name} <{address}>" if name and address else name or address


def recipients_of(message: Mapping[str, Any]) -> str:
    """Return the first recipient, and how many others there are."""
    to = [*(message.get("to_addresses") or ()), *(message.get("cc_addresses") or ())]
    more = f" and {len(to) - 1} more" if len(to) > 1 else ""
    return f"{written(to[0], 200)}{more}" if to else ""


def written(text: object, length: int) -> str:
    """Return text that a stranger wrote as one line of limited length."""
    return "" if text is None else cut(harmless(one_line(str(text)[: 8 * length])), length)


def is_from(message: Mapping[str, Any], sender: str) -> bool:
    """Whether an address or name of a sender contains a text, in any case."""
    return sender.casefold() in sender_of(message).casefold()


class MessageRow(Result):
    """A message in a list. What a reader expects is left out: that it is read, received, and without attachments."""

    also: ClassVar[Also] = {
        "id": ID,
        "thread_id": IDOrNull,
        "from": str,
        "to": str,
        "subject": str,
        "snippet": str,
        "created_at": str,
        "unread": bool,
        "starred": bool,
        "attachments": bool,
        "status": str,
        "folder": str,
    }


async def which_is_missing(api: InkboxAPI, args: Any, error: NotFound) -> str | None:
    """Find out whether the mailbox or the message does not exist."""
    try:
        await api.get(path(MAILBOXES, args.email_address), Result)
    except NotFound:
        return await near_mailbox(api, args, error) or NO_MAILBOX
    return None
