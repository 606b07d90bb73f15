"""Records the `message.*` events of mailboxes as deliveries to their webhooks."""

import json
import sqlite3
from typing import Any, Literal
from uuid import uuid4

from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.fields import iso_8601
from inkbox_mcp.sandbox.rows import SENDING_DOMAIN, Row

EventType = Literal[
    "message.received",
    "message.sent",
    "message.forwarded",
    "message.delivered",
    "message.bounced",
    "message.failed",
]

MAX_BODY = 50_000
"""Characters of a body in an event; the rest is fetched with the message."""

_MESSAGE = (
    "id", "mailbox_id", "thread_id", "message_id", "from_address", "to_addresses", "cc_addresses", "subject",
    "snippet", "direction", "status", "has_attachments",
)  # fmt: skip


def emit(connection: sqlite3.Connection, mailbox: Row, message: Row, event_type: EventType) -> None:
    """Record an event for each webhook that wants it; whoever ends the transaction lets them be delivered.

    Args:
        connection: In a transaction.
        mailbox: With `webhook_url`, which gets all events.
        message: Of the mailbox.
        event_type: What happened.
    """
    webhooks: list[tuple[str | None, str]] = [
        (row["id"], row["url"])
        for row in connection.execute(
            "SELECT id, url, event_types FROM webhook_subscriptions WHERE mailbox_id = ? ORDER BY created_at",
            (mailbox["id"],),
        )
        if event_type in json.loads(row["event_types"])
    ]
    if mailbox["webhook_url"]:
        webhooks.append((None, mailbox["webhook_url"]))
    if not webhooks:
        return
    now, event_id = tick(connection), f"evt_{uuid4().hex}"
    event = {"id": event_id, "event_type": event_type, "timestamp": iso_8601(now)}
    payload = json.dumps({**event, "data": _data(connection, mailbox, message)}, separators=(",", ":"))
    for subscription_id, url in webhooks:
        connection.execute(
            "INSERT INTO webhook_deliveries (id, organization_id, mailbox_id, webhook_subscription_id, event_id,"
            " event_type, url, request_payload, state, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
            (
                *(str(uuid4()), mailbox["organization_id"], mailbox["id"], subscription_id, event_id),
                *(event_type, url, payload, tick(connection)),
            ),
        )


def _data(connection: sqlite3.Connection, mailbox: Row, message: Row) -> dict[str, Any]:
    outbound = message["direction"] == "outbound"
    shown = {name: message[name] for name in _MESSAGE}
    shown |= {"bcc_addresses": message["bcc_addresses"] if outbound else None}
    shown |= {"created_at": iso_8601(message["created_at"]), "email_address": mailbox["email_address"]}
    names = ("body", "body_state", "body_truncated", "body_total_chars", "body_included_chars")
    shown |= dict.fromkeys(names) if outbound else _body(connection, message)
    if not outbound:
        shown["sender_access"] = "direct"
    return {"message": shown, "contacts": [], "agent_identities": _identities(connection, mailbox, message)}


def _body(connection: sqlite3.Connection, message: Row) -> dict[str, Any]:
    content = connection.execute("SELECT body_text FROM contents WHERE id = ?", (message["content_id"],)).fetchone()
    text: str | None = content["body_text"]
    if text is None:
        return {
            **dict.fromkeys(("body", "body_total_chars", "body_included_chars")),
            "body_state": "unavailable",
            "body_truncated": False,
        }
    truncated = len(text) > MAX_BODY
    return {
        "body": text[:MAX_BODY],
        "body_state": "truncated" if truncated else "complete",
        "body_truncated": truncated,
        "body_total_chars": len(text),
        "body_included_chars": min(len(text), MAX_BODY),
    }


def _identities(connection: sqlite3.Connection, mailbox: Row, message: Row) -> list[dict[str, Any]]:
    """Return the identities of the same organization that the message is from or for, besides the mailbox's own."""
    outbound = message["direction"] == "outbound"
    buckets = ("to", "cc", "bcc") if outbound else ("from", "cc")
    found: list[dict[str, Any]] = []
    for bucket in buckets:
        addresses = [message["from_address"]] if bucket == "from" else message[f"{bucket}_addresses"] or []
        for address in addresses:
            local_part, _, domain = address.lower().partition("@")
            row = connection.execute(
                "SELECT identities.id, agent_handle, display_name FROM mailboxes"
                " JOIN identities ON identities.id = identity_id WHERE local_part = ? AND mailboxes.id <> ?"
                " AND mailboxes.organization_id = ?",
                (local_part if domain == SENDING_DOMAIN else "", mailbox["id"], mailbox["organization_id"]),
            ).fetchone()
            if row is not None:
                found.append({"bucket": bucket, "address": address, **row})
    return found
