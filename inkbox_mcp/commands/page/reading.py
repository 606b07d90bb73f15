"""Reads the database in threads: the event loop also serves the API, and must not wait for a file."""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import anyio
from starlette.exceptions import HTTPException

from inkbox_mcp.sandbox import Store

T = TypeVar("T")

Item = dict[str, Any]

READS_AT_ONCE = 4
"""The database is read by one thread at a time anyway; the other threads of the process belong to the API."""


class Reader:
    """Reads the database of a sandbox.

    Args:
        store: the sandbox's.
        file: of the store; None if it is in memory.
    """

    def __init__(self, store: Store, file: Path | None = None) -> None:
        self._store = store
        self._file = file
        self._opened = _identity(file)
        self._turns = anyio.CapacityLimiter(READS_AT_ONCE)

    async def read(self, look: Callable[..., T], *arguments: object) -> T:
        """Return what a function reads: it gets a connection, with a snapshot of its own, and the arguments.

        Raises:
            sqlite3.OperationalError: another process locked the file for too long.
        """
        return await anyio.to_thread.run_sync(self._read, look, arguments, abandon_on_cancel=True, limiter=self._turns)

    async def is_replaced(self) -> bool:
        """Whether the file was deleted or replaced: the sandbox then goes on with the old one, which has no name."""
        return await anyio.to_thread.run_sync(_identity, self._file, limiter=self._turns) != self._opened

    def _read(self, look: Callable[..., T], arguments: tuple[object, ...]) -> T:
        with self._store.reading() as connection:
            return look(connection, *arguments)


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None if there is none."""
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None


def found(row: Item | None, what: str) -> Item:
    """Return a row that must exist.

    Raises:
        HTTPException: 404; there is none.
    """
    if row is None:
        raise HTTPException(404, f"There is no such {what}; it may have been deleted.")
    return row


def one(connection: sqlite3.Connection, statement: str, values: Mapping[str, object]) -> Item | None:
    """Return the only row of a statement."""
    row: Item | None = connection.execute(statement, values).fetchone()
    return row
