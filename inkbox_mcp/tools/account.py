"""The account: whose key this server uses.

Source: https://inkbox.ai/docs/api/whoami
"""

import json
from typing import Annotated

from pydantic import BeforeValidator

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import WHOAMI
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.operation import READ_ONLY, Args, Result, operation

NO_API = "The Inkbox API is not at this URL. Tell the user to check INKBOX_BASE_URL, or --base-url."


def _as_text(value: object) -> object:
    """Keep what is no time as a string: the rest of the answer is of use all the same."""
    is_time = value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))
    return value if is_time else json.dumps(value)


class Whoami(Args):
    """No arguments."""


class KeyHolder(Result):
    """Who an API key belongs to; times are seconds since 1970, or ISO 8601 from the identity generation."""

    organization_id: str | None = None
    auth_subtype: str | None = None
    expires_at: Annotated[float | str | None, BeforeValidator(_as_text)] = None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def whoami(api: InkboxAPI, args: Whoami) -> KeyHolder:
    """Show the organisation of the API key, its scope (admin or one agent), and when it expires (null: never)."""
    return await api.get(WHOAMI, KeyHolder)
