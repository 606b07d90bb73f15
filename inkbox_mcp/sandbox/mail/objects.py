"""The shapes of answers about mail that both generations have."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from inkbox_mcp.sandbox.fields import Timestamp

Direction = Literal["inbound", "outbound"]
Folder = Literal["inbox", "spam", "blocked", "archive"]
Status = Literal["queued", "sent", "delivered", "bounced", "failed", "received", "deleted"]


class Message(BaseModel):
    """A message as lists show it."""

    id: UUID
    mailbox_id: UUID
    thread_id: UUID | None
    message_id: str
    from_address: str
    to_addresses: list[str]
    cc_addresses: list[str] | None
    subject: str | None
    snippet: str | None
    direction: Direction
    status: Status
    is_read: bool
    is_starred: bool
    has_attachments: bool
    created_at: Timestamp


class Details(BaseModel):
    """What a single message shows besides."""

    body_text: str | None
    body_html: str | None
    bcc_addresses: list[str] | None
    in_reply_to: str | None
    references: list[str] | None
    attachment_metadata: list[dict[str, Any]] | None
    ses_message_id: str | None
    updated_at: Timestamp


class Thread(BaseModel):
    """A conversation."""

    id: UUID
    mailbox_id: UUID
    subject: str | None
    folder: Folder
    message_count: int
    last_message_at: Timestamp
    created_at: Timestamp


class ThreadPage(BaseModel):
    """A page of threads."""

    items: list[Thread]
    next_cursor: str | None
    has_more: bool


class AttachmentURL(BaseModel):
    """Where an attachment can be fetched without a key, for `expires_in` seconds."""

    url: str
    filename: str
    expires_in: int
