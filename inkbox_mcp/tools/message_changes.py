"""The tools that change and delete messages.

Source: https://inkbox.ai/docs/api/mail/messages
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import anyio
from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Forbidden, InkboxError, InvalidArguments, NotFound, OutcomeUnknown, Unauthorized
from inkbox_mcp.toolkit.fields import Boolean, ResourceID
from inkbox_mcp.toolkit.operation import DESTRUCTIVE, IDEMPOTENT, Also, Args, Result, operation
from inkbox_mcp.toolkit.sent import ID
from inkbox_mcp.tools.conversations import threads_of
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import (
    AT_ONCE,
    NO_MESSAGE,
    PAGE,
    Item,
    MessageID,
    Page,
    messages_of,
    sender_of,
    which_is_missing,
    written,
)
from inkbox_mcp.tools.reading import read_detail

TOOLSET = "mail"

MOST = 50
"""The most messages that one call changes."""
MOST_PAGES = 5


class UpdateMessages(Args):
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
    """Mark messages read, unread or starred, or move their conversations. Each has its own result."""
    flags = {"is_read": args.is_read, "is_starred": args.is_starred}
    given = {name: value for name, value in flags.items() if value is not None}
    if not given and args.folder is None:
        raise InvalidArguments("there is nothing to update. Pass is_read, is_starred or folder.")
    ids = list(dict.fromkeys(args.message_ids))
    threads = await _threads_of(api, args.email_address, ids) if args.folder and not given else {}
    results: dict[str, Item] = {}
    errors: list[InkboxError] = []
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def update(message_id: str) -> None:
        async with limit:
            try:
                message = {"thread_id": threads.get(message_id)}
                if given:
                    where = messages_of(args.email_address, message_id)
                    message = (await api.patch(where, given, Result)).model_dump()
                if args.folder:
                    await _move(api, args, message_id, message.get("thread_id"))
                results[message_id] = {"id": message_id, "changed": True}
            except InkboxError as error:
                errors.append(error)
                results[message_id] = {"id": message_id, "changed": False, "error": str(error)}

    async with anyio.create_task_group() as tasks:
        for message_id in ids:
            tasks.start_soon(update, message_id)
    if len(errors) == len(ids) or any(isinstance(error, Unauthorized | Forbidden) for error in errors):
        raise errors[0]
    return parse({"messages": [results[message_id] for message_id in ids]}, ChangedMessages)


async def _threads_of(api: InkboxAPI, address: str, ids: list[str]) -> dict[str, str]:
    """Return the threads of messages by message, as far as the list shows them; getting a message may mark it read."""
    found: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        listed = await api.get(messages_of(address).where(limit=PAGE, cursor=cursor), Page)
        found |= {str(item.get("id")): str(item.get("thread_id")) for item in listed.items if item.get("thread_id")}
        cursor = listed.next_cursor
        if not listed.has_more or not cursor or found.keys() >= {*ids}:
            break
    return found


async def _move(api: InkboxAPI, args: UpdateMessages, message_id: str, thread_id: object) -> None:
    thread = thread_id or (await read_detail(api, args.email_address, message_id)).get("thread_id")
    if not thread:
        raise InvalidArguments("the message belongs to no conversation, and only these have folders.")
    await api.patch(threads_of(args.email_address, str(thread)), {"folder": args.folder}, Result)


class DeleteMessage(Args):
    email_address: Address
    message_id: MessageID
    whole_thread: Annotated[Boolean, Field(description="Delete the whole conversation. Default: false.")] = False


class DeletedMessage(Result):
    also: ClassVar[Also] = {"thread_id": str}

    deleted: bool
    id: ID


def _question(args: DeleteMessage) -> str:
    if args.whole_thread:
        return "Delete the whole conversation of {subject} from {sender}, in {email_address}, for good?"
    return "Delete the message {subject} from {sender}, in {email_address}, for good?"


async def _about(api: InkboxAPI, args: Any) -> Mapping[str, str]:
    """Return what a person needs to know which message it is."""
    detail = await read_detail(api, args.email_address, args.message_id)
    return {"subject": written(detail.get("subject"), 200) or "(no subject)", "sender": sender_of(detail)}


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
    thread = None
    if args.whole_thread:
        thread = (await read_detail(api, args.email_address, args.message_id)).get("thread_id")
        if not thread:
            raise InvalidArguments("the message belongs to no conversation: leave out whole_thread.")
        await api.delete(threads_of(args.email_address, str(thread)), owner=path(MAILBOXES, args.email_address))
    else:
        await api.delete(messages_of(args.email_address, args.message_id), owner=path(MAILBOXES, args.email_address))
    return parse({"deleted": True, "id": args.message_id, **({"thread_id": thread} if thread else {})}, DeletedMessage)
