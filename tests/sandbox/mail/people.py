"""Two organizations with a mailbox each, on either generation of the API."""

import base64
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from inkbox_mcp.sandbox import Generation, Store, create_app

MAILBOXES = "/api/v1/mail/mailboxes"


@dataclass(frozen=True, slots=True)
class Person:
    """A mailbox and a client with its organization's key.

    Attributes:
        client: For other requests.
        address: Of the mailbox.
        transport: To the sandbox.
    """

    client: httpx2.AsyncClient
    address: str
    transport: httpx2.ASGITransport

    def without_key(self) -> httpx2.AsyncClient:
        """Return a client of the same sandbox that has no key."""
        return httpx2.AsyncClient(transport=self.transport, base_url="http://sandbox")

    async def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """Make a request below the mailbox, and return the JSON of the expected answer."""
        response = await self.client.request(method, f"{MAILBOXES}/{self.address}{path}", **options)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    async def list(self, **query: Any) -> list[dict[str, Any]]:
        """Return the first page of messages."""
        return (await self.ask("GET", "/messages", params=query))["items"]

    async def get(self, message_id: str) -> dict[str, Any]:
        """Return a message with its bodies."""
        return await self.ask("GET", f"/messages/{message_id}")

    async def newest(self) -> dict[str, Any]:
        """Return the newest message with its bodies."""
        return await self.get((await self.list(limit=1))[0]["id"])

    async def send(self, *to: str, status: int = 201, headers: dict[str, str] | None = None, **body: Any) -> Any:
        """Send a message."""
        recipients = {"to": to, **{name: body.pop(name) for name in ("cc", "bcc") if name in body}}
        whole = {"recipients": recipients, "subject": "Hello", "body_text": "How are you?", **body}
        return await self.ask("POST", "/messages", status, json=whole, headers=headers)


def upload(filename: str, content: bytes, content_type: str = "text/plain", **members: str) -> dict[str, str]:
    """Return an attachment of a request."""
    encoded = base64.b64encode(content).decode()
    return {"filename": filename, "content_type": content_type, "content_base64": encoded, **members}


@asynccontextmanager
async def people(store: Store, generation: Generation, *names: str) -> AsyncGenerator[list[Person]]:
    """Make a mailbox for each name, each in an organization of its own."""
    async with AsyncExitStack() as stack:
        found: list[Person] = []
        for name in names:
            transport = httpx2.ASGITransport(app=create_app(store, generation))
            client = httpx2.AsyncClient(
                transport=transport,
                base_url="http://sandbox",
                headers={"X-API-Key": f"ApiKey_{uuid4()}.{uuid4().hex}"},
            )
            await stack.enter_async_context(client)
            if generation == "spec":
                body = {"agent_handle": "sales-agent", "email_local_part": name, "display_name": name.title()}
                response = await client.post(MAILBOXES, json=body)
            else:
                body = {"agent_handle": name, "display_name": name.title()}
                response = await client.post("/api/v1/identities", json=body)
            assert response.status_code == 201, response.text
            found.append(Person(client, f"{name}@inkboxmail.com", transport))
        yield found
