"""Event streams that clients of 2025-11-25 hold open."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2

from tests.support.messages import HEADERS, INITIALIZE
from tests.support.processes import PATIENCE


@asynccontextmanager
async def open_stream(origin: str) -> AsyncGenerator[None]:
    """Hold an event stream open, as a client of 2025-11-25 does to receive requests."""
    async with httpx2.AsyncClient(base_url=origin, headers=HEADERS, timeout=PATIENCE) as http:
        answer = await http.post("/mcp", json=INITIALIZE)
        http.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        async with http.stream("GET", "/mcp") as stream:
            assert stream.status_code == 200
            yield
