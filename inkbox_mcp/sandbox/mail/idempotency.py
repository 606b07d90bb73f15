"""The keys under which a message is sent at most once."""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.problems import Conflict
from inkbox_mcp.sandbox.rows import Row

Operation = Literal["mail.send", "mail.reply_all", "mail.forward"]

_MICROSECONDS_KEPT = 7 * 24 * 60 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and the input that it stands for.

    Attributes:
        text: The key.
        operation: Each has keys of its own.
        fingerprint: Of the input.
    """

    text: str
    operation: Operation
    fingerprint: str


def key_of(text: str, operation: Operation, *parts: Any) -> Key:
    """Make the key of a request.

    Args:
        text: The header.
        operation: What is asked for.
        parts: The input, as JSON data in which files may be bytes.
    """
    data = json.dumps(parts, sort_keys=True, default=lambda value: hashlib.sha256(value).hexdigest())
    return Key(text, operation, hashlib.sha256(data.encode()).hexdigest())


def replayed(connection: sqlite3.Connection, mailbox: Row, key: Key) -> Row | None:
    """Return the first answer to a key; None if it is new or was forgotten after seven days.

    Raises:
        Conflict: The key stands for other input.
    """
    row = find_key(connection, mailbox, key.operation, key.text)
    if row is None:
        return None
    if row["fingerprint"] != key.fingerprint:
        message = "This key was used for another message; a new message needs a new key."
        raise Conflict({"error": "idempotency_key_reused", "message": message})
    return json.loads(row["answer"])


def find_key(connection: sqlite3.Connection, mailbox: Row, operation: str, text: str) -> Row | None:
    """Return the row of a key that is not forgotten."""
    now = connection.execute("SELECT microseconds FROM clock").fetchone()["microseconds"]
    return connection.execute(
        "SELECT * FROM idempotency_keys WHERE organization_id = ? AND mailbox_id = ? AND operation = ? AND key = ?"
        " AND created_at > ?",
        (mailbox["organization_id"], mailbox["id"], operation, text, now - _MICROSECONDS_KEPT),
    ).fetchone()


def remember(connection: sqlite3.Connection, mailbox: Row, key: Key, answer: Row) -> None:
    """Keep the answer to a key, and forget those that are too old."""
    now = tick(connection)
    connection.execute("DELETE FROM idempotency_keys WHERE created_at <= ?", (now - _MICROSECONDS_KEPT,))
    connection.execute(
        "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(mailbox["organization_id"], mailbox["id"], key.operation, key.text, key.fingerprint),
            *(answer["id"], json.dumps(answer), now),
        ),
    )
