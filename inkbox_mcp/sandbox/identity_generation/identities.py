"""`/api/v1/identities` of the identity generation: every identity has a mailbox, at the address of its handle.

An identity without a mailbox, which only the spec generation can leave in the store, is not shown here, and gives
way to a new one of its handle.
"""

import sqlite3
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import DisplayName, FilterMode, GlobalHandle, LocalPart, Text, Timestamp, absent
from inkbox_mcp.sandbox.identity_generation.mailboxes import NestedMailbox, both_directions
from inkbox_mcp.sandbox.problems import Conflict, HandleProblem, HandleUnavailable, NotFound, answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(prefix="/api/v1/identities", tags=["identities"], responses=answers(401, 403, 503))

Handle = Annotated[str, Path(alias="agent_handle", description="With or without a leading @", examples=["sales-agent"])]


class Identity(BaseModel):
    """An identity with its channels; the sandbox has no telephones and no tunnels."""

    id: UUID
    organization_id: str
    agent_handle: str
    display_name: str | None
    description: str | None
    email_address: str
    mailbox: NestedMailbox
    phone_number: None = None
    imessage_number: None = None
    tunnel: None = None
    imessage_enabled: bool = False
    mail_filter_mode: FilterMode
    mail_inbound_filter_mode: FilterMode
    mail_outbound_filter_mode: FilterMode
    phone_filter_mode: FilterMode = "blacklist"
    imessage_filter_mode: FilterMode = "blacklist"
    signing_key_configured: bool
    signing_key_created_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class NestedMailboxCreate(BaseModel):
    """Where the identity's mailbox is: the sandbox has one sending domain, where the handle is the local part."""

    model_config = ConfigDict(extra="forbid")

    email_local_part: LocalPart | None = Field(None, description="Without effect on the platform's sending domain")
    sending_domain: Literal["inkboxmail.com"] | None = None


class IdentityCreate(BaseModel):
    """The body of a create."""

    model_config = ConfigDict(extra="forbid")

    agent_handle: GlobalHandle
    display_name: DisplayName | None = Field(None, description="Defaults to the handle")
    description: Text | None = None
    mailbox: NestedMailboxCreate | None = None


class IdentityUpdate(BaseModel):
    """The body of an update: what is absent stays as it is, a null text is removed."""

    model_config = ConfigDict(extra="forbid")

    display_name: DisplayName | None = None
    description: Text | None = None
    mail_filter_mode: FilterMode = Field(default_factory=absent, description="Both directions at once")
    mail_inbound_filter_mode: FilterMode = Field(default_factory=absent)
    mail_outbound_filter_mode: FilterMode = Field(default_factory=absent)


@router.post(
    "", status_code=201, response_model=Identity, responses={**answers(400), **answers(409, model=HandleProblem)}
)
def create_identity(organization: CurrentOrganization, body: IdentityCreate) -> Any:
    """Create an identity and its mailbox, whose address nobody may ever have had."""
    handle = body.agent_handle
    name = handle if body.display_name is None else body.display_name
    with organization.transaction() as connection:
        rows.delete_identity_without_mailbox(connection, organization.id, handle)
        try:
            row = rows.insert_identity(connection, organization.id, handle, body.description)
            rows.insert_mailbox(connection, row, name, handle)
        except rows.HandleTaken:
            raise _unavailable(handle, "identities") from None
        except rows.AddressTaken:
            owner = rows.owner_of_address(connection, handle)
            raise _unavailable(handle, "identities" if owner == handle else "mail") from None
        return find_visible(connection, organization.id, handle)


@router.get("", response_model=list[Identity])
def list_identities(organization: CurrentOrganization) -> Any:
    """List the organization's identities, newest first."""
    with organization.reading() as connection:
        found = rows.list_identities(connection, organization.id)
    return [_shown(row) for row in found if row["mailbox"] is not None]


@router.get("/{agent_handle}", response_model=Identity, responses=answers(404))
def get_identity(organization: CurrentOrganization, handle: Handle) -> Any:
    """Get an identity with its mailbox."""
    with organization.reading() as connection:
        return find_visible(connection, organization.id, handle)


@router.patch("/{agent_handle}", response_model=Identity, responses=answers(400, 404))
def update_identity(organization: CurrentOrganization, handle: Handle, body: IdentityUpdate) -> Any:
    """Update the supplied fields of an identity; its handle is its own for ever."""
    changes = body.model_dump(exclude_unset=True)
    own = {"description": changes.pop("description")} if "description" in changes else {}
    with organization.transaction() as connection:
        row = find_visible(connection, organization.id, handle)
        its = both_directions({name.removeprefix("mail_"): value for name, value in changes.items()})
        mailbox = rows.update_mailbox(connection, row["mailbox"], its)
        if mailbox != row["mailbox"]:
            own["updated_at"] = mailbox["updated_at"]
        rows.update_identity(connection, row, own)
        return find_visible(connection, organization.id, row["agent_handle"])


@router.delete("/{agent_handle}", status_code=204, responses=answers(404))
def delete_identity(organization: CurrentOrganization, handle: Handle) -> None:
    """Delete an identity with its mailbox, and with that its webhook subscriptions."""
    with organization.transaction() as connection:
        row = find_visible(connection, organization.id, handle)
        rows.delete_mailbox(connection, row["mailbox"])
        rows.delete_identity(connection, row)


def find_visible(connection: sqlite3.Connection, organization_id: str, handle: str) -> Row:
    """The identity that the identity generation shows by a handle.

    Raises:
        NotFound: The organization has none by that handle, or one without a mailbox.
    """
    try:
        row = rows.find_identity(connection, organization_id, handle)
    except NotFound:
        row = rows.find_identity(connection, organization_id, handle.lower())
    if row["mailbox"] is None:
        raise NotFound("Agent identity not found")
    return _shown(row)


def _shown(row: Row) -> Row:
    mailbox, created_at = row["mailbox"], row["signing_key_created_at"]
    modes = {f"mail_{name}": mailbox[name] for name in ("filter_mode", "inbound_filter_mode", "outbound_filter_mode")}
    return {**row, **modes, "display_name": mailbox["display_name"], "signing_key_configured": created_at is not None}


def _unavailable(handle: str, namespace: Literal["identities", "mail"]) -> Conflict:
    detail = HandleUnavailable(message=f"The agent handle '{handle}' is not available.", blocking_namespace=namespace)
    return Conflict(detail.model_dump())
