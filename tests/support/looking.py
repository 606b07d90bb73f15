"""The page of a sandbox, as its script in a browser asks for it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.types import ASGIApp

from inkbox_mcp.commands.page import create_page
from inkbox_mcp.sandbox import Generation, Store, create_app
from inkbox_mcp.settings.options import Settings

ORIGIN = "http://127.0.0.1:8800"


def page_of(store: Store, generation: Generation = "spec") -> ASGIApp:
    """Return what `inkbox-mcp sandbox` serves."""
    settings = Settings(http=True, sandbox=True, sandbox_generation=generation)
    return create_page(store, settings, create_app(store, generation))


class Onlooker:
    """Asks for what the page shows.

    Attributes:
        http: for other requests.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def see(self, path: str, status: int = 200, **query: Any) -> Any:
        """Return the JSON at a path below `/page/`."""
        answer = await self.http.get(f"/page/{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def mailbox(self, address: str) -> dict[str, Any]:
        """Return the mailbox of an address."""
        (found,) = [each for each in (await self.see("state"))["mailboxes"] if each["email_address"] == address]
        return found

    async def rows(self, address: str, **query: Any) -> list[dict[str, Any]]:
        """Return the newest messages of a mailbox."""
        mailbox = await self.mailbox(address)
        return (await self.see(f"mailboxes/{mailbox['id']}/messages", **query))["items"]

    async def write(self, *to: str, status: int = 201, **form: Any) -> Any:
        """Send the form, and return what it is answered."""
        whole = {"from": "x@example.com", "to": to, **form}
        answer = await self.http.post("/page/messages", json=whole, headers={"Origin": ORIGIN})
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def looking_at(store: Store, generation: Generation = "spec") -> AsyncGenerator[Onlooker]:
    """Look at a store without a port."""
    transport = httpx2.ASGITransport(app=page_of(store, generation))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as http:
        yield Onlooker(http)
