"""The messages of the spec generation: a send has no key, so that it cannot be repeated safely."""

import sqlite3
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.mail import messages
from inkbox_mcp.sandbox.mail.drafts import forward_draft, new_draft
from inkbox_mcp.sandbox.mail.objects import Details, Message, Thread
from inkbox_mcp.sandbox.mail.requests import Address, MessageForward, MessageQuery, MessageSend, Upload
from inkbox_mcp.sandbox.mail.routes import SENDING, Shapes, mail_router, shared_router
from inkbox_mcp.sandbox.mail.sending import send_from
from inkbox_mcp.sandbox.rows import Row

router = mail_router()


class MessageDetail(Details, Message):
    """A message with its bodies."""


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


class SpecMessageSend(MessageSend):
    """The body of a send."""

    attachments: list[Upload] | None = None


class SpecMessageForward(MessageForward):
    """The body of a forward."""

    additional_attachments: list[Upload] | None = Field(None, description="Besides those of the message")


@router.get("/messages", response_model=MessagePage)
def list_messages(organization: CurrentOrganization, address: Address, wanted: Annotated[MessageQuery, Query()]) -> Any:
    """List messages without their bodies, newest first."""
    with organization.reading() as connection:
        mailbox = rows.find_mailbox(connection, organization.id, address)
        return messages.list_messages(connection, mailbox["id"], **wanted.options())


@router.get("/messages/{message_id}", response_model=MessageDetail)
def get_message(organization: CurrentOrganization, address: Address, message_id: UUID) -> Any:
    """Get a message with its bodies; it stays as unread as it was."""
    with organization.reading() as connection:
        return detail(connection, rows.find_mailbox(connection, organization.id, address), message_id)


def detail(connection: sqlite3.Connection, mailbox: Row, message_id: UUID) -> Row:
    """Return the fields of a `MessageDetail`."""
    return messages.with_content(connection, messages.find_message(connection, mailbox["id"], message_id))


@router.post("/messages", status_code=201, response_model=Message, responses=SENDING)
def send_message(organization: CurrentOrganization, address: Address, body: SpecMessageSend) -> Any:
    """Send a message, or answer one."""
    files = [each.as_attachment() for each in body.attachments or []]
    return send_from(organization, address, lambda connection, mailbox: new_draft(connection, mailbox, body, files))


@router.post("/messages/{message_id}/forward", status_code=201, response_model=Message, responses=SENDING)
def forward_message(
    organization: CurrentOrganization, address: Address, message_id: UUID, body: SpecMessageForward
) -> Any:
    """Forward a message; this begins a new thread."""
    files = [each.as_attachment() for each in body.additional_attachments or []]
    return send_from(
        organization,
        address,
        lambda connection, mailbox: forward_draft(
            connection, mailbox, messages.find_message(connection, mailbox["id"], message_id), body, files
        ),
    )


SHARED = shared_router(Shapes(message=Message, results=MessageResults, thread=ThreadDetail))
