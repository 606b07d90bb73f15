"""`/api/v1/mail/mailboxes`, as the specification describes it.

Routes are plain functions, which FastAPI runs in threads: SQLite may wait for another process. They answer rows,
of which the answer's model shows its fields.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import AgentHandle, DisplayName, FilterMode, LocalPart, Timestamp, WebhookURL, absent
from inkbox_mcp.sandbox.problems import answers

router = APIRouter(prefix="/api/v1/mail/mailboxes", tags=["mailboxes"], responses=answers(401, 403, 503))

DEFAULT_DISPLAY_NAME = "Inkbox user"

Address = Annotated[
    str,
    Path(alias="email_address", description="Local part or full address, in any case", examples=["sales.team"]),
]


class Mailbox(BaseModel):
    """The mailbox object of the specification, and the fields that the server added later on."""

    id: UUID
    email_address: str
    display_name: str | None
    webhook_url: str | None
    status: Literal["active", "paused", "deleted"]
    filter_mode: FilterMode
    filter_mode_change_notice: None = None
    agent_identity_id: UUID | None
    sending_domain: str
    created_at: Timestamp
    updated_at: Timestamp


class MailboxCreate(BaseModel):
    """The body of a create."""

    agent_handle: AgentHandle
    display_name: DisplayName | None = None
    email_local_part: LocalPart | None = None


class MailboxUpdate(BaseModel):
    """The body of an update: what is absent stays as it is, a null URL unsubscribes."""

    display_name: DisplayName = Field(default_factory=absent)
    webhook_url: WebhookURL | None = None


@router.post("", status_code=201, response_model=Mailbox, responses=answers(400, 404, 409))
def create_mailbox(organization: CurrentOrganization, body: MailboxCreate) -> Any:
    """Provision a mailbox and link it to an existing identity."""
    name = DEFAULT_DISPLAY_NAME if body.display_name is None else body.display_name
    with organization.transaction() as connection:
        row = rows.find_identity(connection, organization.id, body.agent_handle)
        return rows.insert_mailbox(connection, row, name, body.email_local_part or organization.local_part)


@router.get("", response_model=list[Mailbox])
def list_mailboxes(organization: CurrentOrganization) -> Any:
    """List the organization's mailboxes, newest first."""
    with organization.reading() as connection:
        return rows.list_mailboxes(connection, organization.id)


@router.get("/{email_address}", response_model=Mailbox, responses=answers(404))
def get_mailbox(organization: CurrentOrganization, address: Address) -> Any:
    """Get a mailbox."""
    with organization.reading() as connection:
        return rows.find_mailbox(connection, organization.id, address)


@router.patch("/{email_address}", response_model=Mailbox, responses=answers(400, 404))
def update_mailbox(organization: CurrentOrganization, address: Address, body: MailboxUpdate) -> Any:
    """Update the supplied fields of a mailbox."""
    with organization.transaction() as connection:
        row = rows.find_mailbox(connection, organization.id, address)
        return rows.update_mailbox(connection, row, body.model_dump(exclude_unset=True))


@router.delete("/{email_address}", status_code=204, responses=answers(404))
def delete_mailbox(organization: CurrentOrganization, address: Address) -> None:
    """Delete a mailbox for good."""
    with organization.transaction() as connection:
        rows.delete_mailbox(connection, rows.find_mailbox(connection, organization.id, address))
