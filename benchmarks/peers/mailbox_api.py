"""The HTTP client to Inkbox that the Python servers share."""

import os
from functools import cache
from typing import Any


@cache
def inkbox() -> Any:
    """Open the client. HTTPX2 is imported here because that takes longer than the rest of a hand-written start."""
    import httpx2

    return httpx2.AsyncClient(
        base_url=os.environ["INKBOX_BASE_URL"] + "/api/v1/mail",
        headers={"X-API-Key": os.environ["INKBOX_API_KEY"]},
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
    )


async def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request to Inkbox and return the data of its answer."""
    answer = await inkbox().request(method, path, json=body)
    return answer.raise_for_status().json() if answer.content else None
