"""The rows of threads: which messages belong together, and in which folder they are."""

import json
import sqlite3
from typing import Any
from uuid import UUID, uuid4

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.mail.cursors import Page, page
from inkbox_mcp.sandbox.problems import NotFound
from inkbox_mcp.sandbox.rows import Row

_THREADS = (
    "SELECT *, (SELECT count(*) FROM messages WHERE thread_id = threads.id) AS message_count FROM threads"
    " WHERE mailbox_id = ?"
)


def thread_of(connection: sqlite3.Connection, mailbox_id: str, message: Row, folder: str, now: int) -> Row:
    """Return the thread that a new message belongs to: that of the message it answers, or a new one.

    Mail that comes brings an archived thread back to the inbox. The last message that is referred to counts first.
    """
    references = json.loads(message["reference_ids"] or "[]")
    candidates = [message["in_reply_to"], *reversed(references)]
    for reference in dict.fromkeys(each for each in candidates if each):
        row = connection.execute(
            "SELECT threads.* FROM threads JOIN messages ON thread_id = threads.id"
            " WHERE messages.mailbox_id = ? AND message_id = ? ORDER BY messages.created_at DESC LIMIT 1",
            (mailbox_id, reference),
        ).fetchone()
        # What a filter blocks does not enter a thread that is shown, and nothing else is hidden in one that is blocked.
        if row is not None and (folder == "blocked") == (row["folder"] == "blocked"):
            return _continued(connection, row, message, now)
    row = {"id": str(uuid4()), "mailbox_id": mailbox_id, "subject": message["subject"], "folder": folder, "now": now}
    connection.execute("INSERT INTO threads VALUES (:id, :mailbox_id, :subject, :folder, :now, :now)", row)
    return row


def list_threads(
    connection: sqlite3.Connection, mailbox_id: str, *, limit: int, cursor: tuple[int, str] | None, folder: str | None
) -> Page:
    """Return a page of threads, by their last messages, newest first; without a folder, all but the blocked ones."""
    condition, values = ("folder = ?", [folder]) if folder else ("folder <> 'blocked'", [])
    statement = f"{_THREADS} AND {condition}"
    return page(connection, statement, list[Any]([mailbox_id, *values]), "last_message_at", limit, cursor)


def list_folders(connection: sqlite3.Connection, mailbox_id: str) -> list[str]:
    """Return the folders that have threads, sorted."""
    statement = "SELECT DISTINCT folder FROM threads WHERE mailbox_id = ? ORDER BY folder"
    return [row["folder"] for row in connection.execute(statement, (mailbox_id,))]


def find_thread(connection: sqlite3.Connection, mailbox_id: str, thread_id: UUID) -> Row:
    """Return a thread of a mailbox by its id.

    Raises:
        NotFound: The mailbox has no such thread.
    """
    row = connection.execute(f"{_THREADS} AND id = ?", (mailbox_id, str(thread_id))).fetchone()
    if row is None:
        raise NotFound("Thread not found")
    return row


def move_thread(connection: sqlite3.Connection, thread: Row, folder: str) -> Row:
    """Put a thread into a folder; a blocked one is shown from then on."""
    connection.execute("UPDATE threads SET folder = ? WHERE id = ?", (folder, thread["id"]))
    if thread["folder"] == "blocked":
        connection.execute(
            "UPDATE messages SET is_blocked = FALSE, updated_at = ? WHERE thread_id = ?",
            (tick(connection), thread["id"]),
        )
    return {**thread, "folder": folder}


def refresh(connection: sqlite3.Connection, thread_id: str) -> None:
    """Set a thread's time to that of its last message; delete the thread if it has none."""
    last = connection.execute(
        "SELECT created_at FROM messages WHERE thread_id = ? ORDER BY created_at DESC LIMIT 1", (thread_id,)
    ).fetchone()
    if last is None:
        connection.execute("DELETE FROM threads WHERE id = ?", (thread_id,))
    else:
        connection.execute("UPDATE threads SET last_message_at = ? WHERE id = ?", (last["created_at"], thread_id))


def _continued(connection: sqlite3.Connection, thread: Row, message: Row, now: int) -> Row:
    back = thread["folder"] == "archive" and message["direction"] == "inbound"
    folder = "inbox" if back else thread["folder"]
    connection.execute("UPDATE threads SET folder = ?, last_message_at = ? WHERE id = ?", (folder, now, thread["id"]))
    return {**thread, "folder": folder}
