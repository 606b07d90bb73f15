"""The messages of the identity generation: reading one marks it read, and a send has a key."""

import sqlite3
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import Timestamp
from inkbox_mcp.sandbox.identity_generation.message_queries import DatedMessageQuery
from inkbox_mcp.sandbox.mail import messages, objects
from inkbox_mcp.sandbox.mail.drafts import reply_all_recipients
from inkbox_mcp.sandbox.mail.objects import Details, Thread
from inkbox_mcp.sandbox.mail.requests import Address
from inkbox_mcp.sandbox.mail.routes import Shapes, mail_router, shared_router
from inkbox_mcp.sandbox.rows import Row

router = mail_router()


class Message(objects.Message):
    """A message as lists show it; the sandbox neither tracks opens nor imports."""

    from_display_name: str | None
    first_opened_at: Timestamp | None = None
    open_count: int = 0
    import_job_id: UUID | None = None


class ReplyAllRecipients(BaseModel):
    """To whom an answer to everyone goes."""

    to: list[str]
    cc: list[str]


class MessageDetail(Details, Message):
    """A message with its bodies."""

    reply_all_recipients: ReplyAllRecipients


class MessagePage(BaseModel):
    """A page of messages."""

    items: list[Message]
    next_cursor: str | None
    has_more: bool


class MessageResults(BaseModel):
    """What a search answers."""

    items: list[Message]


class ThreadDetail(Thread):
    """A thread with its messages, oldest first."""

    messages: list[Message]


@router.get("/messages", response_model=MessagePage)
def list_messages(
    organization: CurrentOrganization, address: Address, wanted: Annotated[DatedMessageQuery, Query()]
) -> Any:
    """List messages without their bodies, newest first."""
    since, before = wanted.span()
    with organization.reading() as connection:
        mailbox = rows.find_mailbox(connection, organization.id, address)
        return messages.list_messages(connection, mailbox["id"], since=since, before=before, **wanted.options())


@router.get("/messages/{message_id}", response_model=MessageDetail)
def get_message(organization: CurrentOrganization, address: Address, message_id: UUID) -> Any:
    """Get a message with its bodies; one that came is marked read."""
    with organization.reading() as connection:
        shown = detail(connection, rows.find_mailbox(connection, organization.id, address), message_id)
    if shown["direction"] == "inbound" and not shown["is_read"]:
        with organization.transaction() as connection:
            mailbox = rows.find_mailbox(connection, organization.id, address)
            message = messages.find_message(connection, mailbox["id"], message_id)
            messages.update_message(connection, message, {"is_read": True})
            shown = detail(connection, mailbox, message_id)
    return shown


def detail(connection: sqlite3.Connection, mailbox: Row, message_id: UUID) -> Row:
    """Return the fields of a `MessageDetail`, and leave it as unread as it was."""
    message = messages.find_message(connection, mailbox["id"], message_id)
    to, cc = reply_all_recipients(mailbox, message)
    return {**messages.with_content(connection, message), "reply_all_recipients": {"to": to, "cc": cc}}


SHARED = shared_router(Shapes(message=Message, results=MessageResults, thread=ThreadDetail))
