"""`/api/v1/mail/mailboxes`, the part of the API that the specification describes.

Routes are plain functions, which FastAPI runs in threads: SQLite may wait for another process.
"""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import AgentHandle, DisplayName, LocalPart, WebhookURL
from inkbox_mcp.sandbox.problems import answers
from inkbox_mcp.sandbox.records import Mailbox

router = APIRouter(prefix="/api/v1/mail/mailboxes", tags=["mailboxes"], responses=answers(401, 403, 503))

Address = Annotated[
    str,
    Path(alias="email_address", description="Local part or full address, in any case", examples=["sales.team"]),
]


class MailboxCreate(BaseModel):
    """The body of a create."""

    agent_handle: AgentHandle
    display_name: DisplayName | None = None
    email_local_part: LocalPart | None = None


class MailboxUpdate(BaseModel):
    """The body of an update: what is absent stays as it is, a null URL unsubscribes."""

    # A default that the document does not show: the name may be absent, but not null.
    display_name: DisplayName = Field(default_factory=str)
    webhook_url: WebhookURL | None = None


@router.post("", status_code=201, responses=answers(400, 404, 409))
def create_mailbox(organization: CurrentOrganization, body: MailboxCreate) -> Mailbox:
    """Provision a mailbox and link it to an existing identity."""
    return organization.create_mailbox(body.agent_handle, body.display_name, body.email_local_part)


@router.get("")
def list_mailboxes(organization: CurrentOrganization) -> list[Mailbox]:
    """List the organization's mailboxes, newest first."""
    return organization.list_mailboxes()


@router.get("/{email_address}", responses=answers(404))
def get_mailbox(organization: CurrentOrganization, address: Address) -> Mailbox:
    """Get a mailbox."""
    return organization.get_mailbox(address)


@router.patch("/{email_address}", responses=answers(400, 404))
def update_mailbox(organization: CurrentOrganization, address: Address, body: MailboxUpdate) -> Mailbox:
    """Update the supplied fields of a mailbox."""
    return organization.update_mailbox(address, body.model_dump(exclude_unset=True))


@router.delete("/{email_address}", status_code=204, responses=answers(404))
def delete_mailbox(organization: CurrentOrganization, address: Address) -> None:
    """Delete a mailbox for good."""
    organization.delete_mailbox(address)
