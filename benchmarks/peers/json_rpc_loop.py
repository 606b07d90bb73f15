"""The five mailbox tools with the standard library alone, on stdio: about the least that a server in Python does.

It believes its client: arguments are not checked, answers of Inkbox neither, and errors are not explained.
"""

import asyncio
import json
import os
import sys
from functools import cache
from typing import Any

TEXT = {"type": "string"}
PARAMETERS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "create_mailbox": (
        "Create a mailbox, an email address, for an agent identity that has none yet.",
        {"agent_handle": TEXT, "display_name": TEXT, "email_local_part": TEXT},
        ["agent_handle"],
    ),
    "list_mailboxes": ("List active mailboxes, newest first.", {"limit": {"type": "integer"}}, []),
    "get_mailbox": ("Get one mailbox by its address.", {"email_address": TEXT}, ["email_address"]),
    "update_mailbox": (
        "Change a mailbox's display name or webhook.",
        {"email_address": TEXT, "display_name": TEXT, "webhook_url": TEXT},
        ["email_address"],
    ),
    "delete_mailbox": ("Delete a mailbox for good.", {"email_address": TEXT}, ["email_address"]),
}


@cache
def inkbox() -> Any:
    """Open the way to Inkbox; loading HTTPX2 takes longer than all the rest of the start."""
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


async def call(name: str, arguments: dict[str, Any]) -> Any:
    """Run a tool and return its data."""
    address = arguments.pop("email_address", "")
    if name == "create_mailbox":
        return await send("POST", "/mailboxes", arguments)
    if name == "list_mailboxes":
        found = await send("GET", "/mailboxes")
        return {"mailboxes": found[: arguments.get("limit", 50)], "total": len(found), "next_cursor": None}
    if name == "get_mailbox":
        return await send("GET", f"/mailboxes/{address}")
    if name == "update_mailbox":
        return await send("PATCH", f"/mailboxes/{address}", arguments)
    await send("DELETE", f"/mailboxes/{address}")
    return {"deleted": True, "email_address": address}


async def result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a request."""
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "mailboxes", "version": "1"},
        }
    if method == "tools/list":
        schemas = {
            name: {"type": "object", "properties": properties, "required": required}
            for name, (_, properties, required) in PARAMETERS.items()
        }
        tools = [{"name": name, "description": PARAMETERS[name][0], "inputSchema": schemas[name]} for name in schemas]
        return {"tools": tools}
    data = await call(params["name"], params["arguments"])
    return {"content": [{"type": "text", "text": json.dumps(data)}], "structuredContent": data, "isError": False}


async def answer(request: dict[str, Any]) -> None:
    """Answer a request."""
    found = await result(request["method"], request.get("params", {}))
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": found}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Answer requests side by side until the client closes stdin."""
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            if "id" in (request := json.loads(line)):
                tasks.create_task(answer(request))


if __name__ == "__main__":
    asyncio.run(main())
