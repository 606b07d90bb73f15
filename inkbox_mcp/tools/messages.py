"""What the tools for messages share: how they are asked for, and how a row shows one.

Source: https://inkbox.ai/docs/api/mail/messages
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, cast

import anyio
from pydantic import BaseModel, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.errors import InkboxError, NotFound
from inkbox_mcp.mail.fence import harmless
from inkbox_mcp.mail.shortening import shortened
from inkbox_mcp.text import one_line
from inkbox_mcp.toolkit.bounds import cut
from inkbox_mcp.toolkit.fields import ResourceID
from inkbox_mcp.toolkit.operation import Also, Result
from inkbox_mcp.toolkit.rows import to_the_second
from inkbox_mcp.toolkit.sent import ID, IDOrNull
from inkbox_mcp.tools.mailboxes import AS_ADDRESS, FIND_MAILBOX, NO_MAILBOX, near_mailbox

# So that no name looks like an address.
_BRACKETS = str.maketrans("<>", "()")

MESSAGES, SEARCH, THREADS = Path("messages"), Path("search"), Path("threads")

MAX_SUBJECT, MAX_SNIPPET = 120, 80
"""Characters in a row."""
MAX_ID, MAX_TIME, MAX_WORD = 64, 40, 20
"""Characters of what the API itself writes."""
PAGE = 100
"""The most messages of a page of the API's list."""
MOST_PAGES = 5
"""The most pages of the API's list that one call looks through."""
AT_ONCE = 5
"""Requests about messages of one call that are under way at once."""

NO_MESSAGE = "This mailbox has no such message. Next: call list_messages to see its messages."

OF_MAILBOX: Mapping[str, str] = {
    **AS_ADDRESS,
    "agent_handle": FIND_MAILBOX,
    "display_name": "to find a mailbox by a name, call list_mailboxes with search",
    "webhook_url": "it belongs to a mailbox, and not to its mail",
    "status": "mail is not found or changed by its status; rows of sent messages show it",
}
"""What models try of other tools where the mail of a mailbox is named."""
_FIND_MESSAGE = "to find a message, call list_messages with email_address and search"
BY_MESSAGE: Mapping[str, str] = {
    **OF_MAILBOX,
    **dict.fromkeys(("id", "message", "uuid"), "pass it as message_id"),
    **dict.fromkeys(("sender", "from", "to", "subject", "search"), _FIND_MESSAGE),
}
"""What they try where a message is named by its id."""

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


def row_of(message: Mapping[str, Any], mailbox: str = "") -> Item:
    """Return what a list shows of a message.

    What a reader expects is left out: that it is read, has no attachments, and was received by this mailbox alone.

    Args:
        message: as the API lists it.
        mailbox: the address of the mailbox. If it is empty or not whole, rows always say who received a message.
    """
    outbound = message.get("direction") == "outbound"
    shown = {
        "id": written(message.get("id"), MAX_ID),
        "thread_id": written(message.get("thread_id"), MAX_ID),
        "from": sender_of(message),
        "to": "" if _is_for_alone(message, mailbox) else recipients_of(message),
        "subject": written(message.get("subject"), MAX_SUBJECT),
        "snippet": written(message.get("snippet"), MAX_SNIPPET),
        "created_at": written(to_the_second(message.get("created_at")), MAX_TIME),
        "unread": is_unread(message),
        "starred": message.get("is_starred") is True,
        "attachments": message.get("has_attachments") is True,
        "status": written(message.get("status"), MAX_WORD) if outbound else "",
        "folder": written(message.get("folder"), MAX_WORD),
    }
    return {name: value for name, value in shown.items() if value}


def rows_of(messages: Iterable[Mapping[str, Any]], mailbox: str = "") -> list[Item]:
    """Return what a list shows of messages, as `row_of` does of one, with shorter texts where a page would be large."""
    return shortened([row_of(message, mailbox) for message in messages], "from", "to", "subject", "snippet")


def id_of(message: Mapping[str, Any]) -> str:
    """Return the id of a message by which the API can be asked for it; empty if it has none."""
    found = message.get("id")
    return found if isinstance(found, str) and len(found) <= MAX_ID else ""


def is_unread(message: Mapping[str, Any]) -> bool:
    """Whether a received message has not been read."""
    return message.get("direction") != "outbound" and message.get("is_read") is False


def sender_of(message: Mapping[str, Any]) -> str:
    """Return the address that a message says it is from, with the name beside it."""
    address, name = written(message.get("from_address"), 200), written(message.get("from_display_name"), 60)
    name = name.translate(_BRACKETS)
    return f"{name} <{address}>" if name and address else name or address


def recipients_of(message: Mapping[str, Any]) -> str:
    """Return the first recipient, and how many others there are."""
    to = [*list_of(message.get("to_addresses")), *list_of(message.get("cc_addresses"))]
    more = f" and {len(to) - 1} more" if len(to) > 1 else ""
    return f"{written(to[0], 200)}{more}" if to else ""


def _is_for_alone(message: Mapping[str, Any], mailbox: str) -> bool:
    """Whether a mailbox received a message that names no other recipient."""
    is_named_whole = "@" in mailbox
    return message.get("direction") == "inbound" and is_named_whole and recipients_of(message) == mailbox.lower()


def list_of(value: object) -> list[object]:
    """Return a list; an empty one for what is none."""
    return cast("list[object]", value) if isinstance(value, list) else []


def written(text: object, length: int) -> str:
    """Return text that a stranger wrote as one line of limited length; other values as text, null as none."""
    return "" if text is None else cut(harmless(one_line(str(text)[: 8 * length])), length)


def is_from(message: Mapping[str, Any], sender: str) -> bool:
    """Whether an address or name of a sender contains a text, in any case."""
    return sender.casefold() in sender_of(message).casefold()


class MessageRow(Result):
    """A message in a list, without what a reader expects; see `row_of`."""

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


async def side_by_side(names: Iterable[str], work: Callable[[str], Awaitable[object]]) -> dict[str, InkboxError]:
    """Do some work for each name, `AT_ONCE` at a time, and return the errors by name."""
    failed: dict[str, InkboxError] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def do(name: str) -> None:
        async with limit:
            try:
                await work(name)
            except InkboxError as error:
                failed[name] = error

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(do, name)
    return failed


async def rows_by_id(api: InkboxAPI, address: str, ids: list[str]) -> dict[str, Item]:
    """Return messages without their bodies, as far as they can be had without marking them read.

    The API may mark a message read when it is asked for. Its list does not, and has the newest messages. For others, an
    update that changes nothing answers with the message; an API that refuses that leaves them out.
    """
    found: dict[str, Item] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        listed = await api.get(messages_of(address).where(limit=PAGE, cursor=cursor), Page)
        found |= {str(item["id"]): item for item in listed.items if item.get("id") in ids}
        cursor = listed.next_cursor
        if not (listed.has_more and cursor) or len(found) == len(ids):
            break

    async def update_nothing(message_id: str) -> None:
        answer = await api.patch(messages_of(address, message_id), {}, Result)
        item = answer.model_dump(exclude_unset=True)
        if id_of(item):
            found[message_id] = item

    await side_by_side([each for each in ids if each not in found], update_nothing)
    return found


async def which_is_missing(api: InkboxAPI, args: Any, error: NotFound) -> str | None:
    """Find out whether the mailbox or the message does not exist."""
    try:
        await api.get(path(MAILBOXES, args.email_address), Result)
    except NotFound:
        return await near_mailbox(api, args, error) or NO_MAILBOX
    return None
