"""An official SDK as a judge of what our tools sent, for an environment with any of its versions and none of our code.

Each line of stdin is the JSON of a base URL, a key, the name of a function here that takes a client, and a list of its
other arguments. Its result is written to stdout as a line of JSON. The first error ends the process.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Types are checked in an environment with one of the versions, and the others' types differ.

import base64
import json
import sys
from functools import cache
from typing import Any

import httpx
from inkbox import Inkbox
from inkbox.exceptions import InkboxAPIError

DOWNLOADS = httpx.Client(verify=False)
"""Has no certificates, which take longer to load than all else here."""


@cache
def inkbox_of(base_url: str, key: str) -> Any:
    """Return the client of an organization."""
    return Inkbox(api_key=key, base_url=base_url)


def resource(inkbox: Any, name: str) -> Any:
    """Return a resource of a client, which an early SDK keeps to itself."""
    return vars(inkbox)[f"_{name}"]


def create(inkbox: Any, *handles: str) -> list[str]:
    """Create identities, and return the addresses of their mailboxes."""
    return [
        inkbox.create_identity(handle, display_name=handle.title(), email_local_part=handle).email_address
        for handle in handles
    ]


def read(inkbox: Any, *addresses: str) -> list[list[dict[str, Any]]]:
    """Return the messages of each mailbox, oldest first."""
    listed = [reversed(list(resource(inkbox, "messages").list(address))) for address in addresses]
    return [[shown(inkbox, address, row) for row in rows] for address, rows in zip(addresses, listed, strict=True)]


def shown(inkbox: Any, address: str, row: Any) -> dict[str, Any]:
    """Return a message in full, with the ids of its thread, and the name, type and Base64 of each attachment."""
    message = resource(inkbox, "messages").get(address, row.id)
    thread = resource(inkbox, "threads").get(address, row.thread_id)
    return {
        **vars(message),
        "is_read": row.is_read,  # before it was read here
        "direction": message.direction.value,
        "thread": [each.id for each in thread.messages],
        "attachments": [
            [each["filename"], each["content_type"], fetched(inkbox, address, row.id, each["filename"])]
            for each in message.attachment_metadata or []
        ],
    }


def fetched(inkbox: Any, address: str, message_id: Any, filename: str) -> str:
    """Return what the signed URL of an attachment leads to, in Base64."""
    url = resource(inkbox, "messages").get_attachment(address, message_id, filename)["url"]
    return base64.b64encode(DOWNLOADS.get(url).raise_for_status().content).decode()


def send(inkbox: Any, address: str, message: dict[str, Any]) -> dict[str, Any]:
    """Send a message, and return its id, or the name and status of the error."""
    return outcome(lambda: resource(inkbox, "messages").send(address, **message))


def forward(inkbox: Any, address: str, message_id: str, message: dict[str, Any]) -> dict[str, Any]:
    """Forward a message, and return what `send` does."""
    return outcome(lambda: resource(inkbox, "messages").forward(address, message_id, **message))


def reply_all(inkbox: Any, address: str, message_id: str, message: dict[str, Any]) -> dict[str, Any]:
    """Answer a message to everyone, as only late SDKs can, and return what `send` does."""
    return outcome(lambda: resource(inkbox, "messages").reply_all(address, message_id, **message))


def outcome(call: Any) -> dict[str, Any]:
    """Return the id of the message that a call makes, or the name and status of its error."""
    try:
        return {"id": call().id}
    except InkboxAPIError as error:
        return {"error": type(error).__name__, "status": error.status_code}


if __name__ == "__main__":
    for line in sys.stdin:
        base_url, key, call, arguments = json.loads(line)
        result = globals()[call](inkbox_of(base_url, key), *arguments)
        sys.stdout.write(f"{json.dumps(result, default=str)}\n")
        sys.stdout.flush()
