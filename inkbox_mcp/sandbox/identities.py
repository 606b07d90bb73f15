"""`/api/v1/identities`: the agents that mailboxes belong to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import AgentHandle, DisplayName, LocalPart
from inkbox_mcp.sandbox.problems import answers
from inkbox_mcp.sandbox.records import IdentityDetail, IdentitySummary
from inkbox_mcp.sandbox.refusals import BadRequest

router = APIRouter(prefix="/api/v1/identities", tags=["identities"], responses=answers(401, 403, 503))

STATUSES = ("active", "paused")

Handle = Annotated[str, Path(alias="agent_handle", description="With or without a leading @", examples=["sales-agent"])]


class NestedMailbox(BaseModel):
    """A mailbox to make with its identity; an empty object asks for every default."""

    display_name: DisplayName | None = Field(None, description="Defaults to the handle")
    email_local_part: LocalPart | None = None


class IdentityCreate(BaseModel):
    """The body of a create."""

    agent_handle: AgentHandle
    mailbox: NestedMailbox | None = None


class IdentityUpdate(BaseModel):
    """The body of an update: what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    # Defaults that the document does not show: either may be absent, but not null.
    agent_handle: AgentHandle = Field(default_factory=str)
    status: str = Field(default_factory=str, json_schema_extra={"enum": list(STATUSES)})


class MailboxLink(BaseModel):
    """The body of a link."""

    mailbox_id: UUID


@router.post("", status_code=201, responses=answers(400, 409))
def create_identity(organization: CurrentOrganization, body: IdentityCreate) -> IdentitySummary:
    """Create an identity and, if asked for, its mailbox."""
    if body.mailbox is None:
        return organization.create_identity(body.agent_handle)
    options = body.mailbox
    return organization.create_identity_with_mailbox(body.agent_handle, options.display_name, options.email_local_part)


@router.get("")
def list_identities(organization: CurrentOrganization) -> list[IdentitySummary]:
    """List the organization's identities, newest first."""
    return [*organization.list_identities()]


@router.get("/{agent_handle}", responses=answers(404))
def get_identity(organization: CurrentOrganization, handle: Handle) -> IdentityDetail:
    """Get an identity with its mailbox."""
    return organization.get_identity(handle)


@router.patch("/{agent_handle}", responses=answers(400, 404, 409))
def update_identity(organization: CurrentOrganization, handle: Handle, body: IdentityUpdate) -> IdentitySummary:
    """Rename, pause or resume an identity."""
    changes = body.model_dump(exclude_unset=True)
    if changes.get("status", "active") not in STATUSES:
        raise BadRequest("Invalid status: use active or paused")
    return organization.update_identity(handle, changes)


@router.delete("/{agent_handle}", status_code=204, responses=answers(404))
def delete_identity(organization: CurrentOrganization, handle: Handle) -> None:
    """Delete an identity; its mailbox survives."""
    organization.delete_identity(handle)


@router.post("/{agent_handle}/mailbox", responses=answers(400, 404, 409))
def link_mailbox(organization: CurrentOrganization, handle: Handle, body: MailboxLink) -> IdentityDetail:
    """Assign a mailbox to an identity."""
    return organization.link_mailbox(handle, body.mailbox_id)


@router.delete("/{agent_handle}/mailbox", status_code=204, responses=answers(404))
def unlink_mailbox(organization: CurrentOrganization, handle: Handle) -> None:
    """Unlink an identity's mailbox, which survives."""
    organization.unlink_mailbox(handle)
