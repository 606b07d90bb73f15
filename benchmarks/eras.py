"""HTTP calls of tools by clients of both protocol eras."""

import json
from typing import Any, cast

import httpx2

from benchmarks import messages
from benchmarks.messages import INITIALIZE, INITIALIZED, LEGACY, MODERN, Era

PATH = "/mcp"
SESSION = "Mcp-Session-Id"
COMMON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def headers(era: Era, tool: str) -> dict[str, str]:
    """Return the headers of a call."""
    routing = {"Mcp-Method": "tools/call", "Mcp-Name": tool} if era == MODERN else {}
    return {**COMMON, "MCP-Protocol-Version": era, **routing}


def call(origin: str, era: Era, tool: str, arguments: dict[str, Any], session: str | None = None) -> dict[str, Any]:
    """Call a tool once and return its result, or the whole message if it is an error."""
    extra = {SESSION: session} if session else {}
    content = messages.call(era, tool, arguments)
    answer = httpx2.post(f"{origin}{PATH}", json=content, headers={**headers(era, tool), **extra}, timeout=10)
    message = cast("dict[str, Any]", _message(answer))
    return message.get("result", message)


def open_sessions(origin: str, number: int) -> list[str]:
    """Initialize this number of sessions of 2025-11-25, and return their ids."""
    sessions: list[str] = []
    with httpx2.Client(headers=COMMON, timeout=10) as http:
        for _ in range(number):
            session = http.post(f"{origin}{PATH}", json=INITIALIZE).raise_for_status().headers[SESSION]
            known = {SESSION: session, "MCP-Protocol-Version": LEGACY}
            http.post(f"{origin}{PATH}", json=INITIALIZED, headers=known).raise_for_status()
            sessions.append(session)
    return sessions


def _message(answer: httpx2.Response) -> Any:
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        (data,) = (line for line in answer.text.splitlines() if line.startswith("data: {"))
        return json.loads(data.removeprefix("data: "))
    return answer.json()
