"""What the tools for threads share: a thread as the API returns it, and its newest texts.

Source: https://inkbox.ai/docs/api/mail/threads
"""

from typing import Annotated, ClassVar

import anyio
from pydantic import BaseModel, Field

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
from inkbox_mcp.tools.messages import AT_ONCE, MAX_SUBJECT, THREADS, Item, Page, written
from inkbox_mcp.tools.reading import Message, View, read_detail, restore_unread, shown

MOST_SPAM = 3
LEAST = 200
"""Characters of the last message that is shown, if it does not fit."""
NO_THREAD = "This mailbox has no such thread. Next: call list_threads to see its threads."


class WholeThread(BaseModel):
    """A thread as the API returns it, with its messages and without their bodies."""

    id: str
    subject: str | None = None
    folder: str | None = None
    messages: list[Item]


class GetThread(Args):
    email_address: Address
    thread_id: Annotated[ResourceID, Field(description="Id of the conversation, a UUID.")]
    max_chars: Annotated[
        WholeNumber, Field(ge=500, le=50_000, description="Characters, 500-50000. Default: 12000.")
    ] = 12_000
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the result before: older messages.")] = None


class Thread(Result):
    also: ClassVar[Also] = {"subject": str, "folder": str, "message_count": int}

    id: ID
    next_cursor: str | None
    messages: list[Message]


def threads_of(address: str, *segments: str) -> Path:
    """Return the path of a mailbox's threads, or of one."""
    return path(MAILBOXES, address, THREADS, *segments)


async def list_spam(api: InkboxAPI, address: str, *, since: int) -> list[WholeThread]:
    """Return the newest threads that were taken for spam, since a time in microseconds since 1970."""
    listed = await api.get(threads_of(address).where(folder="spam", limit=MOST_SPAM), Page)
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

    async def read(self) -> Thread:
        """Return the thread with its newest messages, oldest first."""
        thread = await self._api.get(threads_of(self._address, self._args.thread_id), WholeThread)
        newest, _ = page(thread.messages, len(thread.messages) or 1, self._args.cursor)
        taken, texts = 0, list[Item]()
        left = self._args.max_chars
        while left > 0 and taken < len(newest):
            batch = newest[taken : taken + AT_ONCE]
            details = await self._details(batch)
            for message in batch:
                detail = details.get(str(message["id"]))
                if left > 0 and detail:
                    part = await shown(detail, View(max_chars=max(left, LEAST)))
                    texts.insert(0, {name: value for name, value in part.items() if name != "thread_id"})
                    left -= len(texts[0]["text"])
                elif detail:
                    await self._put_back(message)
                    continue
                taken += 1
        cursor = page(thread.messages, taken, self._args.cursor)[1] if taken else None
        about = {"subject": written(thread.subject, MAX_SUBJECT), "folder": thread.folder}
        known = {name: value for name, value in about.items() if value}
        whole = {"id": thread.id, **known, "message_count": len(thread.messages), "next_cursor": cursor}
        return parse({**whole, "messages": texts}, Thread)

    async def _details(self, batch: list[Item]) -> dict[str, Item]:
        """Get messages side by side, by id, without those that were deleted meanwhile."""
        found: dict[str, Item] = {}
        failed: list[InkboxError] = []

        async def get(message_id: str) -> None:
            try:
                found[message_id] = await read_detail(self._api, self._address, message_id)
            except NotFound:
                return
            except InkboxError as error:  # raised below: a task group would wrap it
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            for message in batch:
                tasks.start_soon(get, str(message["id"]))
        if failed:
            raise failed[0]
        return found

    async def _put_back(self, message: Item) -> None:
        """Set a message back to unread that was read and did not fit."""
        if self._marks_read and message.get("is_read") is False and message.get("direction") == "inbound":
            await restore_unread(self._api, self._address, str(message["id"]))
