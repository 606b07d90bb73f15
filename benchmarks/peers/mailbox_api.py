"""The HTTP client to Inkbox that the Python servers share."""

import os
from functools import cache
from typing import Any


@cache
def inkbox() -> Any:
    """Open the client. HTTPX2 is imported here because that takes longer than the rest of a hand-written start."""
    import httpx2

    return httpx2.AsyncClient(
        base_url=os.environ["INKBOX_BASE_URL"] + "/api/v1",
        headers={"X-API-Key": os.environ["INKBOX_API_KEY"]},
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
    )


async def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request to Inkbox and return the data of its answer."""
    answer = await inkbox().request(method, path, json=body)
    return answer.raise_for_status().json() if answer.content else None


async def page_of_rows(limit: int) -> dict[str, Any]:
    """Request mailboxes and identities side by side, and return a page of rows."""
    import asyncio  # as above

    mailboxes, identities = await asyncio.gather(send("GET", "/mail/mailboxes"), send("GET", "/identities"))
    handles = {identity["email_address"]: identity["agent_handle"] for identity in identities}
    fields = ("email_address", "display_name", "status", "webhook_url")
    rows = [
        {
            **{field: each[field] for field in fields},
            "agent_handle": handles.get(each["email_address"]),
            "created_at": each["created_at"][:19] + "Z",
        }
        for each in mailboxes[:limit]
    ]
    return {"total": len(mailboxes), "of": len(mailboxes), "next_cursor": None, "mailboxes": rows}
