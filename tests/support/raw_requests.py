"""Good HTTP requests as bytes, and changed copies of them."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support.messages import ENVELOPE, HANDSHAKE, HEADERS


def message(method: str, **params: Any) -> bytes:
    """Write a JSON-RPC request."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


@dataclass(frozen=True)
class Good:
    """A request that is answered with 200."""

    headers: dict[str, str]
    body: bytes

    def spoilt(
        self,
        *,
        verb: str = "POST",
        path: str = "/mcp",
        body: bytes | None = None,
        more: bytes = b"",
        **headers: str | None,
    ) -> bytes:
        """Write the request with changes. A header that is None is left out."""
        body = self.body if body is None else body
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {"Content-Length": str(len(body)), **self.headers, **changed}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        return f"{verb} {path} HTTP/1.1\r\n{head}".encode("latin-1") + more + b"\r\n" + body


COMMON = {
    "Host": "127.0.0.1:8000",
    **HEADERS,
    "Content-Type": "application/json",
}
MODERN = {**COMMON, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
GOOD = {
    "legacy": Good(COMMON, message("initialize", **HANDSHAKE)),
    "modern": Good(MODERN, message("tools/list", _meta=ENVELOPE)),
}
GOOD_CALL = Good(
    {**MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "list_mailboxes"},
    message("tools/call", name="list_mailboxes", arguments={}, _meta=ENVELOPE),
)
