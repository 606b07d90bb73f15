"""`/api/whoami`: whom a key belongs to."""

import time

from fastapi import APIRouter

from inkbox_mcp.sandbox.access import CurrentKey, CurrentOrganization
from inkbox_mcp.sandbox.problems import answers
from inkbox_mcp.sandbox.records import Whoami

router = APIRouter(tags=["whoami"], responses=answers(401, 403, 503))


@router.get("/api/whoami")
def whoami(organization: CurrentOrganization, key: CurrentKey) -> Whoami:
    """Describe the key of this request; a sandbox key is admin-scoped and never expires."""
    return Whoami(
        organization_id=organization.id,
        key_id=key.key_id,
        created_at=organization.created_at,
        last_used_at=time.time(),
    )
