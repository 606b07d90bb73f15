"""The five mailbox tools as functions; frameworks with decorators turn them into tools."""

from typing import Annotated, Any

from mailbox_api import inkbox, page_of_rows, send
from pydantic import BaseModel, ConfigDict, Field

inkbox()  # these frameworks import HTTPX2 at their start anyway

Address = Annotated[str, Field(description="The mailbox's full address.", max_length=320)]
Name = Annotated[str | None, Field(description="Sender name people see, 1-255 characters.", min_length=1)]


class Mailbox(BaseModel):
    """A mailbox as the API returns it."""

    model_config = ConfigDict(extra="allow")

    id: str
    email_address: str
    display_name: str | None = None
    webhook_url: str | None = None
    status: str = ""


class Row(BaseModel):
    """A row of a list."""

    email_address: str
    display_name: str | None
    agent_handle: str | None
    status: str
    webhook_url: str | None
    created_at: str


class MailboxPage(BaseModel):
    """A page of mailboxes."""

    total: int
    of: int
    next_cursor: str | None
    mailboxes: list[Row]


async def create_mailbox(agent_handle: str, display_name: Name = None, email_local_part: str | None = None) -> Mailbox:
    """Create a mailbox, an email address, for an agent identity that has none yet."""
    body = {"agent_handle": agent_handle, "display_name": display_name, "email_local_part": email_local_part}
    sent = {name: value for name, value in body.items() if value is not None}
    made = await send("POST", "/mail/mailboxes", sent)
    return Mailbox.model_validate({**made, "agent_handle": agent_handle})


async def list_mailboxes(limit: Annotated[int, Field(ge=1, le=200)] = 50) -> MailboxPage:
    """List active mailboxes, newest first."""
    return MailboxPage.model_validate(await page_of_rows(limit))


async def get_mailbox(email_address: Address) -> Mailbox:
    """Get one mailbox by its address."""
    return Mailbox.model_validate(await send("GET", f"/mail/mailboxes/{email_address}"))


async def update_mailbox(email_address: Address, display_name: Name = None, webhook_url: str | None = None) -> Mailbox:
    """Change a mailbox's display name or webhook."""
    body = {"display_name": display_name, "webhook_url": webhook_url}
    changes = {name: value for name, value in body.items() if value is not None}
    return Mailbox.model_validate(await send("PATCH", f"/mail/mailboxes/{email_address}", changes))


async def delete_mailbox(email_address: Address) -> dict[str, Any]:
    """Delete a mailbox for good."""
    await send("DELETE", f"/mail/mailboxes/{email_address}")
    return {"deleted": True, "email_address": email_address}


TOOLS = [create_mailbox, list_mailboxes, get_mailbox, update_mailbox, delete_mailbox]
