"""`/api/whoami` of the spec generation: whom a key belongs to."""

import time
from typing import Any

from fastapi import APIRouter

from inkbox_mcp.sandbox.access import CurrentKey, CurrentOrganization, KeyDescription
from inkbox_mcp.sandbox.problems import answers

router = APIRouter(tags=["whoami"], responses=answers(401, 403, 503))


class Whoami(KeyDescription):
    """Who an API key belongs to. Times are seconds since the epoch."""

    created_at: float
    last_used_at: float | None
    expires_at: float | None = None


@router.get("/api/whoami", response_model=Whoami)
def whoami(organization: CurrentOrganization, key: CurrentKey) -> Any:
    """Describe the key of this request; a sandbox key is admin-scoped and never expires."""
    times = {"created_at": organization.created_at / 1e6, "last_used_at": time.time()}
    return {"organization_id": organization.id, "key_id": key.key_id, **times}
