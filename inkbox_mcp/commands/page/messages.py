"""What the page shows of mail: the rows of a mailbox or a thread, and a message as it came.

Blocked mail is shown too, which the API's lists leave out: who looks wants to know where a mail went.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from inkbox_mcp.commands.page.reading import Item, found, one
from inkbox_mcp.sandbox.fields import iso_8601
from inkbox_mcp.sandbox.mail.cursors import page, write_cursor
from inkbox_mcp.sandbox.mail.messages import COLUMNS, read_message

MOST_OF_THREAD = 200
"""The newest messages of a thread that are shown."""
MAX_TEXT = 200_000
"""Characters of a text."""
MAX_SOURCE = 1_000_000
"""Bytes of a source."""

_SHOWN = "mailbox_id IN (SELECT id FROM mailboxes WHERE status <> 'deleted')"


def list_messages(connection: sqlite3.Connection, mailbox_id: str, limit: int, cursor: tuple[int, str] | None) -> Item:
    """Return a page of the messages of a mailbox, newest first.

    Args:
        connection: to read from.
        mailbox_id: the mailbox.
        limit: rows of the page.
        cursor: moment and id of the last row that was seen.
    """
    mailbox = "SELECT id FROM mailboxes WHERE id = :id AND status <> 'deleted'"
    found(one(connection, mailbox, {"id": mailbox_id}), "mailbox")
    statement = f"SELECT {COLUMNS} FROM messages WHERE mailbox_id = ? AND is_blocked = ?"  # noqa: S608 - a constant
    # The two are apart in the index, and sorting them together would read them all.
    pages = [page(connection, statement, [mailbox_id, flag], "created_at", limit, cursor) for flag in (0, 1)]
    rows = sorted((row for each in pages for row in each.items), key=_moment, reverse=True)
    is_more = len(rows) > limit or any(each.has_more for each in pages)
    return {
        "items": _rows(connection, rows[:limit]),
        "next_cursor": write_cursor(*_moment(rows[limit - 1])) if is_more else None,
    }


def list_thread(connection: sqlite3.Connection, thread_id: str) -> Item:
    """Return the newest messages of a thread, oldest first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM messages WHERE thread_id = ? AND {_SHOWN}"  # noqa: S608 - constants
        " ORDER BY created_at DESC, id DESC LIMIT ?",
        (thread_id, MOST_OF_THREAD),
    ).fetchall()
    found(rows[0] if rows else None, "thread")
    return {"items": _rows(connection, reversed(rows))}


def get_message(connection: sqlite3.Connection, message_id: str) -> Item:
    """Return a message with its headers, the begin of its text and what is attached."""
    message = _message(connection, message_id)
    content = connection.execute(
        "SELECT attachments, substr(body_text, 1, ?) AS text, coalesce(length(body_text), 0) AS length,"
        " coalesce(body_html, '') <> '' AS has_html FROM contents WHERE id = ?",
        (MAX_TEXT, message["content_id"]),
    ).fetchone()
    (row,) = _rows(connection, [message])
    return {
        "row": row,
        "mailbox_id": message["mailbox_id"],
        "headers": _headers(read_message(message)),
        "text": content["text"],
        "text_left_out": max(content["length"] - MAX_TEXT, 0),
        "has_html": bool(content["has_html"]),
        "attachments": [
            {name: each[name] for name in ("filename", "content_type", "size")}
            for each in json.loads(content["attachments"])
        ],
    }


def get_html(connection: sqlite3.Connection, message_id: str) -> str:
    """Return the HTML of a message; empty if it has none."""
    content_id = _message(connection, message_id)["content_id"]
    return (
        connection.execute("SELECT body_html FROM contents WHERE id = ?", (content_id,)).fetchone()["body_html"] or ""
    )


def get_source(connection: sqlite3.Connection, message_id: str) -> bytes:
    """Return a message as it came; of a large one the begin, and a last line that says so."""
    content = connection.execute(
        "SELECT substr(raw, 1, ?) AS raw, length(raw) AS length FROM contents WHERE id = ?",
        (MAX_SOURCE, _message(connection, message_id)["content_id"]),
    ).fetchone()
    left_out = content["length"] - len(content["raw"])
    note = f"\r\n… the other {left_out:,} bytes of this message are not shown" if left_out else ""
    return content["raw"] + note.encode()


def _message(connection: sqlite3.Connection, message_id: str) -> Item:
    statement = f"SELECT {COLUMNS} FROM messages WHERE id = :id AND {_SHOWN}"  # noqa: S608 - constants
    return found(one(connection, statement, {"id": message_id}), "message")


def _moment(row: Item) -> tuple[int, str]:
    return row["created_at"], row["id"]


def _rows(connection: sqlite3.Connection, messages: Iterable[Item]) -> list[Item]:
    """Return what a list shows of messages."""
    rows = [read_message(message) for message in messages]
    ids = list({row["thread_id"] for row in rows})
    threads = connection.execute(
        "SELECT id, folder, (SELECT count(*) FROM messages WHERE thread_id = threads.id) AS size"  # noqa: S608 - question marks
        f" FROM threads WHERE id IN ({', '.join('?' * len(ids))})",
        ids,
    )
    by_id = {thread["id"]: thread for thread in threads}
    return [_row(row, by_id[row["thread_id"]]) for row in rows]


def _row(message: Item, thread: Item) -> Item:
    names = ("id", "thread_id", "direction", "status", "is_read", "is_starred", "has_attachments", "subject", "snippet")
    return {
        **{name: message[name] for name in names},
        "thread_size": thread["size"],
        "folder": thread["folder"],
        "from": _sender(message),
        "to": message["to_addresses"],
        "created_at": iso_8601(message["created_at"]),
    }


def _sender(message: Item) -> str:
    name, address = message["from_display_name"], message["from_address"]
    return f"{name} <{address}>" if name else address


def _headers(message: Item) -> dict[str, str]:
    headers: dict[str, Any] = {
        "From": _sender(message),
        "To": ", ".join(message["to_addresses"]),
        "Cc": ", ".join(message["cc_addresses"] or []),
        "Bcc": ", ".join(message["bcc_addresses"] or []),
        "Date": iso_8601(message["created_at"]),
        "Subject": message["subject"],
        "Reply-To": ", ".join(message["reply_to"] or []),
        "Message-ID": message["message_id"],
    }
    return {name: value for name, value in headers.items() if value}
