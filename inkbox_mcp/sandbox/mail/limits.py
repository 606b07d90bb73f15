"""The limits of a plan, kept in the database and generous until they are changed."""

import json
import sqlite3
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from inkbox_mcp.sandbox.problems import Forbidden, PaymentRequired, TooLarge, TooManyRequests
from inkbox_mcp.sandbox.rows import Row

_DAY = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan allows.

    Attributes:
        storage_limit_bytes: Of each mailbox.
        recipients_per_day: To, Cc and Bcc together that an organization may send to in a day of UTC; None for all.
        attachment_bytes: Of the attachments of one message, decoded.
        attachment_url_seconds: How long the URL of an attachment is valid.
        allowed_recipients: The only addresses that may be sent to, as for an agent that nobody claimed; None for all.
        can_receive: Whether mail from outside is taken.
        footer: A text below each body that is sent, as on the free plan; None for none.
    """

    storage_limit_bytes: int = 2 * 1024**3
    recipients_per_day: int | None = None
    attachment_bytes: int = 25 * 1024**2
    attachment_url_seconds: int = 900
    allowed_recipients: tuple[str, ...] | None = None
    can_receive: bool = True
    footer: str | None = None


def read_limits(connection: sqlite3.Connection) -> Limits:
    """Return the limits of this database."""
    row: dict[str, Any] = connection.execute("SELECT * FROM limits").fetchone()
    allowed = row["allowed_recipients"]
    row |= {"can_receive": bool(row["can_receive"]), "allowed_recipients": allowed and tuple(json.loads(allowed))}
    return Limits(**row)


def write_limits(connection: sqlite3.Connection, limits: Limits) -> None:
    """Replace the limits of this database."""
    values = asdict(limits)
    values["allowed_recipients"] = None if limits.allowed_recipients is None else json.dumps(limits.allowed_recipients)
    columns = ", ".join(f"{each.name} = :{each.name}" for each in fields(limits))
    connection.execute(f"UPDATE limits SET {columns}", values)  # noqa: S608 - the names of our own fields


def refuse_recipients(limits: Limits, recipients: list[str]) -> None:
    """Refuse recipients that an agent that nobody claimed may not write to.

    Raises:
        Forbidden: One of them is not allowed; the detail names it.
    """
    if limits.allowed_recipients is None:
        return
    allowed = {address.lower() for address in limits.allowed_recipients}
    for address in recipients:
        if address.lower() not in allowed:
            raise Forbidden(
                {
                    "error": "recipient_not_allowed",
                    "message": "An agent that nobody has claimed may write to its human only.",
                    "address": address,
                }
            )


def count_recipients(connection: sqlite3.Connection, limits: Limits, organization_id: str, number: int) -> None:
    """Count recipients of the day.

    Raises:
        TooManyRequests: With these they would be too many; `Retry-After` is when the day ends.
    """
    now = int(time.time())
    row: Row = {"organization_id": organization_id, "day": now // _DAY, "number": number}
    connection.execute(
        "INSERT INTO recipient_sends VALUES (:organization_id, :day, :number)"
        " ON CONFLICT DO UPDATE SET recipients = recipients + :number",
        row,
    )
    found = connection.execute(
        "SELECT recipients FROM recipient_sends WHERE organization_id = :organization_id AND day = :day", row
    ).fetchone()
    if limits.recipients_per_day is not None and found["recipients"] > limits.recipients_per_day:
        detail = {
            "error": "recipient_send_limit_exceeded",
            "message": f"The plan allows {limits.recipients_per_day} recipients in 24 hours.",
            "limit": limits.recipients_per_day,
        }
        raise TooManyRequests(detail, {"Retry-After": str(_DAY - now % _DAY)})


def has_room(limits: Limits, mailbox: Row, size: int) -> bool:
    """Whether a mailbox can take so many bytes more."""
    return mailbox["storage_used_bytes"] + size <= limits.storage_limit_bytes


def refuse_without_room(limits: Limits, mailbox: Row, size: int) -> None:
    """Refuse what a mailbox cannot take.

    Raises:
        PaymentRequired: It would have more bytes than its plan allows.
    """
    if not has_room(limits, mailbox, size):
        raise PaymentRequired(
            {
                "error": "storage_limit_exceeded",
                "message": "The mailbox is full. Delete messages or threads, or upgrade the plan.",
                "upgrade_url": "https://inkbox.ai/console/billing",
                "limit_bytes": limits.storage_limit_bytes,
            }
        )


def refuse_attachments(limits: Limits, sizes: int) -> None:
    """Refuse attachments that are too large together.

    Raises:
        TooLarge: They have more bytes than a message may have.
    """
    if sizes > limits.attachment_bytes:
        raise TooLarge(
            {
                "error": "attachments_too_large",
                "message": f"The attachments have {sizes} bytes; a message may have {limits.attachment_bytes}.",
                "limit_bytes": limits.attachment_bytes,
            }
        )
