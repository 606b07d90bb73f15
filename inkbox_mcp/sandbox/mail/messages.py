"""The rows of messages. Lists are ordered by (created_at, id); both are in their cursors."""

import json
import re
import sqlite3
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.mail import threads
from inkbox_mcp.sandbox.mail.cursors import Page, page
from inkbox_mcp.sandbox.mail.parsing import Parsed
from inkbox_mcp.sandbox.mail.texts import SEARCHED, without_tags, words_of
from inkbox_mcp.sandbox.problems import NotFound
from inkbox_mcp.sandbox.rows import Row

LISTS = ("to_addresses", "cc_addresses", "bcc_addresses", "reply_to", "reference_ids", "attachments")
"""The columns that are JSON."""

_SNIPPET = 200

_COLUMNS = (
    "id, mailbox_id, thread_id, content_id, message_id, direction, status, is_blocked, is_read, is_starred,"
    " has_attachments, size, created_at, updated_at, from_address, from_display_name, to_addresses, cc_addresses,"
    " bcc_addresses, reply_to, subject, snippet, in_reply_to, reference_ids"
)

COLUMNS = ", ".join(f"messages.{name.strip()}" for name in _COLUMNS.split(","))
"""What a list reads of each message."""

_VALUES = re.sub(r"(\w+)", r":\1", _COLUMNS)
_INSERT = f"INSERT INTO messages ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - constants


def insert_content(
    connection: sqlite3.Connection, parsed: Parsed, raw: bytes, text: str | None, html: str | None
) -> Row:
    """Insert what a message says, for all mailboxes that get it, and return what its rows have in common."""
    attachments = [each.described() for each in parsed.attachments]
    plain = text if text and text.strip() else without_tags(html or "")
    people = [parsed.from_display_name or "", parsed.from_address or "", *parsed.to, *parsed.cc]
    words = words_of(" ".join([parsed.subject or "", *people, plain[:SEARCHED]]))
    content_id = connection.execute(
        "INSERT INTO contents (words, attachments, body_text, body_html, raw) VALUES (?, ?, ?, ?, ?)",
        (f" {' '.join(words)} ", json.dumps(attachments), text, html, raw),
    ).lastrowid
    return {
        "content_id": content_id,
        "from_address": parsed.from_address,
        "from_display_name": parsed.from_display_name,
        "to_addresses": json.dumps(parsed.to),
        "cc_addresses": json.dumps(parsed.cc) if parsed.cc else None,
        "bcc_addresses": None,
        "reply_to": json.dumps(parsed.reply_to) if parsed.reply_to else None,
        "subject": parsed.subject,
        "snippet": " ".join(plain[: 20 * _SNIPPET].split())[:_SNIPPET] or None,
        "in_reply_to": parsed.in_reply_to,
        "reference_ids": json.dumps(parsed.references) if parsed.references else None,
        "has_attachments": any(not each["is_inline"] for each in attachments),
        "size": len(raw),
    }


