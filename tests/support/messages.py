"""JSON-RPC messages of both protocol eras, over HTTP and stdio."""

import json
from typing import Any

HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
"""What a client of 2025-11-25 sends to `initialize`."""
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
"""The `_meta` of each request of a client of 2026-07-28."""
LIST_MAILBOXES: dict[str, Any] = {"name": "list_mailboxes", "arguments": {}}
"""A call that is answered on any Inkbox."""

HEADERS = {"Accept": "application/json, text/event-stream"}
"""Of every request over HTTP."""
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {**LIST_MAILBOXES, "_meta": ENVELOPE},
}
"""The call over HTTP in the era of 2026-07-28; it goes with `CALL_HEADERS`."""
CALL_HEADERS = {
    **HEADERS,
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "list_mailboxes",
}

STRANGE: list[Any] = [None, 1.5, True, [], {}]
"""JSON that is no id, and no text."""
NOT_PLAIN: list[dict[str, Any]] = [
    {"id": 1, "params": {"name": "no_such_tool"}},
    {"id": 2, "params": {"name": None}},
    {"id": 3, "params": {**LIST_MAILBOXES, "arguments": None}},
    {"id": 4, "params": {**LIST_MAILBOXES, "arguments": []}},
    {"id": 5, "params": {**LIST_MAILBOXES, "_meta": {"progressToken": None}}},
    {"id": 6, "params": {**LIST_MAILBOXES, "_meta": {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}}},
    {"id": 7, "params": {**LIST_MAILBOXES, "task": {}}},
    {"id": 8, "params": {"name": "get_mailbox", "arguments": {"email_address": "\ud83d"}}},
    {"id": 9, "params": {"name": "\ud83d"}},
    {"id": 10, "params": LIST_MAILBOXES, "\ud83d": 1},
    {"id": 11, "method": "tools/list"},
    *({"id": strange, "params": LIST_MAILBOXES} for strange in STRANGE),
]
"""Requests that are more or less than a plain call, which only the SDK answers; those without a method are calls."""


def rpc(**members: Any) -> bytes:
    """Write a JSON-RPC message as a line."""
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"
