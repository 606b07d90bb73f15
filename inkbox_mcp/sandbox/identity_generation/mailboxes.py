"""`/api/v1/mail/mailboxes` of the identity generation: mailboxes are made and deleted with their identities."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.fields import FilterMode, Text, Timestamp, absent
from inkbox_mcp.sandbox.problems import answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(prefix="/api/v1/mail/mailboxes", tags=["mailboxes"], responses=answers(401, 403, 503))

Signature = Annotated[Text, StringConstraints(max_length=16_384)]

Address = Annotated[
    str,
    Path(alias="email_address", description="Local part or full address, in any case", examples=["sales.team"]),
]


class FilterModeChangeNotice(BaseModel):
    """What a new filter mode makes of the contact rules, of which the sandbox has none."""

    new_filter_mode: FilterMode
    redundant_rule_action: Literal["allow", "block"]
    redundant_rule_count: int


class NestedMailbox(BaseModel):
    """A mailbox as its identity shows it."""

    id: UUID
    email_address: str
    sending_domain: str
    agent_identity_id: UUID | None
    filter_mode: FilterMode
    inbound_filter_mode: FilterMode
    outbound_filter_mode: FilterMode
    filter_mode_change_notice: FilterModeChangeNotice | None = None
    signature_html: str | None
    signature_text: str | None
    signature_enabled: bool
    created_at: Timestamp
    updated_at: Timestamp


class Mailbox(NestedMailbox):
    """The mailbox object."""

    storage_used_bytes: int
    storage_limit_bytes: int | None


class MailboxUpdate(BaseModel):
    """The body of an update: what is absent stays as it is, a null signature is removed."""

    model_config = ConfigDict(extra="forbid")

    filter_mode: FilterMode = Field(default_factory=absent, description="Both directions at once")
    inbound_filter_mode: FilterMode = Field(default_factory=absent)
    outbound_filter_mode: FilterMode = Field(default_factory=absent)
    signature_html: Signature | None = None
    signature_text: Signature | None = None
    signature_enabled: bool = Field(default_factory=absent)


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
    """Update the supplied fields of a mailbox; a new filter mode comes with a notice."""
    changes = body.model_dump(exclude_unset=True)
    with organization.transaction() as connection:
        before = rows.find_mailbox(connection, organization.id, address)
        after = rows.update_mailbox(connection, before, both_directions(changes))
    mode = changes.get("filter_mode", before["filter_mode"])
    if before["filter_mode"] == mode:
        return after
    redundant = "block" if mode == "whitelist" else "allow"
    notice = {"new_filter_mode": mode, "redundant_rule_action": redundant, "redundant_rule_count": 0}
    return {**after, "filter_mode_change_notice": notice}


def both_directions(changes: Row) -> Row:
    """The changes with a mode for both directions spelled out; a direction's own wins."""
    if "filter_mode" not in changes:
        return changes
    mode = changes["filter_mode"]
    own = {name: value for name, value in changes.items() if name != "filter_mode"}
    return {"inbound_filter_mode": mode, "outbound_filter_mode": mode, **own}
