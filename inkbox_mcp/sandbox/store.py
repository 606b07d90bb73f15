"""The data of the sandbox."""

import secrets
import sqlite3
import string
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Self

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.calls import insert_calls
from inkbox_mcp.sandbox.database import Database, tick
from inkbox_mcp.sandbox.faults import Fault, add_fault, clear_faults
from inkbox_mcp.sandbox.mail.delivery import deliver
from inkbox_mcp.sandbox.mail.headers import is_address
from inkbox_mcp.sandbox.mail.limits import Limits, read_limits, write_limits
from inkbox_mcp.sandbox.mail.parsing import MAX_MESSAGE_BYTES, Unreadable, parse
from inkbox_mcp.sandbox.mail.webhooks import Courier

FIRST_IDENTITIES = ("sales-agent", "support-agent")

_SECONDS_FOR_CALLS = 0.5


def random_local_part() -> str:
    """Return a random local part such as `abc-xyz`."""
    letters = [secrets.choice(string.ascii_lowercase) for _ in range(6)]
    return "".join(letters[:3]) + "-" + "".join(letters[3:])


@dataclass(frozen=True, slots=True)
class Organization:
    """What one API key can see and change.

    Attributes:
        id: The organization's id.
        created_at: When its key was first used, in microseconds since the epoch.
        local_part: Generates local parts.
        database: With its rows, and those of other organizations.
        courier: Delivers events to webhooks.
    """

    id: str
    created_at: int
    local_part: Callable[[], str]
    database: Database
    courier: Courier

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection for statements that change nothing."""
        return self.database.reading()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection for statements that are committed together or not at all."""
        return self.database.transaction()

    def posting(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection for a transaction, after which its events are delivered."""
        return self.courier.posting()

    def list_mailboxes(self) -> list[SimpleNamespace]:
        """Return the mailboxes, newest first, without going through the API."""
        with self.reading() as connection:
            return [SimpleNamespace(**row) for row in rows.list_mailboxes(connection, self.id)]

    def list_identities(self) -> list[SimpleNamespace]:
        """Return the identities, newest first, without going through the API."""
        with self.reading() as connection:
            return [SimpleNamespace(**row) for row in rows.list_identities(connection, self.id)]


class Store:
    """The organizations of a sandbox, in a SQLite file that processes may share.

    Both generations of the API use the same file. A file of an earlier release is migrated.

    Args:
        path: The file. It is created with its directory if missing, readable by its owner only. `:memory:` is a store
            that lives as long as the object.
        local_part: Generates a local part for a mailbox without a chosen one; called again if the address is taken.
        busy_timeout: Seconds to wait for another process that writes, before a request is answered 503.

    Raises:
        StoreError: The file cannot be opened, is not a database, or is another program's or a later release's.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        local_part: Callable[[], str] = random_local_part,
        busy_timeout: float = 10.0,
    ) -> None:
        """Open the file; close the store with `close` or a `with` statement."""
        self._database = Database(path, busy_timeout=busy_timeout)
        self._local_part = local_part
        self._courier = Courier(self._database)
        self._courier.resume()

    def organization(self, organization_id: str) -> Organization:
        """Return the organization of this id. A new one begins with two identities.

        Neither has a mailbox, and only the spec generation shows identities without one.
        """
        found = "SELECT created_at FROM organizations WHERE id = ?"
        with self._database.reading() as connection:
            row = connection.execute(found, (organization_id,)).fetchone()
        if row is None:
            with self._database.transaction() as connection:
                _begin(connection, organization_id)
                row = connection.execute(found, (organization_id,)).fetchone()
        return Organization(organization_id, row["created_at"], self._local_part, self._database, self._courier)

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection for statements that change nothing, in all organizations."""
        return self._database.reading()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Yield the connection for statements that are committed together or not at all, in all organizations."""
        return self._database.transaction()

    def deliver(
        self, message: bytes, recipients: Iterable[str] = (), *, sender: str | None = None
    ) -> tuple[dict[str, str], list[str]]:
        """Deliver a message from outside.

        Args:
            message: RFC 5322 text, at most 40 MB.
            recipients: Addresses; without any, those of To, Cc and Bcc in the message.
            sender: The address of a message without From; what is no address counts as none.

        Returns:
            The ids of the messages by recipient, and the recipients that no mailbox of the sandbox takes it for.

        Raises:
            Unreadable: The message is too large, or is built so that reading it would take too long.
        """
        if len(message) > MAX_MESSAGE_BYTES:
            raise Unreadable(f"The message is larger than {MAX_MESSAGE_BYTES} bytes")
        parsed = parse(message)
        parsed = replace(
            parsed, from_address=parsed.from_address or (sender if sender and is_address(sender) else None)
        )
        addresses = list(dict.fromkeys(each.lower() for each in recipients or [*parsed.to, *parsed.cc, *parsed.bcc]))
        with self._courier.posting() as connection:
            delivered = deliver(connection, parsed, message, addresses)
        return {address: row["id"] for address, row in delivered.items()}, [
            address for address in addresses if address not in delivered
        ]

    def has_mailbox(self, address: str) -> bool:
        """Whether an address is that of a mailbox, of any organization."""
        with self.reading() as connection:
            return rows.find_active_mailbox(connection, address) is not None

    @property
    def limits(self) -> Limits:
        """The limits of the plan; set them to change them for all that use the file."""
        with self.reading() as connection:
            return read_limits(connection)

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self.transaction() as connection:
            write_limits(connection, limits)

    def add_fault(self, fault: Fault) -> None:
        """Let a fault wait for the next requests of its operation, in any process that has the file."""
        with self.transaction() as connection:
            add_fault(connection, fault)

    def clear_faults(self) -> None:
        """Forget the faults that wait."""
        with self.transaction() as connection:
            clear_faults(connection)

    def keep_calls(self, calls: Iterable[rows.Row]) -> None:
        """Keep calls of tools, in place of the oldest ones; see `sandbox.calls`. A file that is locked loses them."""
        with suppress(sqlite3.Error), self._database.brief_transaction(_SECONDS_FOR_CALLS) as connection:
            insert_calls(connection, calls)

    def finish_deliveries(self) -> None:
        """Wait until all events so far are delivered to their webhooks, or given up."""
        self._courier.finish()

    def close(self) -> None:
        """Deliver the events that are left and close the file; closing twice is allowed."""
        self._courier.close()
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
    # No row is inserted if another thread or process inserted it a moment earlier.
    if connection.execute(statement, (organization_id, tick(connection))).rowcount:
        for handle in FIRST_IDENTITIES:
            rows.insert_identity(connection, organization_id, handle)