def insert_message(connection: sqlite3.Connection, mailbox_id: str, message: Row, *, folder: str = "inbox") -> Row:
    """Insert a message into a mailbox and into the thread of the messages that it refers to.

    Args:
        connection: In a transaction.
        mailbox_id: The mailbox.
        message: The columns from `insert_content`, and message_id, direction and status.
        folder: Where a new thread begins.
    """
    now = tick(connection)
    thread = threads.thread_of(connection, mailbox_id, message, folder, now)
    row: Row = {
        **message,
        "id": str(uuid4()),
        "mailbox_id": mailbox_id,
        "thread_id": thread["id"],
        "is_blocked": thread["folder"] == "blocked",
        "is_read": message["direction"] == "outbound",
        "is_starred": False,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(_INSERT, row)
    _use_storage(connection, mailbox_id, row["size"])
    return find_message(connection, mailbox_id, row["id"])


def list_messages(
    connection: sqlite3.Connection,
    mailbox_id: str,
    *,
    limit: int,
    cursor: tuple[int, str] | None = None,
    direction: str | None = None,
    since: int | None = None,
    before: int | None = None,
) -> Page:
    """Return a page of the messages that are not blocked, newest first.

    Args:
        connection: To read from.
        mailbox_id: The mailbox.
        limit: Rows of the page.
        cursor: `created_at` and id of the last message that was seen.
        direction: `inbound`, `outbound`, or None for both.
        since: Microseconds; the first `created_at` to list.
        before: Microseconds; the first `created_at` that is too late.
    """
    where, values = "mailbox_id = ? AND is_blocked = 0", list[Any]([mailbox_id])
    for condition, value in (("direction = ?", direction), ("created_at >= ?", since), ("created_at < ?", before)):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    statement = f"SELECT {COLUMNS} FROM messages WHERE {where}"  # noqa: S608 - constants
    return page(connection, statement, values, "created_at", limit, cursor, read_message)


def messages_of_thread(connection: sqlite3.Connection, thread_id: str) -> list[Row]:
    """Return the messages of a thread, oldest first."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE thread_id = ? ORDER BY created_at, id",  # noqa: S608 - a constant
        (thread_id,),
    )
    return [read_message(row) for row in found]


def find_message(connection: sqlite3.Connection, mailbox_id: str, message_id: UUID | str) -> Row:
    """Return a message of a mailbox by its id.

    Raises:
        NotFound: The mailbox has no such message.
    """
    row = connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE id = ? AND mailbox_id = ?",  # noqa: S608 - a constant
        (str(message_id), mailbox_id),
    ).fetchone()
    if row is None:
        raise NotFound("Message not found")
    return read_message(row)


def with_content(connection: sqlite3.Connection, message: Row) -> Row:
    """Return a message with its bodies and `attachment_metadata`."""
    content = connection.execute(
        "SELECT attachments, body_text, body_html FROM contents WHERE id = ?", (message["content_id"],)
    ).fetchone()
    attachments = json.loads(content["attachments"])
    outbound = message["direction"] == "outbound"
    return {
        **message,
        **content,
        "attachments": attachments,
        "attachment_metadata": attachments or None,
        "references": message["reference_ids"],
        "ses_message_id": message["message_id"].strip("<>").partition("@")[0] if outbound else None,
    }


def raw_message(connection: sqlite3.Connection, message: Row) -> bytes:
    """Return a message as it was sent or received."""
    found = connection.execute("SELECT raw FROM contents WHERE id = ?", (message["content_id"],)).fetchone()
    return found["raw"]


def find_by_reference(connection: sqlite3.Connection, mailbox_id: str, reference: str) -> Row | None:
    """Return the newest message of a Message-ID, with or without angle brackets, or of an id of the API."""
    bare = reference.strip().strip("<>")
    row = connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE mailbox_id = ? AND message_id = ?"  # noqa: S608 - a constant
        " ORDER BY created_at DESC LIMIT 1",
        (mailbox_id, f"<{bare}>"),
    ).fetchone()
    if row is not None:
        return read_message(row)
    try:
        return find_message(connection, mailbox_id, UUID(bare))
    except (ValueError, NotFound):
        return None


def update_message(connection: sqlite3.Connection, message: Row, changes: Row) -> Row:
    """Set columns of a message; `updated_at` changes only if a value differs."""
    if all(message[name] == value for name, value in changes.items()):
        return message
    row = {**message, **changes}
    connection.execute(
        "UPDATE messages SET is_read = ?, is_starred = ?, status = ?, updated_at = ? WHERE id = ?",
        (row["is_read"], row["is_starred"], row["status"], tick(connection), row["id"]),
    )
    return find_message(connection, row["mailbox_id"], row["id"])


def delete_messages(connection: sqlite3.Connection, mailbox_id: str, messages: Sequence[Row]) -> None:
    """Delete messages for good, with what they say if no other mailbox has it; their storage is free at once."""
    for message in messages:
        connection.execute("DELETE FROM messages WHERE id = ?", (message["id"],))
        connection.execute(
            "DELETE FROM contents WHERE id = :id AND NOT EXISTS (SELECT 1 FROM messages WHERE content_id = :id)",
            {"id": message["content_id"]},
        )
        _use_storage(connection, mailbox_id, -message["size"])
    for thread_id in {message["thread_id"] for message in messages}:
        threads.refresh(connection, thread_id)


def read_message(row: Row) -> Row:
    """Return a row with its lists and flags as such."""
    lists = {name: json.loads(row[name]) for name in LISTS if row.get(name) is not None}
    flags = {name: bool(row[name]) for name in ("is_read", "is_starred", "has_attachments", "is_blocked")}
    return {**row, **lists, **flags}


def _use_storage(connection: sqlite3.Connection, mailbox_id: str, size: int) -> None:
    connection.execute(
        "UPDATE mailboxes SET storage_used_bytes = storage_used_bytes + ? WHERE id = ?", (size, mailbox_id)
    )
