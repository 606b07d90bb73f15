"""What the tools for threads share: a thread as the API returns it, and its newest texts.

Source: https://inkbox.ai/docs/api/mail/threads
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field
from pydantic_core import to_json

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import InkboxError, NotFound
from inkbox_mcp.mail.positions import moment
from inkbox_mcp.toolkit.fields import Cursor, ResourceID, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.paging import page
from inkbox_mcp.toolkit.sent import ID
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import (
    AT_ONCE,
    MAX_SUBJECT,
    MAX_WORD,
    OF_MAILBOX,
    THREADS,
    Item,
    Page,
    id_of,
    is_unread,
    side_by_side,
    written,
)
from inkbox_mcp.tools.reading import BY_GET_MESSAGE, Message, View, read_detail, restore_all_unread, shown
from inkbox_mcp.tools.shared_reading import keep_read

MOST_SPAM = 3
LEAST = 200
"""Characters of the last message that is shown, if it does not fit."""
NO_THREAD = "This mailbox has no such thread. Next: call list_threads to see its threads."


class WholeThread(BaseModel):
    """A thread as the API returns it, with its messages and without their bodies."""

    subject: Any = None
    folder: Any = None
    messages: list[Item]


class GetThread(Args):
    invented: ClassVar = {
        **OF_MAILBOX,
        **dict.fromkeys(("id", "thread", "conversation_id"), "pass it as thread_id"),
        **dict.fromkeys(("message", "message_id"), "call list_messages; its rows have the thread_id of each"),
        **dict.fromkeys(("search", "sender", "subject"), "call list_messages with email_address and search"),
        **dict.fromkeys(("page", "offset"), "pass the next_cursor of a result as cursor, to get older messages"),
        "quoted": "what was quoted is a message of the thread itself; get_message shows it too",
        "limit": "pass the number of characters as max_chars",
    }

    email_address: Address
    thread_id: Annotated[ResourceID, Field(description="Id of the conversation, a UUID.")]
    max_chars: Annotated[
        WholeNumber, Field(ge=500, le=50_000, description="Characters, 500-50000. Default: 12000.")
    ] = 12_000
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the result before: older messages.")] = None


class Thread(Result):
    also: ClassVar[Also] = {"subject": str, "folder": str, "message_count": int, "note": str}

    id: ID
    next_cursor: str | None
    messages: list[Message]


def threads_of(address: str, *segments: str) -> Path:
    """Return the path of a mailbox's threads, or of one."""
    return path(MAILBOXES, address, THREADS, *segments)


async def list_spam(api: InkboxAPI, address: str) -> Page:
    """Return the newest threads that were taken for spam, without their messages."""
    return await api.get(threads_of(address).where(folder="spam", limit=MOST_SPAM), Page, once=True)


async def read_spam(api: InkboxAPI, address: str, listed: Page, *, since: int) -> list[WholeThread]:
    """Return those of the listed threads that have messages since a time in microseconds since 1970."""
    recent = [item for item in listed.items if (moment(item.get("last_message_at")) or 0) >= since]
    return [await api.get(threads_of(address, str(item.get("id"))), WholeThread) for item in recent]


class Reader:
    """Reads the newest messages of a thread that fit.

    Args:
        api: of the caller.
        args: of the call.
        marks_read: whether the API marks a message read when it is asked for.
    """

    def __init__(self, api: InkboxAPI, args: GetThread, *, marks_read: bool) -> None:
        self._api, self._args, self._marks_read = api, args, marks_read
        self._address = args.email_address
        self._asked: list[Item] = []

    async def read(self) -> Thread:
        """Return the thread with its newest messages, oldest first.

        Messages that cannot be read are named in a note, so that one of them does not hide the others.

        Raises:
            InkboxError: the thread cannot be read, or none of the messages that come first.
        """
        thread = await self._api.get(threads_of(self._address, self._args.thread_id), WholeThread)
        try:
            return await self._read(thread)
        except BaseException:  # cancelled, too: nobody sees what was read
            await self._put_back(self._asked)
            raise

    async def _read(self, thread: WholeThread) -> Thread:
        known = [message for message in thread.messages if id_of(message)]
        newest, _ = page(known, len(known) or 1, self._args.cursor)
        texts, taken, left = list[Item](), 0, self._args.max_chars
        failed, missing = dict[str, InkboxError](), dict[str, InkboxError]()
        while left > 0 and taken < len(newest) and not failed:
            batch = newest[taken : taken + AT_ONCE]
            details, failed = await self._details(batch)
            if failed and not details:
                # Perhaps nothing can be read at present: the same cursor tries again.
                await self._put_back(batch)
                missing = failed
                break
            for place, message in enumerate(batch):
                if left <= 0:
                    await self._put_back(batch[place:])
                    break
                taken += 1
                if detail := details.get(id_of(message)):
                    text = await self._text(detail, max(left, LEAST))
                    texts.insert(0, text)
                    left -= len(to_json(text).decode())
                elif error := failed.get(id_of(message)):
                    missing[id_of(message)] = error
                    # The API may have marked it read, although its answer failed.
                    await self._put_back([message])
        if missing and not texts:
            raise next(iter(missing.values()))
        about = {"subject": written(thread.subject, MAX_SUBJECT), "folder": written(thread.folder, MAX_WORD)}
        whole = {
            "id": self._args.thread_id,
            **{name: value for name, value in about.items() if value},
            "message_count": len(thread.messages),
            **({"note": _note(missing)} if missing else {}),
            "next_cursor": page(known, taken, self._args.cursor)[1] if taken else None,
        }
        return parse({**whole, "messages": texts}, Thread)

    async def _text(self, detail: Item, most: int) -> Item:
        part = await shown(detail, View(max_chars=most, how=BY_GET_MESSAGE))
        return {name: value for name, value in part.items() if name != "thread_id"}

    async def _details(self, batch: list[Item]) -> tuple[dict[str, Item], dict[str, InkboxError]]:
        """Get messages side by side, by id, and why others cannot be had, without those deleted meanwhile."""
        found: dict[str, Item] = {}

        async def get(message_id: str) -> None:
            found[message_id] = await read_detail(self._api, self._address, message_id)

        self._asked += batch
        ids = [id_of(message) for message in batch]
        if self._marks_read:
            keep_read(self._api, self._address, ids)
        failed = await side_by_side(ids, get)
        return found, {name: error for name, error in failed.items() if not isinstance(error, NotFound)}

    async def _put_back(self, messages: list[Item]) -> None:
        """Set messages back to unread that were read and are not shown."""
        if self._marks_read:
            unread = [id_of(message) for message in messages if is_unread(message)]
            keep_read(self._api, self._address, unread, is_shown=False)
            await restore_all_unread(self._api, self._address, unread)


def _note(missing: Mapping[str, InkboxError]) -> str:
    """Say which messages are missing, and why."""
    error = next(iter(missing.values()))
    return f"Not shown, because they cannot be read now: {', '.join(missing)}. {error} Try get_message later."
