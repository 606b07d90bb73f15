"""The five mailbox tools with the standard library and HTTPX2, on stdio: nearly the minimum for a server in Python.

It trusts its client and Inkbox: it checks neither arguments nor answers, and does not explain errors.
"""

import asyncio
import json
import sys
from typing import Any

from mailbox_api import page_of_rows, send


def tool(name: str, description: str, required: list[str], *optional: str, kind: str = "string") -> dict[str, Any]:
    """Describe a tool whose arguments all have the same type."""
    properties = {argument: {"type": kind} for argument in [*required, *optional]}
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": name, "description": description, "inputSchema": schema}


CREATE = "Create a mailbox, an email address, for an agent identity that has none yet."
UPDATE = "Change a mailbox's display name or webhook."
TOOLS = [
    tool("create_mailbox", CREATE, ["agent_handle"], "display_name", "email_local_part"),
    tool("list_mailboxes", "List active mailboxes, newest first.", [], "limit", kind="integer"),
    tool("get_mailbox", "Get one mailbox by its address.", ["email_address"]),
    tool("update_mailbox", UPDATE, ["email_address"], "display_name", "webhook_url"),
    tool("delete_mailbox", "Delete a mailbox for good.", ["email_address"]),
]
METHODS = {"create_mailbox": "POST", "update_mailbox": "PATCH", "delete_mailbox": "DELETE"}


async def call(name: str, arguments: dict[str, Any]) -> Any:
    """Run a tool and return its data."""
    address, method = arguments.pop("email_address", None), METHODS.get(name, "GET")
    if name == "list_mailboxes":
        return await page_of_rows(arguments.get("limit", 50))
    path = f"/mail/mailboxes/{address}" if address else "/mail/mailboxes"
    data = await send(method, path, arguments if method in {"POST", "PATCH"} else None)
    if method == "POST":
        return {**data, "agent_handle": arguments["agent_handle"]}
    return {"deleted": True, "email_address": address} if method == "DELETE" else data


async def answer(request: dict[str, Any]) -> None:
    """Answer a request."""
    method, params = request["method"], request.get("params", {})
    found: dict[str, Any]
    if method == "initialize":
        server = {"name": "mailboxes", "version": "1"}
        found = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server}
    elif method == "tools/list":
        found = {"tools": TOOLS}
    else:
        data = await call(params["name"], params["arguments"])
        found = {"content": [{"type": "text", "text": json.dumps(data)}], "structuredContent": data, "isError": False}
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": found}) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Answer requests concurrently until the client closes stdin."""
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            if "id" in (request := json.loads(line)):
                tasks.create_task(answer(request))


if __name__ == "__main__":
    asyncio.run(main())
