"""An Inkbox in this process that answers at once, so that only the server's own time is measured."""

import json
from typing import Any

import httpx2
from pydantic import SecretStr

from benchmarks.peers import KEY
from inkbox_mcp.settings.options import Settings

SETTINGS = Settings(api_key=SecretStr(KEY), log_level="error")


class FakedInkbox(httpx2.AsyncBaseTransport):
    """Answers a request for a mailbox with that mailbox, and a request for the list with a prepared body."""

    def __init__(self, mailboxes: bytes = b"[]") -> None:
        self._mailboxes = mailboxes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        _, _, address = request.url.path.partition("/mailboxes/")
        body = json.dumps(mailbox(0, address)).encode() if address else self._mailboxes
        return httpx2.Response(200, headers={"Content-Type": "application/json"}, content=body)


def mailbox(number: int, address: str = "") -> dict[str, Any]:
    """Return a mailbox as the API does."""
    seconds = number * 97 % 86_400  # times are not in the order of the numbers
    time = f"2026-01-{1 + number % 28:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{number:06}Z"
    return {
        "id": f"aaaa1111-2222-4333-8444-{number:012}",
        "email_address": address or f"client-{number}@inkboxmail.com",
        "display_name": f"Client {number}",
        "webhook_url": "https://hooks.example.com/mail",
        "status": "active",
        "created_at": time,
        "updated_at": time,
    }


def mailboxes(number: int) -> bytes:
    """Return a list of this number of mailboxes as the API does."""
    return json.dumps([mailbox(each) for each in range(number)], separators=(",", ":")).encode()
