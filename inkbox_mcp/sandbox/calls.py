"""The last calls of tools that clients of the file made, for people who look at it; the API shows none of them."""

import sqlite3
from collections.abc import Iterable

from inkbox_mcp.sandbox.rows import Row

KEPT = 200
"""Calls that are kept."""


def insert_calls(connection: sqlite3.Connection, calls: Iterable[Row]) -> None:
    """Insert calls, and delete those that are too old to be kept.

    Args:
        connection: In a transaction.
        calls: With `tool`, `arguments` as JSON or None, `outcome`, `error_text`, `duration_ms`, `client` and
            `created_at`.
    """
    connection.executemany(
        "INSERT INTO calls (tool, arguments, outcome, error_text, duration_ms, client, created_at)"
        " VALUES (:tool, :arguments, :outcome, :error_text, :duration_ms, :client, :created_at)",
        calls,
    )
    connection.execute("DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?", (KEPT,))


def list_calls(connection: sqlite3.Connection, limit: int) -> list[Row]:
    """Return the last calls, newest first."""
    return connection.execute("SELECT * FROM calls ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
