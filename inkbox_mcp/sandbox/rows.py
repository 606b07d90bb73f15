"""The rows of identities and mailboxes: found, inserted, and turned into what the API answers.

Every function takes a connection and leaves the transaction to its caller.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.records import (
    SENDING_DOMAIN,
    IdentityDetail,
    IdentityMailbox,
    Mailbox,
)
from inkbox_mcp.sandbox.refusals import Conflict, NotFound, Unavailable

RANDOM_ADDRESSES = 5
"""How many random addresses are tried before a create is answered 503."""

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_mailboxes(connection: sqlite3.Connection, organization_id: str) -> list[Row]:
    """The mailboxes that are not deleted, newest first."""
    return connection.execute(
        "SELECT * FROM mailboxes WHERE organization_id = ? AND status <> 'deleted' ORDER BY created_at DESC",
        (organization_id,),
    ).fetchall()


def find_mailbox(connection: sqlite3.Connection, organization_id: str, address: str) -> Row:
    """The mailbox at a local part or full address, in any case.

    Raises:
        NotFound: The organisation has none there, or deleted it.
    """
    local_part, at, domain = address.partition("@")
    row = None
    # Addresses are ASCII; str.lower() would turn a Kelvin sign into a k.
    if address.isascii() and domain.lower() == (SENDING_DOMAIN if at else ""):
        row = connection.execute(
            "SELECT * FROM mailboxes WHERE organization_id = ? AND local_part = ? AND status <> 'deleted'",
            (organization_id, local_part.lower()),
        ).fetchone()
    if row is None:
        raise NotFound("Mailbox not found")
    return row


def insert_mailbox(
    connection: sqlite3.Connection, identity: Row, display_name: str, local_parts: Callable[[], str] | str
) -> Row:
    """Insert a mailbox of an identity, at one local part or at the first free one of a few generated ones.

    Raises:
        Conflict: The identity has a mailbox, or the one address is or was somebody's.
        Unavailable: The generated addresses were all taken.
    """
    row = {"id": str(uuid4()), "organization_id": identity["organization_id"], "identity_id": identity["id"]}
    row |= {"display_name": display_name, "now": tick(connection)}
    for _ in range(RANDOM_ADDRESSES):
        row["local_part"] = (local_parts if isinstance(local_parts, str) else local_parts()).lower()
        try:
            connection.execute(
                "INSERT INTO mailboxes VALUES (:id, :organization_id, :local_part, :identity_id,"
                " :display_name, NULL, 'active', :now, :now)",
                row,
            )
        except sqlite3.IntegrityError as error:
            if "mailboxes.identity_id" in str(error):
                raise Conflict("Agent identity already has a mailbox") from None
            if "mailboxes.local_part" not in str(error):
                raise
            if isinstance(local_parts, str):
                raise Conflict("Email address is already taken") from None
        else:
            return find_mailbox(connection, row["organization_id"], row["local_part"])
    raise Unavailable("Could not generate a unique email address; retry the request")


def update_mailbox(connection: sqlite3.Connection, row: Row) -> None:
    """Write what may change of a mailbox.

    Raises:
        Conflict: Its new identity has another mailbox.
    """
    try:
        connection.execute(
            "UPDATE mailboxes SET identity_id = :identity_id, display_name = :display_name,"
            " webhook_url = :webhook_url, status = :status, updated_at = :now WHERE id = :id",
            {**row, "now": tick(connection)},
        )
    except sqlite3.IntegrityError:
        raise Conflict("Agent identity already has a mailbox") from None


def link(connection: sqlite3.Connection, mailbox_id: UUID, identity: Row) -> None:
    """Give a mailbox to an identity, unless it has it already.

    Raises:
        NotFound: The identity's organisation has no such mailbox, or deleted it.
        Conflict: The mailbox has another identity, or the identity another mailbox.
    """
    row = connection.execute(
        "SELECT * FROM mailboxes WHERE organization_id = ? AND id = ? AND status <> 'deleted'",
        (identity["organization_id"], str(mailbox_id)),
    ).fetchone()
    if row is None:
        raise NotFound("Mailbox not found")
    if row["identity_id"] == identity["id"]:
        return
    if row["identity_id"] is not None:
        raise Conflict("Mailbox is already assigned to another agent identity")
    update_mailbox(connection, {**row, "identity_id": identity["id"]})


def unlink(connection: sqlite3.Connection, identity: Row) -> None:
    """Part an identity from its mailbox, if it has one."""
    connection.execute(
        "UPDATE mailboxes SET identity_id = NULL, updated_at = ? WHERE identity_id = ?",
        (tick(connection), identity["id"]),
    )


_IDENTITIES = """
SELECT identities.*, mailboxes.id AS mailbox_id, mailboxes.local_part, mailboxes.display_name,
    mailboxes.status AS mailbox_status, mailboxes.created_at AS mailbox_created_at,
    mailboxes.updated_at AS mailbox_updated_at
