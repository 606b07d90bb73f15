"""The tool that lists a mailbox's threads.

Source: https://inkbox.ai/docs/api/mail/threads
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import NotFound
from inkbox_mcp.mail.shortening import shortened
from inkbox_mcp.toolkit.fields import Text, WholeNumber
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.rows import ListArgs, to_the_second
from inkbox_mcp.toolkit.sent import ID
from inkbox_mcp.tools.conversations import threads_of
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, Address, near_mailbox
from inkbox_mcp.tools.messages import MAX_ID, MAX_SUBJECT, MAX_TIME, MAX_WORD, OF_MAILBOX, Item, Page, written

TOOLSET = "mail"


class ListThreads(Args):
    invented: ClassVar = {
        **ListArgs.invented,
        **OF_MAILBOX,
        **dict.fromkeys(
            ("search", "sender", "from", "subject", "unread"),
            "to find messages, call list_messages; its rows have the thread_id of each",
        ),
        **dict.fromkeys(("label", "status"), "pass it as folder"),
        **dict.fromkeys(("thread", "thread_id"), "call get_thread with email_address and thread_id"),
        "details": "call get_thread with email_address and thread_id",
    }

    email_address: Address
    folder: Annotated[
        Literal["inbox", "spam", "blocked", "archive"] | None, Field(description="Default: all but the blocked.")
    ] = None
    limit: Annotated[WholeNumber, Field(ge=1, le=100, description="Threads, 1-100. Default: 25.")] = 25
    cursor: Annotated[Text | None, Field(description="next_cursor of the page before.")] = None


class ThreadRow(Result):
    also: ClassVar[Also] = {
        "id": ID,
        "subject": str,
        "folder": str,
        "message_count": int,
        "last_message_at": str,
    }


class ThreadPage(Result):
    next_cursor: str | None
    threads: list[ThreadRow]


@operation(READ_ONLY, lookups={NotFound: near_mailbox}, advice={NotFound: NO_MAILBOX})
async def list_threads(api: InkboxAPI, args: ListThreads) -> ThreadPage:
    """List a mailbox's conversations, the one with the newest message first. get_thread shows their texts."""
    query = {"folder": args.folder, "limit": args.limit, "cursor": args.cursor}
    listed = await api.get(threads_of(args.email_address).where(**query), Page)
    cursor = listed.next_cursor if listed.has_more else None
    # An API that ignores the limit must not make a result of any size.
    rows = shortened([_row(item) for item in listed.items[: args.limit]], "subject")
    return parse({"next_cursor": cursor, "threads": rows}, ThreadPage)


def _row(thread: Item) -> Item:
    count = thread.get("message_count")
    shown = {
        "id": written(thread.get("id"), MAX_ID),
        "subject": written(thread.get("subject"), MAX_SUBJECT),
        "folder": written(thread.get("folder"), MAX_WORD),
        "message_count": count if isinstance(count, int) else None,
        "last_message_at": written(to_the_second(thread.get("last_message_at")), MAX_TIME),
    }
    return {name: value for name, value in shown.items() if value}
