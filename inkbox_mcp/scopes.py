"""What an access token allows."""

from collections.abc import Mapping
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser

READ = "mailboxes:read"
WRITE = "mailboxes:write"
"""Includes `READ`."""


def may_write(scope: Mapping[str, Any]) -> bool:
    """Whether the caller of an ASGI request may change something: anybody, where nobody has to say who they are."""
    user = scope.get("user")
    return user is None or (isinstance(user, AuthenticatedUser) and WRITE in user.scopes)
