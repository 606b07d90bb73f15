"""What the page shows of all organizations at once: the mailboxes, the deliveries to webhooks, the last tool calls.

A table's rowid tells which row is newer, because rows are only added with later times, and needs no further index.
"""

import json
import sqlite3
from collections.abc import Sequence

from inkbox_mcp.commands.page.reading import Item
from inkbox_mcp.sandbox.calls import list_calls
from inkbox_mcp.sandbox.fields import iso_8601
from inkbox_mcp.sandbox.rows import SENDING_DOMAIN

MOST_MAILBOXES, MOST_DELIVERIES, MOST_CALLS = 200, 50, 50

_MAILBOXES = f"""
SELECT mailboxes.id, local_part || '@{SENDING_DOMAIN}' AS email_address, display_name, agent_handle, mailboxes.status,
    mailboxes.organization_id, webhook_url, mailboxes.created_at,
    (SELECT count(*) FROM messages WHERE mailbox_id = mailboxes.id) AS messages,
    (SELECT count(*) FROM messages WHERE mailbox_id = mailboxes.id AND direction = 'inbound' AND is_read = 0) AS unread
FROM mailboxes LEFT JOIN identities ON identities.id = identity_id
WHERE mailboxes.status <> 'deleted' ORDER BY mailboxes.rowid DESC LIMIT ?
"""  # noqa: S608 - a constant

_DELIVERIES = f"""
SELECT webhook_deliveries.id, mailbox_id, local_part || '@{SENDING_DOMAIN}' AS email_address, event_type, url, state,
    response_status AS status, error_detail AS error, duration_ms AS ms, webhook_deliveries.created_at
FROM webhook_deliveries LEFT JOIN mailboxes ON mailboxes.id = mailbox_id
ORDER BY webhook_deliveries.rowid DESC LIMIT ?
"""  # noqa: S608 - a constant

_ORGANIZATION = 12
"""Characters of an organization's id, enough to tell organizations apart."""


def overview(connection: sqlite3.Connection) -> Item:
    """Return the newest mailboxes, deliveries and calls, newest first, and how many mailboxes are left out."""
    mailboxes = connection.execute(_MAILBOXES, (MOST_MAILBOXES,)).fetchall()
    count = connection.execute("SELECT count(*) AS n FROM mailboxes WHERE status <> 'deleted'").fetchone()["n"]
    webhooks = _webhooks(connection, [row["id"] for row in mailboxes])
    deliveries = connection.execute(_DELIVERIES, (MOST_DELIVERIES,)).fetchall()
    return {
        "mailboxes": [_mailbox(row, webhooks.get(row["id"], [])) for row in mailboxes],
        "deliveries": [{**row, "created_at": iso_8601(row["created_at"])} for row in deliveries],
        "calls": [_call(row) for row in list_calls(connection, MOST_CALLS)],
        "limited": {"mailboxes": count - len(mailboxes)},
    }


def _mailbox(row: Item, webhooks: Sequence[Item]) -> Item:
    """Return a mailbox with its webhooks of both generations: its own one gets all events."""
    organization, url = row.pop("organization_id"), row.pop("webhook_url")
    own = [{"url": url, "event_types": None}] if url else []
    return {
        **row,
        "organization": organization[:_ORGANIZATION],
        "webhooks": [*own, *webhooks],
        "created_at": iso_8601(row["created_at"]),
    }


def _call(row: Item) -> Item:
    return {
        **{name: row[name] for name in ("id", "tool", "outcome", "client")},
        "arguments": None if row["arguments"] is None else json.loads(row["arguments"]),
        "text": row["error_text"],
        "ms": row["duration_ms"],
        "created_at": iso_8601(row["created_at"]),
    }


def _webhooks(connection: sqlite3.Connection, mailbox_ids: Sequence[str]) -> dict[str, list[Item]]:
    """Return the subscriptions of mailboxes, by mailbox."""
    rows = connection.execute(
        "SELECT mailbox_id, url, event_types FROM webhook_subscriptions"  # noqa: S608 - question marks
        f" WHERE mailbox_id IN ({', '.join('?' * len(mailbox_ids))}) ORDER BY created_at",
        mailbox_ids,
    )
    found: dict[str, list[Item]] = {}
    for row in rows:
        webhook = {"url": row["url"], "event_types": json.loads(row["event_types"])}
        found.setdefault(row["mailbox_id"], []).append(webhook)
    return found
