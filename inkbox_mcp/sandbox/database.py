"""Opens the SQLite file, and provides its transactions and its clock."""

import os
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inkbox_mcp.sandbox.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION

_opening = threading.Lock()


class StoreError(Exception):
    """The file cannot be used as a sandbox's database; the message names the file and the reason."""


class Database:
    """One SQLite file, shared by threads: one thread writes and one reads at a time.

    Transactions take well under a millisecond, so a lock costs less than a pool. Reading has its own connection,
    because writing may wait for another process. `:memory:` has no other process, and one connection.
    """

    def __init__(self, path: str | Path, *, busy_timeout: float) -> None:
        """Open the file, or make one that only its owner can read.

        Args:
            path: The file, or `:memory:`.
            busy_timeout: Seconds to wait for another process or thread before `sqlite3.OperationalError`.

        Raises:
            StoreError: The file cannot be opened, is not a database, or is not one of this version.
        """
        self._busy_timeout = busy_timeout
        self._turn_timeout = max(busy_timeout, 1)
        try:
            self._writing = self._reading = _Shared(_open(path, busy_timeout))
            if str(path) != ":memory:":
                self._reading = _Shared(_connect(path, busy_timeout))
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"Cannot use {path} as a sandbox database: {error}.") from error

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Yield the connection for statements that change nothing, on one snapshot."""
        with self._reading.taken(self._turn_timeout) as connection, _transaction(connection, "DEFERRED"):
            yield connection

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Yield the connection for statements that are committed together or not at all."""
        with self._writing.taken(self._turn_timeout) as connection, _transaction(connection):
            yield connection

    @contextmanager
    def brief_transaction(self, seconds: float) -> Generator[sqlite3.Connection]:
        """Yield the connection for a transaction that is not worth a longer wait.

        Raises:
            sqlite3.OperationalError: Another process or thread writes for longer than `seconds`.
        """
        with (
            self._writing.taken(seconds) as connection,
            _patience(connection, seconds, self._busy_timeout),
            _transaction(connection),
        ):
            yield connection

    def close(self) -> None:
        """Close the file; closing twice is allowed."""
        self._reading.close()
        self._writing.close()


class _Shared:
    """A connection that one thread uses at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, seconds: float) -> Generator[sqlite3.Connection]:
        # Bounded: while one thread waits for another process, the waits of the others would add up.
        if not self._lock.acquire(timeout=seconds):
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        try:
            yield self._connection
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def tick(connection: sqlite3.Connection) -> int:
    """Return microseconds since the epoch, later than all earlier ticks of this file; needs a transaction."""
    now = time.time_ns() // 1000
    connection.execute("UPDATE clock SET microseconds = max(microseconds + 1, ?)", (now,))
    return connection.execute("SELECT microseconds FROM clock").fetchone()["microseconds"]


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another process locked the file for too long."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _open(path: str | Path, busy_timeout: float) -> sqlite3.Connection:
    # Closing a file drops all locks of this process on it. The lock here keeps other threads from opening the file
    # before its creator has closed it.
    with _opening:
        if str(path) != ":memory:":
            _create_file(Path(path))
        connection = _connect(path, busy_timeout)
    try:
        _prepare(connection, busy_timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str | Path, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    connection.row_factory = _as_dict
    return connection


def _create_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _prepare(connection: sqlite3.Connection, busy_timeout: float) -> None:
    # Before anything is written: the file may be another program's.
    with _transaction(connection, "DEFERRED"):
        _version(connection)
    _write_ahead(connection, busy_timeout)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    with _transaction(connection):
        _bring_up_to_date(connection)


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version == SCHEMA_VERSION:
        return
    steps = [MIGRATIONS[number] for number in range(version, SCHEMA_VERSION)] if version else [SCHEMA]
    # Not executescript(), which would commit the transaction.
    for statement in "".join(script for step in steps for script in step).split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _version(connection: sqlite3.Connection) -> int:
    """Return the version of the file's schema; 0 for an empty file."""
    version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    if application == APPLICATION_ID and not 1 <= version <= SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"its schema is version {version}, this release's is {SCHEMA_VERSION}")
    if application == APPLICATION_ID:
        return version
    if application or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise sqlite3.DatabaseError("it is the database of another program")
    return 0


def _write_ahead(connection: sqlite3.Connection, busy_timeout: float) -> None:
    # Unlike other statements, changing a new file to WAL does not wait for a lock: if two processes create the file
    # at the same moment, one would fail.
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[name]


@contextmanager
def _patience(connection: sqlite3.Connection, seconds: float, usual: float) -> Generator[None]:
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(usual * 1000)}")


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip((column[0] for column in cursor.description), values, strict=True))


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Generator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk, SQLite has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
