"""The rows of identities and mailboxes, with the API's field names of both generations.

Every function takes a connection; its caller handles the transaction. Rows are found only in their own organization,
and deleted mailboxes never.
"""

import sqlite3
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.problems import Conflict, NotFound, Unavailable

SENDING_DOMAIN = "inkboxmail.com"

RANDOM_ADDRESSES = 5
"""The number of random addresses to try before a create is answered 503."""

Row = dict[str, Any]

_MAILBOXES = f"""
SELECT *, local_part || '@{SENDING_DOMAIN}' AS email_address, '{SENDING_DOMAIN}' AS sending_domain,
    identity_id AS agent_identity_id, inbound_filter_mode AS filter_mode,
    (SELECT storage_limit_bytes FROM limits) AS storage_limit_bytes
FROM mailboxes WHERE organization_id = ? AND status <> 'deleted'
"""  # noqa: S608 - what goes into the statement is a constant

_IDENTITIES = "SELECT * FROM identities WHERE organization_id = ?"


class HandleTaken(Conflict):
    """An identity of the organization has the handle."""


class HasMailbox(Conflict):
    """The identity already has a mailbox."""


class AddressTaken(Conflict):
    """The address is or was in use."""


def list_mailboxes(connection: sqlite3.Connection, organization_id: str) -> list[Row]:
    """Return the mailboxes, newest first."""
    return connection.execute(f"{_MAILBOXES} ORDER BY created_at DESC", (organization_id,)).fetchall()


def find_mailbox(connection: sqlite3.Connection, organization_id: str, name: str | UUID) -> Row:
    """Return a mailbox by its id, or by its local part or full address, ignoring case.

    Raises:
        NotFound: The organization has no such mailbox.
    """
    row = None
    if isinstance(name, UUID):
        row = connection.execute(f"{_MAILBOXES} AND id = ?", (organization_id, str(name))).fetchone()
    # Addresses are ASCII; str.lower() would turn a Kelvin sign into a k.
    elif name.isascii():
        local_part, at, domain = name.lower().partition("@")
        if domain == (SENDING_DOMAIN if at else ""):
            statement = f"{_MAILBOXES} AND local_part = ?"
            row = connection.execute(statement, (organization_id, local_part)).fetchone()
    if row is None:
        raise NotFound("Mailbox not found")
    return row


def find_active_mailbox(connection: sqlite3.Connection, address: str) -> Row | None:
    """Return the mailbox of any organization that has this full address, ignoring case; None for a deleted one."""
    local_part, _, domain = address.rpartition("@")
    if not address.isascii() or domain.lower() != SENDING_DOMAIN:
        return None
    owner = connection.execute(
        "SELECT organization_id FROM mailboxes WHERE local_part = ? AND status <> 'deleted'", (local_part.lower(),)
    ).fetchone()
    return owner and find_mailbox(connection, owner["organization_id"], address)


def insert_mailbox(
    connection: sqlite3.Connection, identity: Row, display_name: str, local_parts: Callable[[], str] | str
) -> Row:
    """Insert a mailbox of an identity, at a given local part or at the first free one of a few generated ones.

    Raises:
        HasMailbox: The identity has a mailbox already.
        AddressTaken: The given address is taken.
        Unavailable: All generated addresses were taken.
    """
    row = {"id": str(uuid4()), "organization_id": identity["organization_id"], "identity_id": identity["id"]}
    row |= {"display_name": display_name, "now": tick(connection)}
    for _ in range(RANDOM_ADDRESSES):
        row["local_part"] = (local_parts if isinstance(local_parts, str) else local_parts()).lower()
        try:
            connection.execute(
                "INSERT INTO mailboxes (id, organization_id, local_part, identity_id, display_name, status,"
                " created_at, updated_at) VALUES (:id, :organization_id, :local_part, :identity_id,"
                " :display_name, 'active', :now, :now)",
                row,
            )
        except sqlite3.IntegrityError as error:
            if "mailboxes.identity_id" in str(error):
                raise HasMailbox("Agent identity already has a mailbox") from None
            if "mailboxes.local_part" not in str(error):
                raise
            if isinstance(local_parts, str):
                raise AddressTaken("Email address is already taken") from None
        else:
            return find_mailbox(connection, row["organization_id"], row["local_part"])
    raise Unavailable("Could not generate a unique email address; retry the request")


