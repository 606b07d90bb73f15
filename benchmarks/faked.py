"""An Inkbox in this process that answers at once, so that only the server's own time is measured."""

import json
from typing import Any

import httpx2
from pydantic import SecretStr

from benchmarks.peers import KEY
from inkbox_mcp.settings.options import Settings

SETTINGS = Settings(api_key=SecretStr(KEY), api_generation="spec", log_level="error")


class FakedInkbox(httpx2.AsyncBaseTransport):
    """Answers a request for a mailbox with that mailbox, and requests for the lists with prepared bodies."""

    def __init__(self, mailboxes: bytes = b"[]", identities: bytes = b"[]") -> None:
        self._mailboxes, self._identities = mailboxes, identities

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        _, _, address = request.url.path.partition("/mailboxes/")
        of_all = self._identities if request.url.path.endswith("/identities") else self._mailboxes
        body = json.dumps(mailbox(0, address)).encode() if address else of_all
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


def identity(number: int) -> dict[str, Any]:
    """Return the identity of a mailbox as the API does."""
    its = mailbox(number)
    return {
        "id": f"bbbb1111-2222-4333-8444-{number:012}",
        "organization_id": "org_1",
        "agent_handle": f"agent-{number}",
        **{name: its[name] for name in ("email_address", "status", "created_at", "updated_at")},
    }


def identities(number: int) -> bytes:
    """Return the list of the identities of this number of mailboxes as the API does."""
    return json.dumps([identity(each) for each in range(number)], separators=(",", ":")).encode()
