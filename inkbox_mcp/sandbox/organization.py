"""One organisation: what an API key can see and change."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.database import Database
from inkbox_mcp.sandbox.records import IdentityDetail, Mailbox

DEFAULT_DISPLAY_NAME = "Inkbox user"


class Organization:
    """The identities and mailboxes of one organisation; each method is one transaction.

    Handles may begin with `@`; mailboxes go by their local part or their full address, in any case. A method
    raises `NotFound` when the identity or the mailbox it names is not this organisation's.
    """

    def __init__(
        self, database: Database, organization_id: str, created_at: int, local_part: Callable[[], str]
    ) -> None:
        """Confine `database` to one organisation; `created_at` counts microseconds."""
        self.id = organization_id
        self.created_at = created_at / 1e6
        self._database = database
        self._local_part = local_part

    def create_mailbox(
        self, agent_handle: str, display_name: str | None = None, email_local_part: str | None = None
    ) -> Mailbox:
        """Make a mailbox for an identity, at a random address if none is asked for.

        Raises:
            Conflict: The identity has a mailbox, or the address is or was somebody's.
            Unavailable: The random addresses were all taken.
        """
        name = DEFAULT_DISPLAY_NAME if display_name is None else display_name
        with self._database.transaction() as connection:
            identity = rows.find_identity(connection, self.id, agent_handle)
            row = rows.insert_mailbox(connection, identity, name, email_local_part or self._local_part)
        return rows.mailbox(row)

    def list_mailboxes(self) -> list[Mailbox]:
        """The mailboxes, newest first."""
        with self._database.reading() as connection:
            found = rows.list_mailboxes(connection, self.id)
        return [rows.mailbox(row) for row in found]

    def get_mailbox(self, address: str) -> Mailbox:
        """The mailbox at that address."""
        with self._database.reading() as connection:
            return rows.mailbox(rows.find_mailbox(connection, self.id, address))

    def update_mailbox(self, address: str, changes: dict[str, Any]) -> Mailbox:
        """Set `display_name`, `webhook_url` or both; `updated_at` moves only if a value differs."""
        with self._database.transaction() as connection:
            row = rows.find_mailbox(connection, self.id, address)
            if any(row[name] != value for name, value in changes.items()):
                rows.update_mailbox(connection, {**row, **changes})
            return rows.mailbox(rows.find_mailbox(connection, self.id, address))

    def delete_mailbox(self, address: str) -> None:
        """Hide the mailbox for ever; its identity may have another, its address is never free again."""
        with self._database.transaction() as connection:
            row = rows.find_mailbox(connection, self.id, address)
            rows.update_mailbox(connection, {**row, "status": "deleted", "identity_id": None})

    def create_identity(self, agent_handle: str) -> IdentityDetail:
        """Make an identity without a mailbox.

        Raises:
            Conflict: The handle is taken in this organisation.
        """
        with self._database.transaction() as connection:
            return rows.identity(rows.insert_identity(connection, self.id, agent_handle))

    def create_identity_with_mailbox(
        self, agent_handle: str, display_name: str | None = None, email_local_part: str | None = None
    ) -> IdentityDetail:
        """Make an identity and its mailbox, which is named after the handle: both or neither.

        Raises:
            Conflict: The handle is taken in this organisation, or the address is or was somebody's.
            Unavailable: The random addresses were all taken.
        """
        name = agent_handle if display_name is None else display_name
        with self._database.transaction() as connection:
            identity = rows.insert_identity(connection, self.id, agent_handle)
            rows.insert_mailbox(connection, identity, name, email_local_part or self._local_part)
            return rows.identity(rows.find_identity(connection, self.id, agent_handle))

    def list_identities(self) -> list[IdentityDetail]:
        """The identities, newest first."""
        with self._database.reading() as connection:
            found = rows.list_identities(connection, self.id)
        return [rows.identity(row) for row in found]

    def get_identity(self, agent_handle: str) -> IdentityDetail:
        """The identity by that handle, with its mailbox."""
        with self._database.reading() as connection:
            return rows.identity(rows.find_identity(connection, self.id, agent_handle))

    def update_identity(self, agent_handle: str, changes: dict[str, Any]) -> IdentityDetail:
        """Set `agent_handle`, `status` or both; `updated_at` moves only if a value differs.

        Raises:
            Conflict: The new handle is taken in this organisation.
        """
        with self._database.transaction() as connection:
            row = rows.find_identity(connection, self.id, agent_handle)
            if any(row[name] != value for name, value in changes.items()):
                rows.update_identity(connection, {**row, **changes})
            return rows.identity(rows.find_identity(connection, self.id, changes.get("agent_handle", agent_handle)))

    def delete_identity(self, agent_handle: str) -> None:
        """Delete the identity; its mailbox stays, without one."""
        with self._database.transaction() as connection:
            row = rows.find_identity(connection, self.id, agent_handle)
            rows.unlink(connection, row)
            connection.execute("DELETE FROM identities WHERE id = ?", (row["id"],))

    def link_mailbox(self, agent_handle: str, mailbox_id: UUID) -> IdentityDetail:
        """Give a mailbox that has no identity to an identity that has no mailbox; again does no harm.

        Raises:
            Conflict: The mailbox has another identity, or the identity another mailbox.
        """
        with self._database.transaction() as connection:
            rows.link(connection, mailbox_id, rows.find_identity(connection, self.id, agent_handle))
            return rows.identity(rows.find_identity(connection, self.id, agent_handle))

    def unlink_mailbox(self, agent_handle: str) -> None:
        """Part an identity from its mailbox, which stays; nothing happens when it has none."""
        with self._database.transaction() as connection:
            rows.unlink(connection, rows.find_identity(connection, self.id, agent_handle))
