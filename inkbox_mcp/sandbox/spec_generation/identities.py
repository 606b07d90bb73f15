"""`/api/v1/identities` of the spec generation: the agents that mailboxes belong to."""

import sqlite3
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import AgentHandle, DisplayName, LocalPart, Timestamp, absent
from inkbox_mcp.sandbox.problems import BadRequest, Conflict, answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(prefix="/api/v1/identities", tags=["identities"], responses=answers(401, 403, 503))

STATUSES = ("active", "paused")

Handle = Annotated[str, Path(alias="agent_handle", description="With or without a leading @", examples=["sales-agent"])]


class IdentityMailbox(BaseModel):
    """A mailbox as its identity shows it."""

    id: UUID
    email_address: str
    display_name: str | None
    status: Literal["active", "paused", "deleted"]
    created_at: Timestamp
    updated_at: Timestamp


class IdentitySummary(BaseModel):
    """An identity as create, list and update answer it."""

    id: UUID
    organization_id: str
    agent_handle: str
    status: Literal["active", "paused"]
    email_address: str | None
    created_at: Timestamp
    updated_at: Timestamp


class IdentityDetail(IdentitySummary):
    """An identity with its channels; the sandbox has no telephones."""

    mailbox: IdentityMailbox | None
    phone_number: None = None


class NestedMailboxCreate(BaseModel):
    """A mailbox to make with its identity; an empty object asks for every default."""

    display_name: DisplayName | None = Field(None, description="Defaults to the handle")
    email_local_part: LocalPart | None = None


class IdentityCreate(BaseModel):
    """The body of a create."""

    agent_handle: AgentHandle
    mailbox: NestedMailboxCreate | None = None


class IdentityUpdate(BaseModel):
    """The body of an update: what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    agent_handle: AgentHandle = Field(default_factory=absent)
    status: str = Field(default_factory=absent, json_schema_extra={"enum": list(STATUSES)})


class MailboxLink(BaseModel):
    """The body of a link."""

    mailbox_id: UUID


@router.post("", status_code=201, response_model=IdentitySummary, responses=answers(400, 409))
def create_identity(organization: CurrentOrganization, body: IdentityCreate) -> Any:
    """Create an identity and, if asked for, its mailbox: both or neither."""
    with organization.transaction() as connection:
        row = rows.insert_identity(connection, organization.id, body.agent_handle)
        if body.mailbox is not None:
            name = body.agent_handle if body.mailbox.display_name is None else body.mailbox.display_name
            local_part = body.mailbox.email_local_part or organization.local_part
            rows.insert_mailbox(connection, row, name, local_part)
        return rows.find_identity(connection, organization.id, body.agent_handle)


@router.get("", response_model=list[IdentitySummary])
def list_identities(organization: CurrentOrganization) -> Any:
    """List the organization's identities, newest first."""
    with organization.reading() as connection:
        return rows.list_identities(connection, organization.id)


@router.get("/{agent_handle}", response_model=IdentityDetail, responses=answers(404))
def get_identity(organization: CurrentOrganization, handle: Handle) -> Any:
    """Get an identity with its mailbox."""
    with organization.reading() as connection:
        return rows.find_identity(connection, organization.id, handle)


@router.patch("/{agent_handle}", response_model=IdentitySummary, responses=answers(400, 404, 409))
def update_identity(organization: CurrentOrganization, handle: Handle, body: IdentityUpdate) -> Any:
    """Rename, pause or resume an identity."""
    changes = body.model_dump(exclude_unset=True)
    if changes.get("status", "active") not in STATUSES:
        raise BadRequest("Invalid status: use active or paused")
    with organization.transaction() as connection:
        row = rows.find_identity(connection, organization.id, handle)
        return rows.update_identity(connection, row, changes)


@router.delete("/{agent_handle}", status_code=204, responses=answers(404))
def delete_identity(organization: CurrentOrganization, handle: Handle) -> None:
    """Delete an identity; its mailbox survives."""
    with organization.transaction() as connection:
        row = rows.find_identity(connection, organization.id, handle)
        _unlink(connection, row)
        rows.delete_identity(connection, row)


@router.post("/{agent_handle}/mailbox", response_model=IdentityDetail, responses=answers(400, 404, 409))
def link_mailbox(organization: CurrentOrganization, handle: Handle, body: MailboxLink) -> Any:
    """Assign a mailbox that has no identity to an identity that has no mailbox; again does no harm."""
    with organization.transaction() as connection:
        row = rows.find_identity(connection, organization.id, handle)
        mailbox = rows.find_mailbox(connection, organization.id, body.mailbox_id)
        if mailbox["identity_id"] not in (None, row["id"]):
            raise Conflict("Mailbox is already assigned to another agent identity")
        rows.update_mailbox(connection, mailbox, {"identity_id": row["id"]})
        return rows.find_identity(connection, organization.id, handle)


@router.delete("/{agent_handle}/mailbox", status_code=204, responses=answers(404))
def unlink_mailbox(organization: CurrentOrganization, handle: Handle) -> None:
    """Unlink an identity's mailbox, which survives."""
    with organization.transaction() as connection:
        _unlink(connection, rows.find_identity(connection, organization.id, handle))


def _unlink(connection: sqlite3.Connection, row: Row) -> None:
    if row["mailbox"] is not None:
        rows.update_mailbox(connection, row["mailbox"], {"identity_id": None})
