"""The account of the API key.

Source: https://inkbox.ai/docs/api/whoami
"""

from typing import ClassVar

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import WHOAMI
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.sent import IDOrNull, SecondsOrNull, TextOrNull

TOOLSET = None  # every choice of toolsets leaves it, because it shows what the server is limited to

NO_API = "The Inkbox API is not at this URL. Tell the user to check INKBOX_BASE_URL, or --base-url."


class Whoami(Args):
    """No arguments."""


class KeyHolder(Result):
    """The owner of an API key. Times are seconds since 1970, or ISO 8601."""

    also: ClassVar[Also] = {
        "auth_type": TextOrNull,
        "key_id": IDOrNull,
        "label": TextOrNull,
        "description": TextOrNull,
        "creator_type": TextOrNull,
        "created_by": TextOrNull,
        "created_at": SecondsOrNull,
        "last_used_at": SecondsOrNull,
        "limited_to": list[str],
    }

    organization_id: TextOrNull = None
    auth_subtype: TextOrNull = None
    expires_at: SecondsOrNull = None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def whoami(api: InkboxAPI, args: Whoami) -> KeyHolder:
    """Show the organization of the API key, its scope (admin or one agent), and when it expires (null: never)."""
    holder = await api.get(WHOAMI, KeyHolder)
    return holder.model_copy(update={"limited_to": api.limits}) if api.limits else holder
