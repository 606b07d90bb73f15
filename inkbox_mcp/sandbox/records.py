"""What the API answers with."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

SENDING_DOMAIN = "inkboxmail.com"


Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, always with microseconds."""


class Mailbox(BaseModel):
    """The mailbox object of the specification, and the fields that the server added later on."""

    id: UUID
    email_address: str
    display_name: str | None
    webhook_url: str | None
    status: Literal["active", "paused", "deleted"]
    filter_mode: Literal["blacklist", "whitelist"] = "blacklist"
    filter_mode_change_notice: None = None
    agent_identity_id: UUID | None
    sending_domain: str = SENDING_DOMAIN
    created_at: Timestamp
    updated_at: Timestamp


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


class Whoami(BaseModel):
    """Who an API key belongs to; times are seconds since the epoch."""

    auth_type: Literal["api_key"] = "api_key"
    auth_subtype: Literal["api_key.admin_scoped"] = "api_key.admin_scoped"
    organization_id: str
    key_id: UUID
    label: str | None = "Sandbox"
    description: str | None = None
    creator_type: str | None = None
    created_by: str | None = None
    created_at: float
    last_used_at: float | None
    expires_at: float | None = None


class Problem(BaseModel):
    """Every error but a 422."""

    detail: str