FROM identities LEFT JOIN mailboxes ON mailboxes.identity_id = identities.id
WHERE identities.organization_id = ?
"""


def list_identities(connection: sqlite3.Connection, organization_id: str) -> list[Row]:
    """The identities with their mailboxes, newest first."""
    statement = f"{_IDENTITIES} ORDER BY identities.created_at DESC"
    return connection.execute(statement, (organization_id,)).fetchall()


def find_identity(connection: sqlite3.Connection, organization_id: str, agent_handle: str) -> Row:
    """The identity by a handle that may begin with `@`, with its mailbox.

    Raises:
        NotFound: The organisation has none by that handle.
    """
    row = connection.execute(
        f"{_IDENTITIES} AND identities.agent_handle = ?", (organization_id, agent_handle.lstrip("@"))
    ).fetchone()
    if row is None:
        raise NotFound("Agent identity not found")
    return row


def insert_identity(connection: sqlite3.Connection, organization_id: str, agent_handle: str) -> Row:
    """Insert an active identity without a mailbox.

    Raises:
        Conflict: The handle is taken in this organisation.
    """
    now = tick(connection)
    try:
        connection.execute(
            "INSERT INTO identities VALUES (?, ?, ?, 'active', ?, ?)",
            (str(uuid4()), organization_id, agent_handle, now, now),
        )
    except sqlite3.IntegrityError:
        raise Conflict("Agent handle is already taken") from None
    return find_identity(connection, organization_id, agent_handle)


def update_identity(connection: sqlite3.Connection, row: Row) -> None:
    """Write what may change of an identity.

    Raises:
        Conflict: Its new handle is taken in this organisation.
    """
    try:
        connection.execute(
            "UPDATE identities SET agent_handle = :agent_handle, status = :status, updated_at = :now WHERE id = :id",
            {**row, "now": tick(connection)},
        )
    except sqlite3.IntegrityError:
        raise Conflict("Agent handle is already taken") from None


def mailbox(row: Row) -> Mailbox:
    """The mailbox object of a row."""
    return Mailbox(
        id=row["id"],
        email_address=f"{row['local_part']}@{SENDING_DOMAIN}",
        display_name=row["display_name"],
        webhook_url=row["webhook_url"],
        status=row["status"],
        agent_identity_id=row["identity_id"],
        created_at=_timestamp(row["created_at"]),
        updated_at=_timestamp(row["updated_at"]),
    )


def identity(row: Row) -> IdentityDetail:
    """The identity of a row, with its mailbox."""
    its = _identity_mailbox(row)
    return IdentityDetail(
        id=row["id"],
        organization_id=row["organization_id"],
        agent_handle=row["agent_handle"],
        status=row["status"],
        email_address=its and its.email_address,
        created_at=_timestamp(row["created_at"]),
        updated_at=_timestamp(row["updated_at"]),
        mailbox=its,
    )


def _identity_mailbox(row: Row) -> IdentityMailbox | None:
    if row["mailbox_id"] is None:
        return None
    return IdentityMailbox(
        id=row["mailbox_id"],
        email_address=f"{row['local_part']}@{SENDING_DOMAIN}",
        display_name=row["display_name"],
        status=row["mailbox_status"],
        created_at=_timestamp(row["mailbox_created_at"]),
        updated_at=_timestamp(row["mailbox_updated_at"]),
    )


def _timestamp(microseconds: int) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