def update_mailbox(connection: sqlite3.Connection, row: Row, changes: Row) -> Row:
    """Set columns of a mailbox; `updated_at` changes only if a value differs.

    Raises:
        HasMailbox: The new identity has another mailbox.
    """
    if all(row[name] == value for name, value in changes.items()):
        return row
    try:
        connection.execute(
            "UPDATE mailboxes SET identity_id = :identity_id, display_name = :display_name,"
            " webhook_url = :webhook_url, inbound_filter_mode = :inbound_filter_mode,"
            " outbound_filter_mode = :outbound_filter_mode, signature_html = :signature_html,"
            " signature_text = :signature_text, signature_enabled = :signature_enabled, updated_at = :now"
            " WHERE id = :id",
            {**row, **changes, "now": tick(connection)},
        )
    except sqlite3.IntegrityError:
        raise HasMailbox("Agent identity already has a mailbox") from None
    return find_mailbox(connection, row["organization_id"], UUID(row["id"]))


def delete_mailbox(connection: sqlite3.Connection, row: Row) -> None:
    """Delete a mailbox: its subscriptions are deleted, its identity may get another, its address stays taken."""
    connection.execute("DELETE FROM webhook_subscriptions WHERE mailbox_id = ?", (row["id"],))
    connection.execute(
        "UPDATE mailboxes SET status = 'deleted', identity_id = NULL, updated_at = ? WHERE id = ?",
        (tick(connection), row["id"]),
    )


def list_identities(connection: sqlite3.Connection, organization_id: str) -> list[Row]:
    """Return the identities with their mailboxes, newest first."""
    found = connection.execute(f"{_IDENTITIES} ORDER BY created_at DESC", (organization_id,)).fetchall()
    return [_with_mailbox(connection, row) for row in found]


def find_identity(connection: sqlite3.Connection, organization_id: str, name: str | UUID) -> Row:
    """Return an identity with its mailbox, by its id, or by a handle that may begin with `@`.

    Raises:
        NotFound: The organization has no such identity.
    """
    key, value = ("id", str(name)) if isinstance(name, UUID) else ("agent_handle", name.lstrip("@"))
    statement = f"{_IDENTITIES} AND {key} = ?"
    row = connection.execute(statement, (organization_id, value)).fetchone()
    if row is None:
        raise NotFound("Agent identity not found")
    return _with_mailbox(connection, row)


def insert_identity(
    connection: sqlite3.Connection, organization_id: str, agent_handle: str, description: str | None = None
) -> Row:
    """Insert an active identity without a mailbox.

    Raises:
        HandleTaken: An identity of this organization has the handle.
    """
    now = tick(connection)
    try:
        connection.execute(
            "INSERT INTO identities (id, organization_id, agent_handle, status, description, created_at, updated_at)"
            " VALUES (?, ?, ?, 'active', ?, ?, ?)",
            (str(uuid4()), organization_id, agent_handle, description, now, now),
        )
    except sqlite3.IntegrityError:
        raise HandleTaken("Agent handle is already taken") from None
    return find_identity(connection, organization_id, agent_handle)


def update_identity(connection: sqlite3.Connection, row: Row, changes: Row) -> Row:
    """Set columns of an identity; `updated_at` changes only if a value differs.

    Raises:
        HandleTaken: An identity of this organization has the new handle.
    """
    if all(row[name] == value for name, value in changes.items()):
        return row
    row = {**row, **changes, "now": tick(connection)}
    try:
        connection.execute(
            "UPDATE identities SET agent_handle = :agent_handle, status = :status, description = :description,"
            " signing_key_created_at = :signing_key_created_at, signing_key = :signing_key, updated_at = :now"
            " WHERE id = :id",
            row,
        )
    except sqlite3.IntegrityError:
        raise HandleTaken("Agent handle is already taken") from None
    return find_identity(connection, row["organization_id"], row["agent_handle"])


def delete_identity(connection: sqlite3.Connection, row: Row) -> None:
    """Delete an identity; its mailbox must be unlinked or deleted first."""
    connection.execute("DELETE FROM identities WHERE id = ?", (row["id"],))


def delete_identity_without_mailbox(connection: sqlite3.Connection, organization_id: str, agent_handle: str) -> None:
    """Delete the identity of this handle, if it exists and has no mailbox."""
    connection.execute(
        "DELETE FROM identities WHERE organization_id = ? AND agent_handle = ?"
        " AND id NOT IN (SELECT identity_id FROM mailboxes WHERE identity_id IS NOT NULL)",
        (organization_id, agent_handle),
    )


def owner_of_address(connection: sqlite3.Connection, local_part: str) -> str | None:
    """Return the handle of the identity, of any organization, with a mailbox at this local part."""
    row = connection.execute(
        "SELECT agent_handle FROM identities JOIN mailboxes ON identities.id = identity_id WHERE local_part = ?",
        (local_part,),
    ).fetchone()
    return row and row["agent_handle"]


def _with_mailbox(connection: sqlite3.Connection, row: Row) -> Row:
    statement = f"{_MAILBOXES} AND identity_id = ?"
    mailbox = connection.execute(statement, (row["organization_id"], row["id"])).fetchone()
    return row | {"mailbox": mailbox, "email_address": mailbox and mailbox["email_address"]}
