"""Messages of clients of both protocol eras, for any transport."""

import json
from typing import Any, Literal

Era = Literal["2026-07-28", "2025-11-25"]
Message = dict[str, Any]

MODERN: Era = "2026-07-28"
LEGACY: Era = "2025-11-25"

_CLIENT = {"name": "benchmark", "version": "1"}
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": _CLIENT},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}

ADDRESS = "sales.team@inkboxmail.com"
CALLS: list[tuple[str, dict[str, str]]] = [
    (
        "create_mailbox",
        {"agent_handle": "sales-agent", "display_name": "Sales Team", "email_local_part": "sales.team"},
    ),
    ("list_mailboxes", {}),
    ("get_mailbox", {"email_address": ADDRESS}),
    ("update_mailbox", {"email_address": ADDRESS, "display_name": "Sales Team"}),
    ("delete_mailbox", {"email_address": ADDRESS}),
]
"""A call of each tool; all servers must answer it with the same data."""


def call(era: Era, tool: str, arguments: dict[str, Any], number: int = 1) -> Message:
    """Return a call of a tool."""
    envelope = {"_meta": _ENVELOPE} if era == MODERN else {}
    params = {"name": tool, "arguments": arguments, **envelope}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def template(era: Era, tool: str) -> str:
    """Return a call of a tool on a mailbox as a template for the call's id and the mailbox's address."""
    message = {**call(era, tool, {"email_address": "%s"}), "id": "%d"}
    return json.dumps(message, separators=(",", ":")).replace('"%d"', "%d")
