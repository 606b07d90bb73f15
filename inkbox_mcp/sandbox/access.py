"""The API key and the organization of a request."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader
from pydantic import BaseModel

from inkbox_mcp.sandbox.faults import meet_fault
from inkbox_mcp.sandbox.keys import APIKey, read_key
from inkbox_mcp.sandbox.store import Organization, Store

_API_KEY = APIKeyHeader(name="X-API-Key", scheme_name="APIKey", auto_error=False)
_SERVICE_TOKEN = APIKeyHeader(
    name="X-Service-Token",
    scheme_name="ServiceToken",
    description="The header's older name.",
    auto_error=False,
)


class KeyDescription(BaseModel):
    """The fields of `whoami` that both generations have."""

    auth_type: Literal["api_key"] = "api_key"
    auth_subtype: Literal["api_key.admin_scoped"] = "api_key.admin_scoped"
    organization_id: str
    key_id: UUID
    label: str | None = "Sandbox"
    description: str | None = None
    creator_type: str | None = None
    created_by: str | None = None


async def api_key(
    key: Annotated[str | None, Depends(_API_KEY)], token: Annotated[str | None, Depends(_SERVICE_TOKEN)]
) -> APIKey:
    """Read the key of the request, from the header's current or older name."""
    return read_key(token if key is None else key)


def organization(request: Request, key: Annotated[APIKey, Depends(api_key)]) -> Organization:
    """Return the organization of the request's key, unless a fault that a test set refuses the request."""
    store: Store = request.app.state.store
    organization = store.organization(key.organization_id)
    meet_fault(request, organization.database)
    return organization


CurrentKey = Annotated[APIKey, Depends(api_key)]
CurrentOrganization = Annotated[Organization, Depends(organization)]
