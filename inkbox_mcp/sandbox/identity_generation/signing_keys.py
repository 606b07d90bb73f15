"""`/api/v1/identities/{agent_handle}/signing-key`: what the deliveries of an identity's webhooks are signed with.

The key is shown once; the database keeps it, because it signs what the sandbox delivers.
"""

import secrets
import sqlite3
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from inkbox_mcp.sandbox import rows
from inkbox_mcp.sandbox.access import CurrentOrganization
from inkbox_mcp.sandbox.database import tick
from inkbox_mcp.sandbox.fields import Timestamp
from inkbox_mcp.sandbox.identity_generation.identities import Handle, find_visible
from inkbox_mcp.sandbox.problems import answers
from inkbox_mcp.sandbox.rows import Row

router = APIRouter(
    prefix="/api/v1/identities/{agent_handle}/signing-key", tags=["webhooks"], responses=answers(401, 403, 404, 503)
)


class SigningKey(BaseModel):
    """A new signing key, shown once."""

    signing_key: str
    created_at: Timestamp


class SigningKeyStatus(BaseModel):
    """Whether an identity has a signing key, and since when."""

    configured: bool
    created_at: Timestamp | None


@router.get("", response_model=SigningKeyStatus)
def get_signing_key_status(organization: CurrentOrganization, handle: Handle) -> Any:
    """Tell whether an identity has a signing key."""
    with organization.reading() as connection:
        created_at = find_visible(connection, organization.id, handle)["signing_key_created_at"]
    return {"configured": created_at is not None, "created_at": created_at}


@router.post("", status_code=201, response_model=SigningKey)
def create_signing_key(organization: CurrentOrganization, handle: Handle) -> Any:
    """Give an identity a signing key, in place of the one that it may have."""
    with organization.transaction() as connection:
        return mint_signing_key(connection, find_visible(connection, organization.id, handle))


def mint_signing_key(connection: sqlite3.Connection, identity: Row) -> Row:
    """Make a key and remember since when the identity has it."""
    created_at, key = tick(connection), f"whsec_{secrets.token_hex(32)}"
    rows.update_identity(connection, identity, {"signing_key_created_at": created_at, "signing_key": key})
    return {"signing_key": key, "created_at": created_at}
