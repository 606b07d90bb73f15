"""Brings messages into mailboxes, and decides what becomes of those that leave."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from inkbox_mcp.sandbox.mail import messages
from inkbox_mcp.sandbox.mail.composing import new_message_id
from inkbox_mcp.sandbox.mail.events import emit
from inkbox_mcp.sandbox.mail.limits import has_room, read_limits
from inkbox_mcp.sandbox.mail.parsing import Parsed
from inkbox_mcp.sandbox.rows import SENDING_DOMAIN, Row, find_active_mailbox

Outcome = Literal["delivered", "bounced", "failed"]

_NOBODY = "unknown@unknown.invalid"


def deliver(connection: sqlite3.Connection, parsed: Parsed, raw: bytes, recipients: Iterable[str]) -> dict[str, Row]:
    """Deliver a message from outside.

    Args:
        connection: In a transaction.
        parsed: What `raw` says.
        raw: The message.
        recipients: Addresses; they need not be in the message's headers.

    Returns:
        The message of each recipient that has a mailbox with room for it.
    """
    reached = list(_mailboxes(connection, recipients, len(raw)).items())
    if not reached or not read_limits(connection).can_receive:
        return {}
    known = replace(
        parsed, message_id=parsed.message_id or new_message_id(), from_address=parsed.from_address or _NOBODY
    )
    common = messages.insert_content(connection, known, raw, parsed.body_text, parsed.body_html)
    return {
        address: _insert_inbound(connection, mailbox, common, known.message_id, parsed.is_spam)
        for address, mailbox in reached
    }


def deliver_from(connection: sqlite3.Connection, sent: Row, content: Row, recipients: Iterable[str]) -> Outcome:
    """Deliver a message of a mailbox to all its recipients, here and elsewhere.

    Args:
        connection: In a transaction.
        sent: The sender's message.
        content: What `insert_content` returned.
        recipients: Addresses.

    Returns:
        What becomes of the sender's message. `bounced` if a recipient is unknown, deleted or full, or has the local
        part `bounce`; `failed` if one has the local part `fail`.
    """
    addresses = list(dict.fromkeys(address.lower() for address in recipients))
    reached = _mailboxes(connection, addresses, sent["size"])
    for mailbox in reached.values():
        _insert_inbound(connection, mailbox, {**content, "bcc_addresses": None}, sent["message_id"], spam=False)
    outcomes: set[Outcome] = {_elsewhere(address) for address in addresses if address not in reached}
    return "failed" if "failed" in outcomes else "bounced" if "bounced" in outcomes else "delivered"


def _elsewhere(address: str) -> Outcome:
    local_part, _, domain = address.partition("@")
    if local_part == "fail":
        return "failed"
    return "bounced" if local_part == "bounce" or domain == SENDING_DOMAIN else "delivered"


def _mailboxes(connection: sqlite3.Connection, recipients: Iterable[str], size: int) -> dict[str, Row]:
    limits = read_limits(connection)
    found = {each.lower(): find_active_mailbox(connection, each) for each in recipients}
    return {address: row for address, row in found.items() if row is not None and has_room(limits, row, size)}


def _insert_inbound(
    connection: sqlite3.Connection, mailbox: Row, common: Row, message_id: str | None, spam: bool
) -> Row:
    blocked = mailbox["inbound_filter_mode"] == "whitelist"  # of which the sandbox has no rules
    folder = "blocked" if blocked else "spam" if spam else "inbox"
    new = {**common, "message_id": message_id, "direction": "inbound", "status": "received"}
    row = messages.insert_message(connection, mailbox["id"], new, folder=folder)
    if not row["is_blocked"]:
        emit(connection, mailbox, row, "message.received")
    return row
