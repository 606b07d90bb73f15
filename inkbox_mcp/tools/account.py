"""The account: whose key this server uses.

Source: https://inkbox.ai/docs/api/whoami
"""

from inkbox_mcp.api import InkboxAPI
from inkbox_mcp.errors import NotFound
from inkbox_mcp.operation import READ_ONLY, Args, Result, operation
from inkbox_mcp.paths import WHOAMI

NO_API = "The Inkbox API is not at this URL. Tell the user to check INKBOX_BASE_URL, or --base-url."


class Whoami(Args):
    """No arguments."""


class KeyHolder(Result):
    """Who an API key belongs to; times are seconds since 1970, or ISO 8601 from the identity generation."""

    organization_id: str | None = None
    auth_subtype: str | None = None
    expires_at: float | str | None = None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def whoami(api: InkboxAPI, args: Whoami) -> KeyHolder:
    """Show the organisation of the API key, its scope (admin or one agent), and when it expires (null: never)."""
    return await api.get(WHOAMI, KeyHolder)
