"""Finds messages by words.

Not by FTS5, which not every build of SQLite has: the file could not be used there any more. A scan of ten thousand
short messages takes a tenth of a second.
"""

import sqlite3

from inkbox_mcp.sandbox.mail.messages import find_message
from inkbox_mcp.sandbox.mail.texts import words_of
from inkbox_mcp.sandbox.rows import Row


def search(connection: sqlite3.Connection, mailbox_id: str, query: str, limit: int) -> list[Row]:
    """Return the messages that contain every word of a query, those with the most of them first, then the newest.

    A word also stands for longer ones that begin with it. A word of the subject counts as five.

    Args:
        connection: To read from.
        mailbox_id: The mailbox; its blocked messages are not searched.
        query: Words; without any, nothing is found.
        limit: Messages to return.
    """
    words = [f" {word}" for word in dict.fromkeys(words_of(query))]
    if not words:
        return []
    found = connection.execute(
        "SELECT messages.id, subject, words FROM messages JOIN contents ON contents.id = content_id"  # noqa: S608
        f" WHERE mailbox_id = ? AND is_blocked = 0{' AND instr(words, ?)' * len(words)}"
        " ORDER BY messages.created_at DESC, messages.id DESC",
        (mailbox_id, *words),
    )
    # Stable: of equal ones, the newest stays first.
    ranked = sorted(((_rank(row, words), row["id"]) for row in found), key=lambda each: -each[0])
    return [find_message(connection, mailbox_id, message_id) for _, message_id in ranked[:limit]]


def _rank(row: Row, words: list[str]) -> int:
    text, subject = row["words"], f" {' '.join(words_of(row['subject'] or ''))} "
    return sum(text.count(word) + 4 * subject.count(word) for word in words)
