"""Lines that clients of each protocol version write over stdio."""

from typing import Any

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tests.support.messages import ENVELOPE, HANDSHAKE, rpc


def legacy(version: str) -> list[bytes]:
    """Write the lines of a client with a handshake up to the first call."""
    return [
        rpc(id=0, method="initialize", params={**HANDSHAKE, "protocolVersion": version}),
        rpc(method="notifications/initialized"),
        rpc(id="one", method="tools/list"),
        rpc(id=2, method="ping"),
    ]


def modern(version: str) -> list[bytes]:
    """Write the lines of a client with envelopes up to the first call."""
    meta: dict[str, Any] = {"_meta": {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": version}}
    return [rpc(id=1, method="server/discover", params=meta), rpc(id=2, method="tools/list", params=meta)]


def opening(era: str) -> list[bytes]:
    """Write the lines of a client of a protocol version up to the first call."""
    return modern(era) if era in MODERN_PROTOCOL_VERSIONS else legacy(era)


def said(era: str, messages: list[dict[str, Any]]) -> list[bytes]:
    """Write messages as lines of a client of a protocol version. A message without a method is a tool call."""
    lines: list[bytes] = []
    for message in messages:
        params = message.get("params", {})
        meta = {"_meta": {**params.get("_meta", {}), **envelope_of(era)}} if era in MODERN_PROTOCOL_VERSIONS else {}
        whole = {"method": "tools/call", **message, **({"params": {**params, **meta}} if params or meta else {})}
        lines.append(rpc(**whole))
    return lines


def envelope_of(era: str) -> dict[str, Any]:
    """Make the `_meta` of a client of a protocol version."""
    return {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": era}


def call(number: int | str, **params: Any) -> bytes:
    """Write a tool call without an envelope."""
    return rpc(id=number, method="tools/call", params=params)
