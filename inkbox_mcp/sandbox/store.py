"""Everything the sandbox remembers."""

import secrets
import sqlite3
import string
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.database import Database, tick

FIRST_IDENTITIES = ("sales-agent", "support-agent")


def random_local_part() -> str:
    """A random local part that looks like `abc-xyz`."""
    letters = [secrets.choice(string.ascii_lowercase) for _ in range(6)]
    return "".join(letters[:3]) + "-" + "".join(letters[3:])


@dataclass(frozen=True, slots=True)
class Organization:
    """What one API key can see and change.

    Attributes:
        id: The organisation's id.
        created_at: When its key was first seen, in microseconds since the epoch.
        local_part: Makes an address for a mailbox that asks for none.
        database: Where its rows are, among those of others.
    """

    id: str
    created_at: int
    local_part: Callable[[], str]
    database: Database

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend the connection for statements that change nothing."""
        return self.database.reading()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend the connection for statements that happen together or not at all."""
        return self.database.transaction()

    def list_mailboxes(self) -> list[SimpleNamespace]:
        """The mailboxes, newest first, for a look into the store past the API."""
        with self.reading() as connection:
            return [SimpleNamespace(**row) for row in rows.list_mailboxes(connection, self.id)]

    def list_identities(self) -> list[SimpleNamespace]:
        """The identities, newest first, for a look into the store past the API."""
        with self.reading() as connection:
            return [SimpleNamespace(**row) for row in rows.list_identities(connection, self.id)]


class Store:
    """The organisations of a sandbox, in a SQLite file that survives restarts and may be shared by processes.

    Both generations of the API serve the same file; one of an earlier release is brought up to date.

    Args:
        path: The file, made with its directory when missing and readable by its owner only; `:memory:` for a
            store that lives as long as the object.
        local_part: Makes an address for a mailbox that asks for none; tried a few times if it repeats itself.
        busy_timeout: Seconds to wait for another process that writes, before a request is answered 503.

    Raises:
        StoreError: The file cannot be opened, is not a database, or is one of another program or a later release.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        local_part: Callable[[], str] = random_local_part,
        busy_timeout: float = 10.0,
    ) -> None:
        """Open the file; the caller closes the store, alone or with a `with` statement."""
        self._database = Database(path, busy_timeout=busy_timeout)
        self._local_part = local_part

    def organization(self, organization_id: str) -> Organization:
        """The organisation by that id, which begins with two identities the first time it is seen.

        Neither has a mailbox, and only the spec generation shows identities without one.
        """
        found = "SELECT created_at FROM organizations WHERE id = ?"
        with self._database.reading() as connection:
            row = connection.execute(found, (organization_id,)).fetchone()
        if row is None:
            with self._database.transaction() as connection:
                _begin(connection, organization_id)
                row = connection.execute(found, (organization_id,)).fetchone()
        return Organization(organization_id, row["created_at"], self._local_part, self._database)

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._database.close()

    def __enter__(self) -> Self:
        """Use the store in a `with` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _begin(connection: sqlite3.Connection, organization_id: str) -> None:
    statement = "INSERT INTO organizations VALUES (?, ?) ON CONFLICT DO NOTHING"
    # No row is inserted when another thread or process saw the same new key a moment earlier.
    if connection.execute(statement, (organization_id, tick(connection))).rowcount:
        for handle in FIRST_IDENTITIES:
            rows.insert_identity(connection, organization_id, handle)
