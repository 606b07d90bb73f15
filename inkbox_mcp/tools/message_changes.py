"""The tools that change and delete messages.

Source: https://inkbox.ai/docs/api/mail/messages
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import InkboxError, InvalidArguments, NotFound, OutcomeUnknown
from inkbox_mcp.toolkit.fields import Boolean, ResourceID
from inkbox_mcp.toolkit.operation import DESTRUCTIVE, IDEMPOTENT, Also, Args, Result, operation
from inkbox_mcp.toolkit.sent import ID
from inkbox_mcp.tools.conversations import WholeThread, threads_of
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import (
    BY_MESSAGE,
    NO_MESSAGE,
    Item,
    MessageID,
    messages_of,
    rows_by_id,
    sender_of,
    side_by_side,
    which_is_missing,
    written,
)
from inkbox_mcp.tools.reading import read_aside

TOOLSET = "mail"

MOST = 50
"""The most messages that one call changes."""


class UpdateMessages(Args):
    invented: ClassVar = {
        **BY_MESSAGE,
        **dict.fromkeys(("id", "ids", "message", "message_id", "messages"), "pass a list of ids as message_ids"),
        **dict.fromkeys(("read", "mark_read", "mark_as_read", "seen"), "pass it as is_read"),
        **dict.fromkeys(("unread", "mark_unread"), "pass is_read, which is the opposite"),
        **dict.fromkeys(("starred", "star", "flagged", "important"), "pass it as is_starred"),
        **dict.fromkeys(("label", "labels", "add_labels", "status"), "messages have no labels; pass folder instead"),
        **dict.fromkeys(("archive", "archived", "spam"), 'pass folder "archive" or "spam"'),
        **dict.fromkeys(("thread", "thread_id"), "pass the id of one of its messages in message_ids, and folder"),
    }

    email_address: Address
    message_ids: Annotated[list[ResourceID], Field(min_length=1, max_length=MOST, description="1-50 ids of messages.")]
    is_read: Annotated[Boolean | None, Field(description="Read (true) or unread.")] = None
    is_starred: Annotated[Boolean | None, Field(description="With a star or without.")] = None
    folder: Annotated[
        Literal["inbox", "archive", "spam"] | None,
        Field(description="Where to move the whole conversation."),
    ] = None


class Changed(Result):
    also: ClassVar[Also] = {"error": str}

    id: ID
    changed: bool


class ChangedMessages(Result):
    messages: list[Changed]


@operation(
    IDEMPOTENT,
    lookups={NotFound: which_is_missing},
    advice={NotFound: NO_MESSAGE, OutcomeUnknown: "Next: call list_messages to check; repeating is safe."},
)
async def update_messages(api: InkboxAPI, args: UpdateMessages) -> ChangedMessages:
    """Mark messages read, unread or starred, or move their conversations. list_messages has the ids."""
    flags = {"is_read": args.is_read, "is_starred": args.is_starred}
    given = {name: value for name, value in flags.items() if value is not None}
    if not given and args.folder is None:
        raise InvalidArguments("there is nothing to update. Pass is_read, is_starred or folder.")
    ids = list(dict.fromkeys(args.message_ids))
    failed: dict[str, InkboxError] = {}
    threads: dict[str, str] = {}
    if args.folder:
        threads, failed = await _threads_of(api, args.email_address, ids)
    if given:

        async def mark(message_id: str) -> None:
            await api.patch(messages_of(args.email_address, message_id), given, Result)

        failed |= await side_by_side([message_id for message_id in ids if message_id not in failed], mark)
    if args.folder:

        async def move(thread_id: str) -> None:
            await api.patch(threads_of(args.email_address, thread_id), {"folder": args.folder}, Result)

        kept = {message_id: thread for message_id, thread in threads.items() if message_id not in failed}
        unmoved = await side_by_side(dict.fromkeys(kept.values()), move)
        half = {message_id: unmoved[thread] for message_id, thread in kept.items() if thread in unmoved}
        if given:
            return _changed(ids, failed, half)
        failed |= half
    return _changed(ids, failed, {})


def _changed(ids: list[str], failed: Mapping[str, InkboxError], half: Mapping[str, InkboxError]) -> ChangedMessages:
    """Return what became of each message.

    Args:
        ids: of all messages.
        failed: why some were not changed at all.
        half: why some were marked, but not moved.

    Raises:
        InkboxError: nothing was changed, for the same reason everywhere.
    """
    if len(failed) == len(ids) and len({type(error) for error in failed.values()}) == 1:
        raise failed[ids[0]]
    errors = {message_id: str(error) for message_id, error in failed.items()}
    errors |= {message_id: f"marked, but not moved: {error}" for message_id, error in half.items()}
    results = [
        {"id": each, "changed": each not in errors, **({"error": errors[each]} if each in errors else {})}
        for each in ids
    ]
    return parse({"messages": results}, ChangedMessages)


async def _threads_of(api: InkboxAPI, address: str, ids: list[str]) -> tuple[dict[str, str], dict[str, InkboxError]]:
    """Return the threads of messages by message, and why others have none."""
    threads: dict[str, str] = {}
    listed = await rows_by_id(api, address, ids)

    async def find(message_id: str) -> None:
        message = listed.get(message_id) or await read_aside(api, address, message_id, None)
        threads[message_id] = _thread_of(message)

    return threads, await side_by_side(ids, find)


def _thread_of(message: Item) -> str:
    """Return the id of a message's thread.

    Raises:
        InvalidArguments: it has none.
    """
    if not (thread := message.get("thread_id")):
        raise InvalidArguments("the message belongs to no conversation, and only these have folders.")
    return str(thread)


class DeleteMessage(Args):
    invented: ClassVar = {
        **BY_MESSAGE,
        **dict.fromkeys(("ids", "message_ids"), "one call deletes one message; pass it as message_id"),
        **dict.fromkeys(("thread", "thread_id"), "pass the id of one of its messages as message_id, and whole_thread"),
        **dict.fromkeys(("permanent", "permanently", "force", "trash"), "it is always for good"),
        "folder": "call update_messages with email_address and folder",
    }

    email_address: Address
    message_id: MessageID
    whole_thread: Annotated[Boolean, Field(description="Delete the whole conversation. Default: false.")] = False


class DeletedMessage(Result):
    also: ClassVar[Also] = {"thread_id": str}

    deleted: bool
    id: ID


def _question(args: DeleteMessage) -> str:
    if args.whole_thread:
        return (
            'Delete the whole conversation of "{subject}" from "{sender}" ({messages}), in {email_address}, for good?'
        )
    return 'Delete the message "{subject}" from "{sender}", in {email_address}, for good?'


async def _about(api: InkboxAPI, args: DeleteMessage) -> Mapping[str, str]:
    """Return what a person needs to know which message it is, and how many others would go with it."""
    message = await _find(api, args)
    about = {
        "subject": written(message.get("subject"), 200) or "(no subject)",
        "sender": sender_of(message) or "(no sender)",
    }
    if not args.whole_thread:
        return about
    thread = await api.get(threads_of(args.email_address, _thread_of(message)), WholeThread)
    count = len(thread.messages)
    return {**about, "messages": f"{count:,} message{'' if count == 1 else 's'}"}


async def _find(api: InkboxAPI, args: DeleteMessage) -> Item:
    """Return a message, and leave it unread if possible, because the answer may be no."""
    address, message_id = args.email_address, args.message_id
    listed = await rows_by_id(api, address, [message_id])
    return listed.get(message_id) or await read_aside(api, address, message_id, None)


@operation(
    DESTRUCTIVE,
    confirm=_question,
    facts=_about,
    lookups={NotFound: which_is_missing},
    advice={
        NotFound: "This mailbox has no such message; it may be deleted already. Next: call list_messages.",
        OutcomeUnknown: "Next: call list_messages to see whether it exists; repeating is safe.",
    },
)
async def delete_message(api: InkboxAPI, args: DeleteMessage) -> DeletedMessage:
    """Delete a message for good, or its whole conversation. To only hide it, update_messages archives."""
    about: Item = {"deleted": True, "id": args.message_id}
    what = messages_of(args.email_address, args.message_id)
    if args.whole_thread:
        about["thread_id"] = _thread_of(await _find(api, args))
        what = threads_of(args.email_address, about["thread_id"])
    await api.delete(what, owner=path(MAILBOXES, args.email_address))
    return parse(about, DeletedMessage)
